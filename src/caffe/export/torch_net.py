"""TorchNet: a net as a torch.nn.Module of its own."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from caffe.errors import InputError
from caffe.export.forms import form_for
from caffe.export.forms.form import Form
from caffe.export.graph import Graph, Node, graph_of
from caffe.export.layer_module import LayerModule
from caffe.net.net import Net

Outputs = torch.Tensor | tuple[torch.Tensor, ...] | dict[str, torch.Tensor]


class Function(nn.Module):
    """A function of tensors without parameters."""

    def __init__(self, call: Callable[..., Any], text: str) -> None:
        super().__init__()
        self.call, self.text = call, text

    def forward(self, *x: torch.Tensor) -> Any:
        return self.call(*x)

    def extra_repr(self) -> str:
        return self.text


@dataclass
class Place:
    """A layer in a module: the submodule's name, what it takes and gives."""

    node: Node
    attribute: str
    form: Form | None


class TorchNet(nn.Module):
    """A net in torch: one submodule a layer, parameters and buffers by readable names (``conv1.weight``).

    ``forward`` takes the inputs in order or by name and gives the output, several as a tuple, or a dict by name with
    ``dict_outputs``. ``train()`` and ``eval()`` choose Caffe's behaviour in TRAIN and TEST; everything has gradients.

    ``input_names``, ``output_names``: blobs. ``loss_weights``: the weight of each output that is part of the loss.
    """

    def __init__(
        self, graph: Graph, share: bool = False, dict_outputs: bool = False, exact: bool = False
    ) -> None:
        super().__init__()
        self.graph = graph
        self.dict_outputs = dict_outputs
        self.input_names = list(graph.inputs)
        self.output_names = list(graph.outputs)
        self.loss_weights = {
            name: weight
            for node in graph.nodes
            for name, weight in zip(node.tops, node.loss_weights)
            if weight and name in graph.outputs
        }
        self.places: list[Place] = []
        owners: dict[tuple[int, int], nn.Parameter] = {}
        for node in graph.nodes:
            form = form_for(node)
            if form is not None and not exact and not form.trains:
                form = None
            if form is not None and share and form.to_state is not None:
                form = None
            attribute = self._free(node.name)
            submodule, form = _submodule(node, form, owners, share, exact)
            self.add_module(attribute, submodule)
            self.places.append(Place(node, attribute, form))
        self.train(graph.phase == 0)

    def _free(self, name: str) -> str:
        """An attribute's name for a layer's, that nothing else has."""
        free = re.sub(r"\W", "_", name) or "layer"
        free = f"layer_{free}" if free[0].isdigit() else free
        while hasattr(self, free) or keyword.iskeyword(free):
            free += "_"
        return free

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> Outputs:
        """The outputs for inputs, in the order of ``input_names`` or by name. Raises InputError."""
        found = self.blobs(self._by_name(inputs, named))
        if self.dict_outputs:
            return {name: found[name] for name in self.output_names}
        tops = tuple(found[name] for name in self.output_names)
        return tops[0] if len(tops) == 1 else tops

    def _by_name(
        self, inputs: Sequence[torch.Tensor], named: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        given = {**dict(zip(self.input_names, inputs)), **named}
        if len(inputs) > len(self.input_names) or sorted(given) != sorted(self.input_names):
            raise InputError(
                f"the module takes the inputs {', '.join(self.input_names)}; got {len(inputs)} in order"
                + (f" and {', '.join(named)} by name" if named else "")
            )
        return given

    def blobs(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Every blob's values by name, as the last layer leaves them."""
        values = dict(inputs)
        for place in self.places:
            node, form = place.node, place.form
            bottoms = [
                values[n].detach() if i in node.detached else values[n] for i, n in enumerate(node.bottoms)
            ]
            if form is not None and form.before is not None:
                bottoms[0] = form.before[0](bottoms[0])
            tops = getattr(self, place.attribute)(*bottoms)
            if form is not None and form.after is not None:
                tops = form.after[0](tops)
            values.update(zip(node.tops, (tops,) if isinstance(tops, torch.Tensor) else tops))
        return values

    def reset(self) -> None:
        """Forget what recurrent layers carry from one forward to the next: it starts from zeros."""
        for submodule in self.children():
            if isinstance(submodule, LayerModule):
                submodule.reset()

    def loss(self, outputs: Outputs) -> torch.Tensor:
        """The net's loss from its outputs: those that are losses, times their weights."""
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        by_name = outputs if isinstance(outputs, dict) else dict(zip(self.output_names, outputs))
        parts = [by_name[name].sum() * weight for name, weight in self.loss_weights.items()]
        if not parts:
            raise InputError("the net has no losses", fix="Make it from a net of the TRAIN phase")
        return torch.stack(parts).sum()

    def parameter_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for a torch optimizer, with the prototxt's ``lr_mult`` and ``decay_mult``."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        seen: set[int] = set()
        for place in self.places:
            submodule = getattr(self, place.attribute)
            for param in place.node.params:
                own = getattr(submodule, param.name)
                if param.learns and id(own) not in seen:
                    seen.add(id(own))
                    groups.setdefault((param.lr_mult, param.decay_mult), []).append(own)
        return [
            {"params": params, "lr": lr * rate, "weight_decay": weight_decay * decay}
            for (rate, decay), params in groups.items()
        ]

    def caffe_weights(self) -> list[tuple[str, list[npt.NDArray[np.float32]]]]:
        """Each layer's parameters as its blobs have them; what ``net.copy_from(module)`` takes."""
        weights = []
        for place in self.places:
            submodule = getattr(self, place.attribute)
            names = [p.name for p in place.node.params]
            state = {n: getattr(submodule, n).detach() for n in names}
            if place.form is not None and place.form.from_state is not None:
                state = place.form.from_state(state)
            arrays = [state[p.name].reshape(p.tensor.shape).float().cpu().numpy() for p in place.node.params]
            if arrays:
                weights.append((place.node.name, arrays))
        return weights


def _submodule(
    node: Node,
    form: Form | None,
    owners: dict[tuple[int, int], nn.Parameter],
    share: bool,
    exact: bool,
) -> tuple[nn.Module, Form | None]:
    """A layer's module with its parameters in it."""
    if form is not None and form.made is None and form.call is not None:
        return Function(form.call, form.text), form
    blobs = {p.name: p.tensor.detach() if share else p.tensor.detach().clone() for p in node.params}
    built = form.made.build() if form is not None and form.made is not None else LayerModule(node, exact)
    if form is not None and form.to_state is not None:
        blobs = form.to_state(blobs)
    slots = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    for param in node.params:
        value = blobs[param.name]
        slot = slots.get(param.name)
        if form is not None and slot is not None:
            value = value.view(slot.shape)
        key = (param.tensor.data_ptr(), value.numel())
        if param.statistic:
            built.register_buffer(param.name, value)
            continue
        own = owners.get(key) if value.numel() else None
        if own is not None and own.shape != value.shape and form is not None:
            return _submodule(node, None, owners, share, exact)
        if own is None:
            own = owners[key] = nn.Parameter(value, requires_grad=param.learns)
        if isinstance(built, LayerModule) or slot is not None:
            setattr(built, param.name, own)
    return built, form


def to_torch(
    net: Net,
    share: bool = False,
    dict_outputs: bool = False,
    losses: bool | None = None,
    outputs: Iterable[str] = (),
) -> TorchNet:
    """A torch module that computes what the net does; see :class:`TorchNet`.

    ``share`` leaves its parameters in the net's memory: what either trains, the other has. ``losses`` keeps losses and
    accuracies (the default in the TRAIN phase); without them data layers' labels are no inputs. ``outputs`` names more
    blobs to put out. Raises LayerError for a user's Python layer, InputError for a net without inputs.
    """
    return TorchNet(graph_of(net, losses, outputs), share, dict_outputs)
