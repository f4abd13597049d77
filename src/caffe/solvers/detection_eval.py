"""Testing a detector: the mean average precision over all batches, from the tops of DetectionEvaluate."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import logs
from caffe.errors import SolverError
from caffe.solvers.signals import Action
from caffe.solvers.training import Training

Array = npt.NDArray[Any]
VERSIONS = ("11point", "MaxIntegral", "Integral")
EPSILON = 1e-6  # a change of recall below this is none


def average_precision(scores: Array, correct: Array, positives: int, version: str = "Integral") -> float:
    """Average precision of detections, ``correct`` or not by score, of ``positives`` things to find.

    ``version`` is ``"11point"`` (VOC 2007: the mean over recalls 0, 0.1, … 1 of the best precision from there
    on), ``"MaxIntegral"`` (VOC 2012: the area under that best precision) or ``"Integral"`` (the area under
    the precision itself). Raises SolverError for another version.
    """
    if version not in VERSIONS:
        raise SolverError(f"must be one of {', '.join(VERSIONS)}; got '{version}'", field="ap_version")
    if not len(scores) or not positives:
        return 0.0
    right = np.cumsum(np.asarray(correct, dtype=np.int64)[np.argsort(-np.asarray(scores), kind="stable")])
    precision = right / np.arange(1, len(right) + 1)
    recall = right / positives
    if version == "Integral":
        steps = np.diff(recall, prepend=0.0)
        return float((precision * np.where(steps > EPSILON, steps, 0)).sum())
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if version == "MaxIntegral":
        steps = np.diff(recall, prepend=0.0)
        steps[1:][steps[1:] <= EPSILON] = 0
        # the original takes the precision at the beginning of each step
        return float((np.concatenate([best[:1], best[:-1]]) * steps).sum())
    # recalls are compared in single precision, as in the original
    single = recall.astype(np.float32).astype(np.float64)
    starts = [np.flatnonzero(single >= j / 10) for j in range(11)]
    return float(sum(best[s[0]] for s in starts if len(s)) / 11)


class Judgements:
    """The rows of one DetectionEvaluate top, over batches."""

    def __init__(self) -> None:
        self.positives: dict[int, int] = defaultdict(int)
        self._rows: list[Array] = []

    def add(self, rows: Array) -> None:
        """Take the rows (… × 5) of one more batch."""
        rows = rows.reshape(-1, 5)
        for row in rows[rows[:, 0] == -1]:
            self.positives[int(row[1])] += int(row[2])
        # detections of difficult boxes are neither right nor wrong
        self._rows.append(rows[(rows[:, 0] != -1) & (rows[:, 3:] != 0).any(axis=1)])

    def precisions(self, version: str) -> dict[int, float | None]:
        """Label → average precision, None where nothing was detected."""
        rows = np.concatenate([*self._rows, np.zeros((0, 5), np.float32)])
        by_label: dict[int, float | None] = {}
        for label, positives in sorted(self.positives.items()):
            of_label = rows[rows[:, 1] == label]
            by_label[label] = (
                average_precision(of_label[:, 2], of_label[:, 3], positives, version)
                if len(of_label)
                else None
            )
        return by_label


def test_detection(solver: Training, net_id: int) -> dict[str, list[float]]:
    """Run a test net for its ``test_iter`` batches; log and return output → [mean average precision].

    Raises SolverError when an output has no rows of five values.
    """
    param, net = solver.param, solver.test_nets[net_id]
    judged = {name: Judgements() for name in net.outputs}
    loss, count = 0.0, param.test_iter[net_id]
    for _ in range(count):
        action = solver.action()
        if action is Action.SNAPSHOT:
            solver.snapshot()
        elif action is Action.STOP:
            solver.request_stop()
            logs.info("Test interrupted.")
            return {}
        loss += float(net.forward_loss())
        for name, of_output in judged.items():
            rows = net.blobs[name].data
            if rows.ndim < 1 or rows.shape[-1] != 5:
                raise SolverError(
                    f"eval_type 'detection' needs outputs of DetectionEvaluate; output '{name}' of the test net"
                    f" has shape {list(rows.shape)}",
                    fix="Let the test net end with DetectionEvaluate, and silence its other outputs",
                )
            of_output.add(rows)
    if param.test_compute_loss:
        logs.info(f"Test loss: {loss / count:g}")
    return {
        name: [_report(i, name, of_output, param.ap_version, param.show_per_class_result)]
        for i, (name, of_output) in enumerate(judged.items())
    }


def _report(index: int, name: str, judged: Judgements, version: str, per_class: bool) -> float:
    precisions = judged.precisions(version)
    for label, precision in precisions.items():
        if precision is None:
            logs.warning(f"Missing true_pos for label: {label}")
        elif per_class:
            logs.info(f"class{label}: {precision:g}")
    mean = sum(p or 0.0 for p in precisions.values()) / max(len(precisions), 1)
    logs.info(f"    Test net output #{index}: {name} = {mean:g}")
    return mean
