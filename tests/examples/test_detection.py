"""The examples that find things: short trainings of SSD and Faster R-CNN, and published nets where they are."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from support_assets import ROOT, assets

import caffe


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def net(folder: Path) -> caffe.Net:
    return caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST, weights=str(folder / "weights.caffemodel"))


def test_ssd_shapes_learns(tmp_path: Path) -> None:
    """Two pictures, over and over: the loss falls, detections have their form."""
    shapes = example("ssd_shapes")
    shapes.make_database(tmp_path / "db", 2, seed=4)
    caffe.set_random_seed(3)
    solver = caffe.get_solver(
        caffe.proto.caffe_pb2.SolverParameter(
            train_net_param=shapes.train_net(tmp_path / "db"),
            test_net_param=[shapes.test_net(tmp_path / "db")],
            test_iter=[1], test_interval=100, test_initialization=False, eval_type="detection",
            type="Adam", base_lr=0.003, momentum=0.9, lr_policy="fixed", snapshot_prefix=str(tmp_path / "s"),
        )
    )  # fmt: skip
    losses = []
    for _ in range(10):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    assert 0 <= solver.test(0)["evaluation"][0] <= 1
    assert solver.test_nets[0].blobs["detections"].data.shape[-1] == 7
    for made in (solver.net, *solver.test_nets):
        made.close()


def test_faster_rcnn_shapes_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net of Python layers, regions and four losses: the losses fall, detections are evaluated."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    shapes = example("faster_rcnn_shapes")
    monkeypatch.setattr(shapes, "TESTS", 3)
    caffe.set_random_seed(3)
    solver = caffe.SGDSolver(str(shapes.write_solver(tmp_path, iterations=60)))
    names = ("rpn_loss_cls", "rpn_loss_bbox", "loss_cls", "loss_bbox")
    losses = []
    for _ in range(60):
        solver.step(1)
        losses.append([float(solver.net.blobs[name].data) for name in names])
    before, after = np.mean(losses[:5], axis=0), np.mean(losses[-20:], axis=0)
    assert after.sum() < 0.7 * before.sum()
    assert after[0] < 0.5 * before[0]
    assert all(np.abs(blobs[0].diff).max() > 0 for blobs in solver.net.params.values())
    assert 0 <= solver.test(0)["evaluation"][0] <= 1
    assert shapes.draw(solver.test_nets[0]).shape == (288, 288, 3)
    for made in (solver.net, *solver.test_nets):
        made.close()


def test_qr_code(tmp_path: Path) -> None:
    finder = example("find_qr_code")
    picture, place = finder.make_picture()
    found = finder.find(net(assets("models", "wechat_qrcode_detect")), picture)
    assert len(found) == 1
    assert found[0][0] > 0.9
    assert np.abs(np.array(found[0][1]) - place).max() < 20


def test_faces() -> None:
    finder = example("find_faces")
    made = net(assets("models", "ultraface_rfb320"))
    counts = {}
    for name in ("faces", "faces2", "cat", "crowd1"):
        counts[name] = len(finder.find(made, cv2.imread(str(assets("photos", f"{name}.jpg")))))
    assert (counts["faces"], counts["faces2"], counts["cat"]) == (2, 1, 0)
    assert counts["crowd1"] > 35


@pytest.mark.parametrize(
    ("kind", "model", "photo", "labels"),
    [("nano", "mobilenetv2_yolov3_nano_voc", "001763", {8, 12}), ("face", "yoloface_50k", "faces2", {1})],
)
def test_yolo(kind: str, model: str, photo: str, labels: set[int]) -> None:
    """Cat and dog; a face."""
    finder = example("find_with_yolo")
    made = finder.build(kind, assets("models", model))
    height, width = made.blobs["data"].data.shape[2:]
    small = cv2.resize(
        cv2.imread(str(assets("photos", f"{photo}.jpg"))), (width, height), interpolation=cv2.INTER_AREA
    )
    made.blobs["data"].data[...] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).transpose(2, 0, 1) / 256
    rows = made.forward()["found"][0, 0]
    assert set(rows[rows[:, 2] > 0.9][:, 1].astype(int)) == labels
