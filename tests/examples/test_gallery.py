"""The gallery: every picture is drawn of real trained models, and shows what they are for."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_assets import ROOT, assets, assets_root

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def gallery() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import models_gallery

        yield models_gallery
    finally:
        sys.path.remove(str(ROOT / "examples"))


@pytest.fixture(scope="module")
def drawn(gallery: Any) -> Any:
    """Draws a picture once; gives the titles of its parts and what is written below."""
    root = assets_root()
    at = gallery.Assets(assets("models"), assets("photos"), root / "mnist")
    known: dict[str, tuple[list[str], str]] = {}

    def draw(name: str) -> tuple[list[str], str]:
        if name not in known:
            figure = gallery.GALLERY[name](at)
            assert all(ax.images for ax in figure.axes if ax.get_title())
            known[name] = (
                [ax.get_title() for ax in figure.axes],
                "\n".join(t.get_text() for t in figure.texts),
            )
            gallery.plt.close(figure)
        return known[name]

    return draw


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"\d+\.\d+", text)]


def test_photos_are_recognized(drawn: Any) -> None:
    titles, _ = drawn("squeezenet")
    for title, word in zip(titles[3:], ("bicycle", "valley", "bull")):
        assert word in title


@pytest.mark.parametrize("name", ["mtcnn", "mtcnn_congweilin", "mtcnn_cholihao", "mtcnn_half"])
def test_mtcnn_finds_all_faces(drawn: Any, name: str) -> None:
    assert drawn(name)[0][:2] == ["2 faces", "1 faces"]
    assert int(drawn(name)[0][2].split()[0]) >= 50


def test_no_face_in_a_cat(gallery: Any) -> None:
    at = gallery.Assets(assets("models"), assets("photos"), Path())
    cascade = gallery.Cascade([gallery.Stage(at.models / f"mtcnn_det{i}") for i in (1, 2, 3)])
    found, marks = cascade.find(at.photo("cat.jpg"))
    assert found.shape == (0, 5)
    assert marks.shape == (0, 5, 2)
    # and a face is where its eyes are, above the mouth
    found, marks = cascade.find(at.photo("faces2.jpg"))
    (x1, y1, x2, y2, score), face = found[0], marks[0]
    assert score > 0.99
    assert (face > [x1, y1]).all()
    assert (face < [x2, y2]).all()
    assert face[:2, 1].max() < face[2, 1] < face[3:, 1].min()


def test_landmarks_agree(gallery: Any) -> None:
    """Nets of three makers, each in its own way, put eyes and mouth at the same places."""
    at = gallery.Assets(assets("models"), assets("photos"), Path())
    photo, place, marks = gallery._faces(at)[0]
    side = place[2] - place[0]
    vanilla = gallery._vanilla(at.net("vanillacnn"), photo, place)
    nets = {name: at.net(f"deeplandmark_2_{name}") for name in gallery.LANDMARKS}
    second = gallery._second(nets, photo, place, marks)
    many = gallery._van(at.net("vanface_landmark68"), photo, place)
    eyes = np.stack([many[36:42].mean(0), many[42:48].mean(0)])
    assert np.abs(vanilla - marks).max() < 0.08 * side
    assert np.abs(second - marks).max() < 0.08 * side
    assert np.abs(eyes - marks[:2]).max() < 0.08 * side


def test_digits_and_captchas_are_read(drawn: Any) -> None:
    assert numbers(drawn("digits")[1])[0] >= 98
    assert numbers(drawn("digits")[1])[1] >= 98
    assert numbers(drawn("verifycode")[1])[0] >= 99


def test_images_become_sharper(drawn: Any) -> None:
    for name in "pansharpen", "dced":
        given, made, true = (numbers(title)[0] for title in drawn(name)[0])
        assert true == 0
        assert made < given


def test_scores_of_faces(drawn: Any) -> None:
    faces, others = drawn("deepface")[0][1:3], drawn("deepface")[0][3:5]
    assert all(numbers(title)[0] > 0.8 for title in faces)
    assert all(numbers(title)[0] < 0.1 for title in others)


@pytest.mark.parametrize("name", ["cifar", "impact_scar", "cascade_face", "landmarks", "filters"])
def test_is_drawn(drawn: Any, name: str) -> None:
    assert len(drawn(name)[0]) >= 3


def test_lanes_are_where_lines_are(gallery: Any) -> None:
    road = gallery._road()
    net = gallery.Assets(assets("models"), Path(), Path()).net("tusimple_mobilenet_yolov3_lite")
    data = gallery.cv2.resize((road.astype(np.float32) - 127.5) * 0.007843, (512, 512))
    score = gallery.run(net, data.transpose(2, 0, 1)[np.newaxis])["sigmoid"][0, 0]
    white = gallery.cv2.resize((road.min(2) > 180).astype(np.float32), score.shape[::-1])
    white[: score.shape[0] // 2] = 0  # the sky is as bright
    lower = score[score.shape[0] // 2 :]
    near = gallery.cv2.dilate(white, np.ones((5, 5)))[score.shape[0] // 2 :] > 0.1
    assert lower[near].mean() > 5 * lower[~near].mean()
