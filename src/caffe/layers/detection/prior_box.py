"""PriorBox."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.detection._priors import boxes_of_cell
from caffe.tensor_layer import TensorLayer


class PriorBox(TensorLayer):
    """The boxes that a feature map's cells start from: row 0 coordinates in units of the image, row 1
    variances.

    Cells go row by row; the centre of cell (i, j) is ((j + offset) · step_w, (i + offset) · step_h), where
    the step is image size / map size unless given. A cell has, for each min_size m (made whole, as in the
    original): a square of m, a square of √(m · max_size), and for each aspect ratio r ≠ 1 a box of m·√r ×
    m/√r. ``flip`` adds 1/r. ``clip`` cuts boxes at the image's border.

    Synopsys: ``keras`` puts the square of √(m · max_size) first, ``tf`` last (and makes the square of m = 60
    smaller by 0.05 at each side), ``yx_order`` gives y before x, ``box_width`` and ``box_height`` name the
    boxes themselves, ``faceboxes`` makes several shifted squares of the sizes 32 and 64.

    bottom: features (N × C × H × W), image (only its size is used). top: (1 × 2 × H·W·P·4).
    Differs from Caffe: nothing known. Source: weiliu89/caffe (SSD) ``PriorBox``; Liu et al. 2016.
    """

    origin = "SSD (weiliu89/caffe), synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"prior_box_param": "* -fixed_size -fixed_ratio -density"}
    num_bottoms = 2
    differentiable = False

    def check(self, features: Shape, image: Shape) -> None:
        p = self.param.prior_box_param
        for what, shape in (("features", features), ("image", image)):
            if len(shape) != 4:
                raise self.shape_error(f"the {what} must have 4 axes; got shape {list(shape)}")
        if len(p.box_width) != len(p.box_height):
            raise self.error(
                f"must have as many values as box_height, {len(p.box_height)}; got {len(p.box_width)}",
                field="box_width",
            )
        if not p.min_size and not p.box_width:
            raise self.error("must have at least one value; got none", field="min_size")
        if p.box_width and (p.min_size or p.faceboxes):
            raise self.error("names all boxes, so min_size and faceboxes must be absent", field="box_width")
        for field in ("min_size", "aspect_ratio", "variance", "box_width", "box_height"):
            for value in getattr(p, field):
                if not value > 0:
                    raise self.error(f"must be above 0; got {value:g}", field=field)
        if p.max_size and len(p.max_size) != len(p.min_size):
            raise self.error(
                f"must have as many values as min_size, {len(p.min_size)}; got {len(p.max_size)}",
                field="max_size",
            )
        for least, most in zip(p.min_size, p.max_size):
            if most <= least:
                raise self.error(f"must be above its min_size {least:g}; got {most:g}", field="max_size")
        if len(p.variance) not in (0, 1, 4):
            raise self.error(f"must have 1 or 4 values; got {len(p.variance)}", field="variance")
        for both, single in ((("img_h", "img_w"), "img_size"), (("step_h", "step_w"), "step")):
            given = [f for f in both if p.HasField(f)]
            if given and p.HasField(single):
                raise self.error(f"and {given[0]} exclude each other", field=single, fix="Remove one of them")
            for field in both if given else [single] if p.HasField(single) else []:
                if not getattr(p, field) > 0:
                    raise self.error(f"must be above 0; got {getattr(p, field):g}", field=field)

    def compute(self, features: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        p = self.param.prior_box_param
        rows, columns = features.shape[2:]
        if p.HasField("img_size"):
            height = width = p.img_size
        elif p.HasField("img_h"):
            height, width = p.img_h, p.img_w
        else:
            height, width = image.shape[2:]
        step_h = p.step_h or p.step or height / rows
        step_w = p.step_w or p.step or width / columns
        with torch.device("meta" if features.is_meta else "cpu"):
            size = torch.tensor([width, height] * 2, dtype=torch.float64)
            y = (torch.arange(rows, dtype=torch.float64) + p.offset) * step_h
            x = (torch.arange(columns, dtype=torch.float64) + p.offset) * step_w
            centers = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)] * 2, -1)
            cell = torch.tensor(boxes_of_cell(p), dtype=torch.float64)
            boxes = (centers[:, :, None] + cell[:, :4]) / size + cell[:, 4:]
            if p.yx_order and not p.faceboxes:
                boxes = boxes[..., [1, 0, 3, 2]]
            if p.clip:
                boxes = boxes.clamp(0, 1)
            variance = torch.tensor(list(p.variance) or [0.1], dtype=torch.float64)
            both = torch.stack([boxes, variance.expand_as(boxes)]).reshape(1, 2, -1)
        return both.float().to(features.device)
