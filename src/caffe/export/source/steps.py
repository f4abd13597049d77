"""A net as the steps that its source code takes: each a line's expression, with the module that it calls, if any."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from caffe.errors import CaffeError
from caffe.export.check import ExportError
from caffe.export.forms.form import Form, Made, literal
from caffe.export.graph import Node
from caffe.export.parts import normalization as parts
from caffe.export.torch_net import TorchNet

State = dict[str, torch.Tensor]
SELF = "{self}"
_AS_FUNCTIONS: dict[type[nn.Module], str] = {
    nn.MaxPool2d: "F.max_pool2d",
    nn.MaxPool3d: "F.max_pool3d",
    nn.AvgPool2d: "F.avg_pool2d",
    nn.LocalResponseNorm: "F.local_response_norm",
}
"""Modules without parameters that source code writes as functions."""
_OF_SHAPES = {"PriorBox"}
"""Layers whose tops depend on the bottoms' shapes only: their values are stored."""


@dataclass(eq=False)
class Step:
    """``text`` is an expression of ``{0}``, ``{1}`` … (or ``{all}``), the bottoms, and ``{self}``, the module."""

    name: str
    text: str
    bottoms: list[str]
    tops: list[str]
    made: Made | None = None
    state: State = field(default_factory=dict)
    """The module's, by name; or a buffer's, whose name is empty."""
    axes: int = 4
    """Of the first bottom."""
    shared: dict[str, int] = field(default_factory=dict)
    """What tells parameters apart that several layers have in common."""
    named: bool = False
    """Whether what it gives keeps its name."""


def steps_of(module: TorchNet) -> list[Step]:
    """The steps, in order. Raises ExportError that names the layers which have no plain form."""
    lacking = [p.node for p in module.places if p.form is None and p.node.type not in _OF_SHAPES]
    if lacking:
        kinds = Counter(node.type for node in lacking)
        names = ", ".join(f"{kind} ('{next(n.name for n in lacking if n.type == kind)}')" for kind in kinds)
        raise ExportError(
            f"source code has no plain form of {names}",
            file=module.graph.file,
            line=lacking[0].line,
            fix="ONNX and .pt2 hold every layer",
        )
    steps = [_step(module, p.node, p.attribute, p.form) for p in module.places if p.form is not None]
    steps = _folded(module, steps)
    return _normalized(steps)


def _step(module: TorchNet, node: Node, attribute: str, form: Form) -> Step:
    submodule = getattr(module, attribute)
    state = {
        name: torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value.detach()
        for name, value in submodule.state_dict().items()
    }
    shared = {name: id(value) for name, value in submodule.named_parameters()}
    made, text = form.made, form.text
    if made is None or text:
        made = None
    elif made.kind in _AS_FUNCTIONS:
        args = made.args[:1] if len(set(made.args)) == 1 else made.args  # the stride is the size anyway
        more = [*map(literal, args), *(f"{k}={literal(v)}" for k, v in made.kwargs.items())]
        made, text = None, f"{_AS_FUNCTIONS[type(submodule)]}({', '.join(['{0}', *more])})"
    else:
        text = SELF + "({all})"
    text = _around(form, text)
    axes = len(node.bottom_shapes[0]) if node.bottom_shapes else 0
    names = list(node.bottoms), list(node.tops)
    if made is None:
        return Step(node.name, text, *names, axes=axes)
    return Step(node.name, text, *names, made, state, axes, shared)


def _around(form: Form, text: str) -> str:
    if form.before is not None:
        first = form.before[1].replace("{x}", "{0}")
        text = text.replace("{all}", first, 1) if "{all}" in text else text.replace("{0}", first, 1)
    return form.after[1].replace("{x}", text) if form.after is not None else text


def _folded(module: TorchNet, steps: list[Step]) -> list[Step]:
    """What no input's values have a part in becomes a buffer."""
    places = {place.node.name: place for place in module.places}
    constant = {top for p in module.places if p.node.type in _OF_SHAPES for top in p.node.tops}
    if not constant:
        return steps
    for step in steps:
        if step.bottoms and constant.issuperset(step.bottoms):
            constant.update(step.tops)
    kept = [step for step in steps if not constant.issuperset(step.tops)]
    needed = [n for step in kept for n in step.bottoms if n in constant]
    needed = list(dict.fromkeys([*needed, *(n for n in module.output_names if n in constant)]))
    values = _values(module)
    makers = {top: name for name, place in places.items() for top in place.node.tops}
    folded = [Step(makers[n], SELF, [], [n], None, {"": values[n].contiguous()}) for n in needed]
    return [*folded, *kept]


def _values(module: TorchNet) -> State:
    try:
        with torch.no_grad():
            zeros = {name: torch.zeros(shape) for name, shape in module.graph.inputs.items()}
            return module.blobs(zeros)
    except (CaffeError, RuntimeError) as error:
        raise ExportError(f"its constants cannot be found: {error}", file=module.graph.file) from error


def _normalized(steps: list[Step]) -> list[Step]:
    """BatchNorm, with the Scale behind it where there is one, as torch.nn's."""
    uses = Counter(n for step in steps for n in step.bottoms)
    by_bottom = {step.bottoms[0]: step for step in steps if step.bottoms}
    gone: set[int] = set()
    normalized = []
    for step in steps:
        if id(step) in gone:
            continue
        if step.made is None or step.made.kind is not parts.BatchNorm or not _plain(step.made):
            normalized.append(step)
            continue
        scale = by_bottom.get(step.tops[0])
        merged = scale is not None and scale.made is not None and scale.made.kind is parts.Scale
        if scale is not None and merged and uses[step.tops[0]] == 1:
            gone.add(id(scale))
            normalized.append(_batch_norm(step, step.made, scale))
        else:
            normalized.append(_batch_norm(step, step.made, None))
    return normalized


def _plain(made: Made) -> bool:
    return made.kwargs.get("always_global") is not False


def _batch_norm(step: Step, made: Made, scale: Step | None) -> Step:
    channels = made.args[0]
    kwargs: dict[str, Any] = {"eps": made.kwargs["eps"]}
    state = {"running_mean": step.state["running_mean"], "running_var": step.state["running_var"]}
    if kwargs["eps"] == torch.tensor(1e-5).item():
        kwargs = {}
    if scale is None:
        kwargs["affine"] = False
    else:
        state["weight"] = scale.state["weight"]
        state["bias"] = scale.state.get("bias", torch.zeros(channels))
    state["num_batches_tracked"] = torch.tensor(0)
    kinds: dict[int, type[nn.Module]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 5: nn.BatchNorm3d}
    made = Made(kinds.get(step.axes, nn.BatchNorm2d), (channels,), kwargs)
    return replace(step, made=made, state=state, tops=scale.tops if scale else step.tops, shared={})
