"""StridedSlice."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer

Cut = tuple[int, int, int, str]
"""First and last (not taken) index, stride, and "keep", "drop" (the axis goes) or "new"."""


class StridedSlice(TensorLayer):
    """Every stride-th value from ``begin`` to before ``end`` along each axis, as TensorFlow's strided_slice.

    Entry i of ``begin``, ``end`` and ``strides`` (1 unless given) is for axis i, negative ones count from the axis'
    end; a begin behind the last value is the last, an end beyond is the axis' end. Bits of ``begin_mask`` and
    ``end_mask`` take everything from the start or to the end, ``shrink_axis_mask`` one value, whose axis goes,
    ``new_axis_mask`` puts in an axis of size 1; that of ``ellipsis_mask`` stands for all axes that the others do not
    name. With ``axes`` (as ONNX' Slice) entry i is for axis axes[i], and there are no masks.

    bottom: x. top: what is taken.
    Differs from Caffe: entries behind an ellipsis or a new axis count along their own axis (the fork clips begin by the
    size of another), ``axes`` may be listed in any order, and a slice of nothing is an error.
    Source: synopsys-caffe (no gradient there).
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
    reads = {"strided_slice_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        p = self.param.strided_slice_param
        count = len(p.begin)
        for field in ("end", "strides", "axes"):
            given = len(getattr(p, field))
            if given != count and (given or field == "end"):
                raise self.error(f"must have as many values as begin, {count}; got {given}", field=field)
        if 0 in p.strides:
            raise self.error("must not be 0", field="strides")
        if p.ellipsis_mask & (p.ellipsis_mask - 1):
            raise self.error(f"must have one bit at most; got {p.ellipsis_mask}", field="ellipsis_mask")
        if len(p.axes):
            axes = [self.axis(a, shape) for a in p.axes]
            if len(set(axes)) != len(axes):
                raise self.error(f"must list an axis once; got {list(p.axes)}", field="axes")
        else:
            named = sum(not self._bit(p.new_axis_mask | p.ellipsis_mask, i) for i in range(count))
            if named > len(shape):
                raise self.shape_error(f"slices {named} axes; got shape {list(shape)}")
        for begin, end, stride, _ in self._cuts(shape):
            if (end - begin) * stride <= 0:
                raise self.shape_error(
                    f"takes nothing from {begin} to {end} by {stride} of shape {list(shape)}"
                )

    @staticmethod
    def _bit(mask: int, i: int) -> bool:
        return bool(mask >> i & 1)

    def _cuts(self, shape: Shape) -> list[Cut]:
        """What is taken of each axis, new ones among them."""
        p = self.param.strided_slice_param
        entries = range(len(p.begin))
        if len(p.axes):
            cuts: list[Cut] = [(0, size, 1, "keep") for size in shape]
            for i in entries:
                axis = self.axis(p.axes[i], shape)
                cuts[axis] = (*self._range(i, shape[axis]), "keep")
            return cuts
        named = sum(not self._bit(p.new_axis_mask | p.ellipsis_mask, i) for i in entries)
        cuts, axis = [], 0
        for i in entries:
            if self._bit(p.ellipsis_mask, i):
                cuts += [(0, size, 1, "keep") for size in shape[axis : axis + len(shape) - named]]
                axis += len(shape) - named
            elif self._bit(p.new_axis_mask, i):
                cuts.append((0, 1, 1, "new"))
            else:
                begin, end, stride = self._range(i, shape[axis])
                drops = self._bit(p.shrink_axis_mask, i)
                if drops:
                    begin = self._begin(i, shape[axis])
                    end, stride = begin + 1, 1
                cuts.append((begin, end, stride, "drop" if drops else "keep"))
                axis += 1
        return cuts + [(0, size, 1, "keep") for size in shape[axis:]]

    def _begin(self, i: int, size: int) -> int:
        begin = self.param.strided_slice_param.begin[i]
        return min(begin, size - 1) if begin >= 0 else max(begin + size, 0)

    def _range(self, i: int, size: int) -> tuple[int, int, int]:
        p = self.param.strided_slice_param
        stride = p.strides[i] if len(p.strides) else 1
        begin, end = self._begin(i, size), p.end[i]
        end = min(end, size) if end >= 0 else max(end + size, -1)
        masks = not len(p.axes)
        if masks and self._bit(p.begin_mask, i):
            begin = 0 if stride > 0 else size - 1
        if masks and self._bit(p.end_mask, i):
            end = size if stride > 0 else -1
        return begin, end, stride

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        axis = 0
        for begin, end, stride, kind in self._cuts(tuple(x.shape)):
            if kind == "new":
                x = x.unsqueeze(axis)
            elif kind == "drop":
                x = x.select(axis, begin)
                continue
            elif (begin, end, stride) != (0, x.shape[axis], 1):
                x = x.index_select(axis, torch.arange(begin, end, stride, device=x.device))
            axis += 1
        return x.contiguous()
