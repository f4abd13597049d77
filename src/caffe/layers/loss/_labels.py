"""Labels as places along an axis of classes."""

from __future__ import annotations

import torch

from caffe import logs
from caffe.deferred import refuse
from caffe.errors import LayerError
from caffe.layer import Layer


def class_labels(
    layer: Layer, labels: torch.Tensor, scores: torch.Tensor, axis: int, ignored: int | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The labels as whole numbers (cut off, as in the original), in scores' shape with 1 at ``axis``.

    Also a tensor of that shape: 1 where a label counts, 0 where it is ``ignored`` (its place is given as 0);
    None where all count. A label outside the classes is a LayerError; on accelerators, which are not waited for, it
    counts as NaN until that is raised.
    """
    shape = list(scores.shape)
    classes, shape[axis] = shape[axis], 1
    index = labels.reshape(shape).long()
    counted = None
    if ignored is not None:
        kept = index != ignored
        index = index.where(kept, 0)
        counted = kept.to(torch.float64 if scores.dtype == torch.float64 else torch.float32)
    if index.device.type == "cpu":
        if index.numel() and not torch.compiler.is_compiling():
            least, most = torch.aminmax(index)
            if least.item() < 0 or most.item() >= classes:
                raise _refusal(layer, index, classes)
        return index, counted
    inside = index.clamp(0, classes - 1)
    if not index.is_meta:
        one = torch.ones_like(index, dtype=torch.float32) if counted is None else counted
        wrong = inside != index
        refuse(wrong, lambda: _refusal(layer, index, classes))
        counted = one.masked_fill(wrong, torch.nan)
    return inside, counted


def measured_labels(
    layer: Layer, labels: torch.Tensor, scores: torch.Tensor, axis: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The labels as whole numbers, for layers that only measure: one outside the classes is never found.

    Its place is given as the nearest class, and False in the second tensor. The first time the log says so: published
    nets for segmentation have labels for "nothing" behind the last class.
    """
    shape = list(scores.shape)
    classes, shape[axis] = shape[axis], 1
    index = labels.reshape(shape).long()
    inside = index.clamp(0, classes - 1)
    known = inside == index
    if not layer.__dict__.get("warned"):
        refuse(~known, lambda: _warn(layer, int(index[~known][0]), classes))
    return inside, known


def _warn(layer: Layer, label: int, classes: int) -> None:
    if not layer.__dict__.get("warned"):
        layer.__dict__["warned"] = True
        logs.warning(
            f"Layer '{layer.name}' ({layer.type}): labels should be from 0 to {classes - 1}; got {label}, which"
            " counts as not found. If it is to be left out, name it as ignore_label"
        )


def _refusal(layer: Layer, index: torch.Tensor, classes: int) -> LayerError:
    flat = index.flatten()
    place = int(((flat < 0) | (flat >= classes)).nonzero()[0])
    return layer.error(
        f"labels must be from 0 to {classes - 1}, there being {classes} classes; got {int(flat[place])}"
        f" at position {place} of {flat.numel()}",
        fix="Correct the labels or the number of outputs, or name the label to leave out as ignore_label",
    )
