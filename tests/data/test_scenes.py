"""Cascade R-CNN's window files, and the maps of labels against their definition, written as plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from caffe.data import scene as scenes
from caffe.data.scene import Area, Field, Rules, Scene
from caffe.errors import CaffeError, DataError

FILE = """# 0
a.png
3
40
60
2
1 0 0 5 6 30 28
2 1 1 20 10 50 35
1
0 30 20 39
# 1
b.png
3
60
40
0
0
"""


def write(folder: Path, text: str = FILE) -> str:
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (40, 60, 3)), ("b.png", (60, 40, 3))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, size, dtype=np.uint8))
    (folder / "windows.txt").write_text(text)
    return str(folder / "windows.txt")


def test_what_a_file_says(tmp_path: Path) -> None:
    first, second = scenes.read_scenes(write(tmp_path))
    assert (first.file, first.height, first.width, len(second.boxes)) == ("a.png", 40, 60, 0)
    assert first.boxes.tolist() == [[5, 6, 30, 28], [20, 10, 50, 35]]
    assert (first.labels.tolist(), first.ignored.tolist(), first.difficult.tolist()) == (
        [1, 2],
        [0, 1],
        [0, 1],
    )
    assert first.regions.tolist() == [[0, 30, 20, 39]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# 0", "a", r"windows.txt:1: .*'# number' must begin"),
        ("1 0 0 5 6 30 28", "0 0 0 5 6 30 28", "windows.txt:7: .*class must be above 0"),
        ("1 0 0 5 6 30 28", "1 0 0 5 6 30", "windows.txt:7: .*must be class, ignored, difficult"),
        ("1 0 0 5 6 30 28", "1 0 0 5 6 3 28", "windows.txt:7: .*must not end before it starts"),
        ("40\n60\n2", "40\n60\nmany", "windows.txt:6: The line 'many' is not as expected"),
        ("40\n60\n0\n0\n", "60\n40\n0\n", "cut off"),
        (FILE, "", "is empty"),
    ],
)
def test_damaged_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = FILE.replace(old, new) if old != "40\n60\n0\n0\n" else FILE.rsplit("0\n", 1)[0]
    with pytest.raises(DataError, match=message):
        scenes.read_scenes(write(tmp_path, text))


def overlap(a: Any, b: Any, of_first: bool = False) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = (w + 1) * (h + 1) if w >= 0 and h > 0 else 0.0
    size = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return both / (size[0] if of_first else size[0] + size[1] - both)


def expected(s: Scene, area: Area, fields: list[Field], rules: Rules) -> list[Any]:
    maps, count, best, where = [], [0] * len(s.boxes), [0.0] * len(s.boxes), [0] * len(s.boxes)
    for k, f in enumerate(fields):
        rows, columns = scenes.map_size(area, f)
        made = np.zeros((6, rows, columns))
        for r, c in np.ndindex(rows, columns):
            x, y = (c + 0.5) * f.stride, (r + 0.5) * f.stride
            box = [x - f.width / 2, y - f.height / 2, x + f.width / 2, y + f.height / 2]
            first = [scenes.rounded(v / f.stride) for v in (area.left, area.top, area.width, area.height)]
            if not (first[0] <= c < first[0] + first[2] and first[1] <= r < first[1] + first[3]):
                made[5, r, c] = 1
                continue
            if rules.margin is not None:
                mx, my = rules.margin * f.width / 2, rules.margin * f.height / 2
                if (
                    box[0] < area.left - mx
                    or box[1] < area.top - my
                    or box[2] >= area.left + area.width + mx
                    or box[3] >= area.top + area.height + my
                ):
                    made[5, r, c] = 1
                    continue
            elif rules.least_inside is not None:
                image = [area.left, area.top, area.left + area.width, area.top + area.height]
                if overlap(box, image, True) < rules.least_inside:
                    made[5, r, c] = 1
                    continue
            found = [overlap(b, box) for b in s.boxes]
            for g, o in enumerate(found):
                if o > best[g]:
                    best[g], where[g] = o, k
            g = int(np.argmax(found)) if found else -1
            if found and found[g] > rules.foreground:
                b = s.boxes[g]
                label = 0 if s.ignored[g] else s.labels[g]
                made[:, r, c] = [
                    label,
                    (b[0] + b[2]) / 2,
                    (b[1] + b[3]) / 2,
                    b[2] - b[0] + 1,
                    b[3] - b[1] + 1,
                    found[g],
                ]
                count[g] += 1
            elif sum(overlap(box, region, True) for region in s.regions) >= rules.ignored:
                made[5, r, c] = 1
            else:
                made[5, r, c] = max(found, default=0)
        maps.append(made)
    for g, b in enumerate(s.boxes):
        if s.ignored[g] or count[g] or best[g] < rules.pick_up:
            continue
        made, stride = maps[where[g]], fields[where[g]].stride
        r = min(max(int((b[1] + b[3]) / 2 // stride), 0), made.shape[1] - 1)
        c = min(max(int((b[0] + b[2]) / 2 // stride), 0), made.shape[2] - 1)
        if made[0, r, c] <= 0:
            made[:, r, c] = [
                s.labels[g],
                (b[0] + b[2]) / 2,
                (b[1] + b[3]) / 2,
                b[2] - b[0] + 1,
                b[3] - b[1] + 1,
                best[g],
            ]
    return maps


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "rules", [Rules(), Rules(0.6, pick_up=0.1, margin=0.3), Rules(0.4, least_inside=0.7)]
)
def test_maps_of_labels(rules: Rules, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 50, (5, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 40, (5, 2))], 1).astype(np.float32)
    regions = np.array([[30, 10, 70, 44], [0, 0, 12, 60]], np.float32)[: seed + 1]
    s = Scene("", 60, 80, boxes, rng.integers(1, 5, 5), rng.random(5) < 0.3, np.zeros(5, bool), regions)
    area, fields = Area(64, 96, 8, 2, 80, 60), [Field(8, 16, 20), Field(16, 40, 28)]
    for made, wanted in zip(scenes.label_maps(s, area, fields, rules), expected(s, area, fields, rules)):
        np.testing.assert_allclose(made, wanted, atol=1e-5)


@pytest.mark.parametrize("shuffle", ["random", "random_aspect", "random_mix_aspect"])
def test_orders(shuffle: str) -> None:
    empty = np.zeros((0, 4), np.float32)
    many = [
        Scene(
            str(i),
            2 + i % 2,
            3 - i % 2,
            empty,
            np.zeros(0, np.int64),
            np.zeros(0, bool),
            np.zeros(0, bool),
            empty,
        )
        for i in range(12)
    ]
    order = list(scenes.orders(many, shuffle, 2, np.random.default_rng(3)))
    assert sorted(order) == list(range(12)) != order
    kinds = [i % 2 for i in order]
    if shuffle == "random_aspect":
        assert kinds in ([0] * 6 + [1] * 6, [1] * 6 + [0] * 6)
    if shuffle == "random_mix_aspect":
        assert kinds in ([0, 0, 1, 1] * 3, [1, 1, 0, 0] * 3)
    assert list(scenes.orders(many, "", 2, np.random.default_rng(3))) == list(range(12))


def layer(text: str, tops: int) -> Any:
    from harness import Case, build

    return build(Case("scenes", text, [], tops=tops, gradcheck=False))


def forward(built: Any) -> list[Any]:
    built.layer.forward([], built.tops)
    return [t.data.copy() for t in built.tops]


def test_images_to_test_on(tmp_path: Path) -> None:
    text = (
        f'type: "EvalData" eval_data_param {{ source: "{write(tmp_path)}" root_folder: "{tmp_path}/" batch_size: 1'
        " short_size: 70 long_size: 100 } transform_param { mean_value: 10 scale: 0.5 }"
    )
    data, boxes, sizes = forward(built := layer(text, 3))
    # 40 × 60 → 70 × 100, cut off at 100 from 105 → multiples of 32
    image = cv2.resize(cv2.imread(str(tmp_path / "a.png")), (96, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(data[0], (image.transpose(2, 0, 1) - 10.0) * 0.5)
    assert sizes.ravel().tolist() == [64, 96]
    np.testing.assert_allclose(boxes[0].ravel(), [0, 8, 9.6, 48, 44.8, 1, 0, 0], rtol=1e-6)
    assert boxes.shape == (2, 8, 1, 1)
    data, boxes, sizes = forward(built)
    assert data.shape == (1, 3, 96, 64)
    assert (boxes == -1).all()
    built.layer.close()


def detection(folder: Path, more: str) -> str:
    return (
        f'type: "DetectionData" detection_data_param {{ source: "{write(folder)}" root_folder: "{folder}/"'
        f" batch_size: 1 stride: 8 field_w: 24 field_h: 20 output_gt_boxes: true {more} }}"
    )


def test_images_to_train_on(tmp_path: Path) -> None:
    data, labels, boxes = forward(built := layer(detection(tmp_path, "min_gt_width: 27"), 3))
    image = cv2.imread(str(tmp_path / "a.png"))
    assert (data[0] == image.transpose(2, 0, 1)).all()
    assert boxes[..., 0, 0].tolist() == [[0, 5, 6, 30, 28, 1, 1, 0], [0, 20, 10, 50, 35, 2, 1, 1]]
    s = scenes.read_scenes(str(tmp_path / "windows.txt"))[0]
    s.ignored[:] = True
    area = Area(40, 60, 0, 0, 60, 40)
    np.testing.assert_allclose(labels[0], expected(s, area, [Field(8, 24, 20)], Rules())[0], atol=1e-5)
    data, labels, boxes = forward(built)
    assert data.shape == (1, 3, 60, 40)
    assert (boxes == -1).all()
    built.layer.close()


@pytest.mark.parametrize(
    "more",
    [
        "short_size: 32 long_size: 64",
        "crop_width: 24 crop_height: 48 min_scale: 10 max_scale: 60 multiscale_prob: 1",
        "resize_ratio: 1.5 crop_short_size: 32 crop_long_size: 40 low_scale_ratio: 1.6 high_scale_ratio: 2"
        " multiscale_prob: 1",
        "resize_width: 50 resize_height: 30 low_scale_ratio: 0.5 high_scale_ratio: 0.7 min_whaspect: 0.5"
        ' max_whaspect: 2 shuffle: "random"',
        "short_size: 64 long_size: 96 template_ratio: 0.5 template_ratio: 1 multiscale_prob: 1 min_scale: 20"
        " max_scale: 20",
    ],
)
def test_boxes_go_with_the_image(tmp_path: Path, more: str) -> None:
    """A box painted white is white wherever it comes to lie."""
    text = detection(tmp_path, more) + " transform_param { mirror: true }"
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[6:29, 5:31] = 255
    built = layer(text, 3)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    for _ in range(6):
        data, _, boxes = forward(built)
        height, width = data.shape[2:]
        for row in boxes[..., 0, 0]:
            if row[5] != 1:
                continue
            x1, y1, x2, y2 = (round(float(v)) for v in row[1:5])
            inside = data[0, :, max(y1 + 3, 0) : max(y2 - 3, 0), max(x1 + 3, 0) : max(x2 - 3, 0)]
            assert inside.size == 0 or inside.min() > 200
            outside = data[0, 0].copy()
            outside[max(y1 - 4, 0) : max(y2 + 5, 0), max(x1 - 4, 0) : max(x2 + 5, 0)] = 0
            assert outside.max() < 60, (height, width, row)
    built.layer.close()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("stride: 4", "stride.*as often as field_w and field_h"),
        ('shuffle: "never"', "shuffle.*must be random, random_aspect"),
        ("short_size: 32", "short_size.*together with long_size"),
        ("short_size: 32 long_size: 16", "long_size.*above short_size; got 16"),
        (
            "short_size: 32 long_size: 64 resize_ratio: 2",
            "short_size.*must not be given together with resize_ratio",
        ),
        ("min_scale: 3 max_scale: 2", "max_scale.*at least min_scale; got 2"),
        ("fg_threshold: 0", "fg_threshold.*must be above 0"),
    ],
)
def test_wrong_fields(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        layer(detection(tmp_path, more), 3)
