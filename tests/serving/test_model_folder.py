"""``caffe serve`` of a folder that ``caffe finetune`` writes: labels and preparation are the folder's."""

from __future__ import annotations

import json

import click
import cv2
import numpy as np
import pytest

import caffe
from caffe.cli import main, serve
from caffe.errors import MissingFileError
from caffe.formats.model_folder import ModelFolder

httpx = pytest.importorskip("httpx", reason="needs httpx")
pytest.importorskip("starlette", reason="needs starlette")

NET = """layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 14 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.002 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pets"
    place.mkdir()
    (place / "deploy.prototxt").write_text(NET)
    caffe.set_random_seed(3)
    caffe.Net(str(place / "deploy.prototxt"), caffe.TEST).save(place / "weights.caffemodel")
    labels = ["ant", "bee", "cat", "dog", "猫"]
    ModelFolder(place, labels, (90.0, 100.0, 110.0), 0.5, True, (20, 22)).write()
    return place


def served(*argv):
    """What the command would serve for these arguments."""
    with serve.command.make_context("serve", [str(word) for word in argv]) as context:
        flags = dict(context.params)
        (found,) = serve._served(flags.pop("net"), flags.pop("weights"), flags)
    return found


def test_photos_are_answered_as_caffe_predict_answers_them(folder, tmp_path, capsys):
    from caffe.serving import app
    from caffe.web import hosting

    pixels = np.random.RandomState(7).randint(0, 255, (90, 120, 3), np.uint8)
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), pixels)
    assert main.main(["predict", str(folder), str(photo), "--json", "--out=none"]) == 0
    (wanted,) = json.loads(capsys.readouterr().out)
    url, stop = hosting.in_background(app.application([served(folder)]))
    try:
        answer = httpx.post(f"{url}classify", content=photo.read_bytes(), timeout=30).json()
    finally:
        stop()
    assert answer["model"] == "pets"
    ours = {one["label"]: one["score"] for one in answer["top"]}
    theirs = {one["label"]: one["score"] for one in wanted["classes"]}
    assert ours.keys() == theirs.keys() == {"ant", "bee", "cat", "dog", "猫"}
    assert max(ours.values()) - min(ours.values()) > 0.01
    for label, score in theirs.items():
        assert ours[label] == pytest.approx(score, abs=1e-4)


def test_flags_change_what_the_folder_says(folder):
    own = served(folder)
    assert (own.mean, own.scale, own.rgb) == ((90.0, 100.0, 110.0), 0.5, True)
    assert (own.resize, own.smooth) == ((20, 22), False)
    changed = served(folder, "--mean=1,2,3", "--input_scale=1", "--channel_swap=2,1,0", "--name=animals")
    assert (changed.name, changed.mean, changed.scale, changed.rgb) == (
        "animals",
        (1.0, 2.0, 3.0),
        1.0,
        False,
    )


def test_what_is_no_model_folder(folder, tmp_path):
    (folder / "weights.caffemodel").unlink()
    with pytest.raises(MissingFileError, match=r"weights\.caffemodel"):
        served(folder)
    with pytest.raises(click.UsageError, match="WEIGHTS"):
        served(tmp_path)
