"""DetectionEvaluate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe import boxes
from caffe.blob import Shape
from caffe.boxes import Array
from caffe.layers.detection._detection_files import read_name_size_file, to_pixels
from caffe.tensor_layer import Stateful, TensorLayer


class DetectionEvaluate(TensorLayer):
    """Judge detections: which are true, which false. The solver makes the mean average precision of it.

    A detection is true when the annotated box of its image and label that it overlaps most is overlapped by
    at least ``overlap_threshold`` and not yet taken by a better detection. One that hits a difficult box is
    neither with ``evaluate_difficult_gt: false``. With ``name_size_file`` boxes are compared in whole pixels
    of the images listed there, in the file's order.

    bottom: detections (1 × 1 × K × 7) rows image, label, score, xmin, ymin, xmax, ymax (label -1: none);
    annotations (1 × 1 × M × 8) rows image, label, instance, xmin, ymin, xmax, ymax, difficult.
    top: (1 × 1 × (classes - 1 + detections) × 5). First for each label: -1, label, number of annotated boxes,
    -1, -1. Then for each detection: image, label, score, true (0 or 1), false (0 or 1).
    Differs from Caffe: nothing known. Source: weiliu89/caffe (SSD) ``DetectionEvaluate``.
    """

    origin = "SSD (weiliu89/caffe)"
    reads = {"detection_evaluate_param": "*"}
    num_bottoms = 2
    differentiable = False
    in_place = False
    _sizes: list[tuple[str, int, int]] | None = None

    def check(self, found: Shape, truth: Shape) -> None:
        p = self.param.detection_evaluate_param
        if p.num_classes < 1:
            raise self.error("must be given, and at least 1", field="num_classes")
        if p.overlap_threshold <= 0:
            raise self.error(f"must be above 0; got {p.overlap_threshold:g}", field="overlap_threshold")
        if len(found) != 4 or found[3] != 7 or len(truth) != 4 or truth[3] != 8:
            raise self.shape_error(
                f"detections must be 1×1×K×7 and annotations 1×1×M×8; got {list(found)} and {list(truth)}"
            )
        if p.name_size_file and self._sizes is None:
            self._sizes = read_name_size_file(p.name_size_file)

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 1, self.param.detection_evaluate_param.num_classes - 1 + shapes[0][2], 5)]

    def carries(self, found: Shape, truth: Shape) -> list[Shape]:
        """How many images have been judged, where sizes are given by their order."""
        return [(1,)] if self.param.detection_evaluate_param.name_size_file else []

    def compute(
        self, found: torch.Tensor, truth: torch.Tensor, judged_before: torch.Tensor | None = None
    ) -> torch.Tensor | Stateful:
        p = self.param.detection_evaluate_param
        detections = found.detach().float().cpu().numpy().reshape(-1, 7)
        detections = detections[detections[:, 0] != -1]
        truths = truth.detach().float().cpu().numpy().reshape(-1, 8)
        padding = np.flatnonzero(truths[:, 0] == -1)
        truths = truths[: padding[0]] if len(padding) else truths  # the rest is padding
        for what, rows in (("annotations", truths), ("detections", detections)):
            if (rows[:, 1] == p.background_label_id).any():
                raise self.error(f"the {what} must not have the background's label {p.background_label_id}")
        counted = truths if p.evaluate_difficult_gt else truths[truths[:, 7] == 0]
        tops = [
            [-1, c, float((counted[:, 1] == c).sum()), -1, -1]
            for c in range(p.num_classes)
            if c != p.background_label_id
        ]
        judged = [np.array(tops, np.float32).reshape(-1, 5)]
        first = 0 if judged_before is None else int(judged_before)
        images = np.unique(detections[:, 0])
        for place, image in enumerate(images, first):
            of_image, there = detections[detections[:, 0] == image], truths[truths[:, 0] == image]
            size = self._size(place)
            for label in np.unique(of_image[:, 1]):
                if label != -1:
                    judged.append(
                        self._judge(of_image[of_image[:, 1] == label], there[there[:, 1] == label], size)
                    )
        top = torch.from_numpy(np.concatenate(judged)).to(found.device).view(1, 1, -1, 5)
        if not self._sizes:
            return top
        count = (first + len(images)) % len(self._sizes)
        return Stateful(top, [found.new_tensor([count], dtype=torch.int64)])

    def _size(self, place: int) -> tuple[int, int] | None:
        """Height and width of an image by its place in the file, if they are known."""
        if not self._sizes:
            return None
        _, height, width = self._sizes[place % len(self._sizes)]
        return height, width

    def _judge(self, found: Array, truths: Array, size: tuple[int, int] | None) -> Array:
        """Rows for the detections of one image and label."""
        p = self.param.detection_evaluate_param
        rows = np.zeros((len(found), 5), np.float32)
        if len(truths):
            found = found[np.argsort(-found[:, 2], kind="stable")]
        rows[:, :3] = found[:, :3]
        if not len(truths):
            rows[:, 4] = 1
            return rows
        a, b, offset = found[:, 3:], truths[:, 3:7], 0.0
        if size is not None:
            resize = p.resize_param if p.HasField("resize_param") else None
            a, b, offset = to_pixels(a, *size, resize), to_pixels(b, *size, resize), 1.0
        overlap = boxes.overlaps(a, b, offset)
        taken = np.zeros(len(truths), dtype=bool)
        for row, g, best in zip(rows, overlap.argmax(1), overlap.max(1)):
            if best < p.overlap_threshold:
                row[4] = 1
            elif p.evaluate_difficult_gt or not truths[g, 7]:
                row[3 if not taken[g] else 4] = 1
                taken[g] = True
        return rows
