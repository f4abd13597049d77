"""BoxGroupOutput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.blob import Shape
from caffe.boxes import Array, by_score, edges, suppress
from caffe.layers.detection._cascade import field_boxes, read_fields, read_normalization
from caffe.tensor_layer import TensorLayer


class BoxGroupOutput(TensorLayer):
    """Proposals from maps of scores and offsets, whose items are fields (anchors) of one size each. No
    gradient.

    Boxes with 1 - p(background) ≥ fg_thr, cut at the borders and at least min_size large, go best first
    (max_nms_num of them) through non-maximum suppression; max_post_nms_num are kept, for every image.

    bottom: one pair for each ``box_group_param``: probabilities (N·G × C × H × W, channel 0 the background)
    and offsets (N·G × 4 × H × W), G its number of fields. top: regions (R × 5: image, x1, y1, x2, y2);
    optionally with the score as a sixth column. Without a region: one of 10 × 10 pixels (zeros in the
    second top).
    Differs from Caffe: nothing known. Source: zhaoweicai/cascade-rcnn; Cai & Vasconcelos 2018.
    """

    num_bottoms = (2, None)
    num_tops = (1, 2)
    differentiable = False
    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"
    reads = {"bbox_reg_param": "*", "box_group_output_param": "*"}

    def check(self, *shapes: Shape) -> None:
        p = self.param.box_group_output_param
        self.mean, self.std = read_normalization(self)
        if len(shapes) != 2 * len(p.box_group_param):
            raise self.error(
                f"must be given once for each pair of bottoms; got {len(p.box_group_param)} for"
                f" {len(shapes)} bottoms",
                field="box_group_param",
            )
        self.fields = [read_fields(self, group) for group in p.box_group_param]
        images = {shape[0] / len(widths) for shape, (widths, _, _) in zip(shapes[::2], self.fields)}
        pairs = zip(shapes[::2], shapes[1::2])
        if len(images) != 1 or any(len(a) != 4 or b != (a[0], 4, *a[2:]) for a, b in pairs):
            raise self.shape_error(
                "the bottoms must be pairs of N·G×C×H×W probabilities and N·G×4×H×W offsets; got shapes "
                + ", ".join(str(list(s)) for s in shapes)
            )
        if p.nms_type not in ("IOU", "IOMU"):
            raise self.error(f'must be "IOU" or "IOMU"; got "{p.nms_type}"', field="nms_type")
        self.images = int(images.pop())

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 5, 1, 1), (1, 6, 1, 1)][: self.top_count]

    def compute(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arrays = [x.detach().float().cpu().numpy() for x in bottoms]
        of_images = [self._image(n, arrays) for n in range(self.images)]
        rows = np.concatenate(
            [np.concatenate([np.full((len(f), 1), n, np.float32), f], 1) for n, f in enumerate(of_images)]
        )
        tops = (rows[:, :5], rows)
        if not len(rows):
            tops = (np.array([[0, 1, 1, 10, 10]], np.float32), np.zeros((1, 6), np.float32))
        device = bottoms[0].device
        return tuple(torch.from_numpy(t).to(device)[:, :, None, None] for t in tops[: self.top_count])

    def _image(self, n: int, arrays: Sequence[Array]) -> Array:
        p = self.param.box_group_output_param
        parts = []
        for (widths, heights, stride), prob, offsets in zip(self.fields, arrays[::2], arrays[1::2]):
            own = slice(n * len(widths), (n + 1) * len(widths))
            moved = offsets[own] * self.std[:, None, None] + self.mean[:, None, None]
            boxes = field_boxes(moved, widths, heights, stride, (p.field_xyr, p.field_whr)).reshape(-1, 4)
            score = 1 - prob[own, 0].reshape(-1)
            height, width = prob.shape[2] * stride, prob.shape[3] * stride
            boxes[:, :2] = np.maximum(boxes[:, :2], 0)
            boxes[:, 2:] = np.minimum(boxes[:, 2:], [width, height])
            large = (score >= p.fg_thr) & (boxes[:, 2:] - boxes[:, :2] + 1 >= p.min_size).all(1)
            parts.append(np.concatenate([boxes[large], score[large, None]], 1))
        rows = np.concatenate(parts)
        order = by_score(rows[:, 4])[: p.max_nms_num or None]
        kept = suppress(
            edges(rows[order]), p.iou_thr, most=p.max_post_nms_num or None, of_smaller=p.nms_type == "IOMU"
        )
        return np.asarray(rows[order[kept]], np.float32)
