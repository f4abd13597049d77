"""Average precision, by hand and by the definitions; the solver's test of a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import logs
from caffe.errors import SolverError
from caffe.solvers.detection_eval import Judgements, average_precision

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
CORRECT = np.array([1, 0, 1, 1, 0])  # precisions 1, 1/2, 2/3, 3/4, 3/5; recalls of 4: 1/4, 1/4, 2/4, 3/4, 3/4


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("Integral", (1 + 2 / 3 + 3 / 4) / 4),
        # precision at a step's beginning, raised to the best that follows: 1, then 3/4, 3/4
        ("MaxIntegral", (1 + 3 / 4 + 3 / 4) / 4),
        # recalls 0, 0.1, 0.2: 1; 0.3 … 0.7: 3/4; above: 0
        ("11point", (3 * 1 + 5 * 3 / 4) / 11),
    ],
)
def test_by_hand(version: str, expected: float) -> None:
    assert average_precision(SCORES, CORRECT, 4, version) == pytest.approx(expected)
    order = np.array([3, 1, 4, 0, 2])
    assert average_precision(SCORES[order], CORRECT[order], 4, version) == pytest.approx(expected)


def test_corners() -> None:
    for version in ("11point", "MaxIntegral", "Integral"):
        assert average_precision(np.zeros(0), np.zeros(0), 3, version) == 0
        assert average_precision(SCORES, CORRECT, 0, version) == 0
        assert average_precision(SCORES, np.ones(5), 5, version) == pytest.approx(1)
        assert average_precision(SCORES, np.zeros(5), 5, version) == 0
    with pytest.raises(SolverError, match="11point, MaxIntegral, Integral"):
        average_precision(SCORES, CORRECT, 4, "12point")


def test_judgements() -> None:
    """Rows of several batches; detections that are neither right nor wrong count for nothing."""
    judged = Judgements()
    judged.add(
        np.array([[-1, 1, 2, -1, -1], [-1, 2, 0, -1, -1], [0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 0]], np.float32)
    )
    judged.add(
        np.array([[-1, 1, 1, -1, -1], [-1, 2, 3, -1, -1], [0, 1, 0.7, 0, 1], [1, 1, 0.6, 1, 0]], np.float32)
    )
    assert dict(judged.positives) == {1: 3, 2: 3}
    assert judged.precisions("Integral") == {1: pytest.approx((1 + 2 / 3) / 3), 2: None}


NET = """
layer { name: "found" type: "DummyData" top: "found" include { phase: TEST }
  dummy_data_param { shape { dim: 1 dim: 1 dim: 1 dim: 7 } data_filler { value: 1 } } }
layer { name: "truth" type: "DummyData" top: "truth" include { phase: TEST }
  dummy_data_param { shape { dim: 1 dim: 1 dim: 1 dim: 8 } data_filler { value: 1 } } }
layer { name: "evaluate" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "evaluate"
  include { phase: TEST } detection_evaluate_param { num_classes: 3 } }
layer { name: "x" type: "DummyData" top: "x" include { phase: TRAIN } dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" include { phase: TRAIN }
  inner_product_param { num_output: 1 } }
layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "y" include { phase: TRAIN } }
"""


def solver(folder: Path, net: str, more: str = "") -> caffe.SGDSolver:
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(
        f'net: "{folder / "net.prototxt"}" test_iter: 2 test_interval: 5 test_initialization: false base_lr: 0.1'
        f' lr_policy: "fixed" max_iter: 1 eval_type: "detection" solver_mode: CPU {more}'
    )
    return caffe.SGDSolver(str(folder / "solver.prototxt"))


def test_solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(logs, "log", lambda message, *rest, **more: lines.append(message))
    made = solver(tmp_path, NET, "show_per_class_result: true test_compute_loss: true")
    # the detection 1, 1, 1 … is a box of no size, so it overlaps nothing
    assert made.test(0) == {"evaluate": [0.0]}
    text = "\n".join(lines)
    for line in ("Testing net (#0)", "Test loss: 0", "class1: 0", "Missing true_pos for label: 2"):
        assert line in text
    assert "    Test net output #0: evaluate = 0" in text


def test_other_outputs(tmp_path: Path) -> None:
    net = NET.replace('type: "DetectionEvaluate" bottom: "found"', 'type: "Silence" bottom: "found"').replace(
        'top: "evaluate"', ""
    )
    net += 'layer { name: "o" type: "DummyData" top: "o" dummy_data_param { shape { dim: 2 dim: 3 } } }'
    with pytest.raises(SolverError, match=r"output 'o' of the test net has shape \[2, 3\]"):
        solver(tmp_path, net).test(0)
