"""Nets compiled through torch.compile: runs of layers as one graph each, everything else as before.

A run is a stretch of layers that are functions of their bottoms and parameters alone. It becomes a graph of torch
operations in which the parameters are constants, so that inductor folds and fuses (convolution with BatchNorm,
Scale, ReLU, sums). Layers that read data, call Python, look at values or draw random numbers run in between.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from caffe import logs, runtime
from caffe.blob import Blob
from caffe.kernels.image import MOST_CHANNELS
from caffe.layers.activation.relu import ReLU
from caffe.memory import Memory
from caffe.net import fusing
from caffe.net.fused import Fused
from caffe.net.loss import Loss, total
from caffe.precision import autocast
from caffe.tensor_layer import TensorLayer

if TYPE_CHECKING:
    from caffe.net.net import Net
    from caffe.net.wiring import Step

Tensors = list[torch.Tensor]

_LEAST = 2  # layers that are worth a graph
_TOLERANCE = 1e-3  # of the largest value, between a float32 graph and the layers one by one
_MOST_REBUILDS = 2  # for changed weights, before they are no longer taken as constants


class Compiled:
    """A net's forward with compiled runs of layers. ``keep`` names blobs that are read after every forward."""

    def __init__(self, net: Net, keep: Iterable[str] = ()) -> None:
        self._net = net
        self._keep = frozenset(keep)
        self._plan: list[int | Run] | None = None
        self.latest = False
        """Whether the net's last forward was a compiled one."""

    def takes(self, start: int, stop: int) -> bool:
        """Whether this forward, by layer index, can be a compiled one: of the whole net, without hooks."""
        net = self._net
        hooked = net.hooks["before_forward"] or net.hooks["after_forward"]
        return start == 0 and stop == len(net.steps) and not hooked

    def forward(self) -> Loss:
        """Run the net; returns the loss."""
        if self._plan is None:
            loss, self._plan = self._first()
            return loss
        self.latest = True
        step = self._net.forward_step
        return total([part.forward() if isinstance(part, Run) else step(part) for part in self._plan])

    def _first(self) -> tuple[Loss, list[int | Run]]:
        """An ordinary forward, in which it is found out which layers make runs."""
        net = self._net
        losses: list[Loss] = []
        plan: list[int | Run] = []
        run: list[int] = []
        for i, step in enumerate([*net.steps, None]):
            inputs = [b.tensor for b in step.bottom] if step is not None else []
            if step is not None:
                losses.append(net.forward_step(i))
            if step is not None and _is_function(step, inputs):
                run.append(i)
                continue
            plan += [Run(net, run[0], i, self._keep)] if len(run) >= _LEAST else run
            run = []
            if step is not None:
                plan.append(i)
        if not any(isinstance(part, Run) for part in plan):
            logs.warning(f"Nothing in net '{net.name}' can be compiled: it runs layer by layer")
        return total(losses), plan

    def settle(self) -> None:
        """Run the layers of the last forward's graphs one by one, so that backward finds what it needs."""
        self.latest = False
        for part in self._plan or ():
            if isinstance(part, Run):
                for i in range(part.start, part.stop):
                    self._net.forward_step(i)


class Run:
    """Layers ``start`` to before ``stop`` as one graph, or one for each shape of its inputs."""

    def __init__(self, net: Net, start: int, stop: int, keep: frozenset[str]) -> None:
        self._net = net
        self.start, self.stop = start, stop
        self._steps = steps = list(net.steps[start:stop])
        inside: dict[int, tuple[str, Blob]] = {}
        outside: dict[int, Blob] = {}
        for step in steps:
            outside.update((id(b), b) for b in step.bottom if id(b) not in inside)
            inside.update((id(b), (name, b)) for name, b in zip(step.top_names, step.top))
        later = {id(b) for step in net.steps[stop:] for b in step.bottom}
        later |= {id(net.blobs[name]) for name in (*net.outputs, *net.inputs, *keep)}
        later |= {id(b) for step in steps for b, weight in zip(step.top, step.loss_weights) if weight}
        self._inputs = list(outside.values())
        self._outputs = [blob for key, (_, blob) in inside.items() if key in later]
        self._hidden = [found for key, found in inside.items() if key not in later]
        self._params = [blob for step in steps for blob in step.layer.blobs]
        self._visible = later
        self._graphs: dict[Any, Callable[..., Tensors] | None] = {}
        self._stamps: list[Stamp] = []
        self._rebuilds = 0

    def forward(self) -> Loss:
        """Run the graph, building it where there is none for these shapes; returns the loss."""
        inputs = [_own(b, b in self._net_inputs()) for b in self._inputs]
        if self._changed():
            self._graphs.clear()
        key = (runtime.device(), runtime.amp(), *((x.shape, x.dtype) for x in inputs))
        if key not in self._graphs:
            loss = self._one_by_one()
            self._graphs[key] = self._build(inputs)
            return loss
        graph = self._graphs[key]
        if graph is None:
            return self._one_by_one()
        with torch.no_grad():
            outputs = graph(*inputs)
        for blob, tensor in zip(self._outputs, outputs):
            blob.bind(tensor.clone() if tensor.is_cuda else tensor)  # CUDA graphs write there again
        restore = partial(self._restore, inputs)
        for name, blob in self._hidden:
            blob.data_memory.free(f"the compiled net has no values of '{name}'", restore=restore)
        return total([self._net.loss_of(step) for step in self._steps if step.has_loss])

    def _net_inputs(self) -> list[Blob]:
        return [self._net.blobs[name] for name in self._net.inputs]

    def _one_by_one(self) -> Loss:
        return total([self._net.forward_step(i) for i in range(self.start, self.stop)])

    def _restore(self, inputs: Tensors) -> None:
        """Compute what the graph did not hand out, from the inputs it had."""
        with torch.no_grad(), autocast(runtime.device()):
            values = self._evaluate(inputs, self._own(), [])
        for _, blob in self._hidden:
            if blob.data_memory.freed:
                blob.bind(values[id(blob)])

    def _evaluate(
        self, inputs: Sequence[torch.Tensor], own: Sequence[Tensors], fused: Sequence[Fused]
    ) -> dict[int, torch.Tensor]:
        """Every blob's values by its id, as a pure function of inputs and of each layer's own parameters.

        Those of ``fused`` layers are all with the last of them.
        """
        values = {id(b): x for b, x in zip(self._inputs, inputs)}
        inside = {k for one in fused for k in one.places}
        at_last = {one.places[-1]: one for one in fused}
        for i, step in enumerate(self._steps):
            one = at_last.get(i)
            if one is not None:
                values[id(step.top[0])] = one.run([values[id(b)] for b in one.bottoms], own[i])
            elif i not in inside:
                tops = evaluate(step, [values[id(b)] for b in step.bottom], own[i])
                values.update((id(b), x) for b, x in zip(step.top, tops))
        return values

    def _own(self) -> list[Tensors]:
        """Each layer's parameters."""
        return [[b.tensor for b in step.layer.blobs] for step in self._steps]

    def _packed(self, fused: Sequence[Fused]) -> list[Tensors]:
        """Each layer's parameters, those of ``fused`` layers with the last of them."""
        own = self._own()
        for one in fused:
            params = one.params([own[k] for k in one.places])
            for k in one.places:
                own[k] = []
            own[one.places[-1]] = params
        return own

    # Building

    def _changed(self) -> bool:
        """Whether the weights are others than those built into the graphs."""
        if not any(stamp.changed() for stamp in self._stamps):
            return False
        self._rebuilds += 1
        what = "compiling again" if self._rebuilds <= _MOST_REBUILDS else "no longer compiled as constants"
        logs.warning(f"The weights of net '{self._net.name}' were changed: {what}")
        return True

    def _build(self, inputs: Tensors) -> Callable[..., Tensors] | None:
        """A graph for inputs of these shapes, checked against the layers one by one; None where that fails."""
        frozen = self._rebuilds <= _MOST_REBUILDS
        first, last = self._steps[0].name, self._steps[-1].name
        logs.info(f"Compiling layers '{first}' to '{last}' ({len(self._steps)}); this takes a while")
        try:
            with torch.no_grad():
                fused = fusing.plan(self._steps, self._visible) if frozen else []
                own = self._packed(fused)
                function = partial(self._outputs_of, [len(tensors) for tensors in own], fused)
                graph = _compile(function, inputs, [x for tensors in own for x in tensors], frozen)
                found = graph(*inputs)
        except Exception as error:  # whatever the compiler raises, the net runs on without it
            reason = str(error).strip().splitlines() or [type(error).__name__]
            logs.warning(f"Compiling failed, going on layer by layer: {reason[0]}")
            return None
        for blob, tensor in zip(self._outputs, found):
            if not _agree(tensor, blob.tensor):
                logs.warning(f"The compiled net gives other values of '{blob.name}': going on layer by layer")
                return None
        self._stamps = [Stamp(b, frozen) for b in self._params]
        return graph

    def _outputs_of(self, counts: list[int], fused: Sequence[Fused], *tensors: torch.Tensor) -> Tensors:
        """The outputs from all layers' parameters, so many of each one's, and the inputs."""
        rest = iter(tensors)
        own = [[next(rest) for _ in range(count)] for count in counts]
        values = self._evaluate(list(rest), own, fused)
        return [values[id(b)] for b in self._outputs]


class Stamp:
    """Tells whether a parameter is still the one it was. Frozen ones must have the same values, too."""

    def __init__(self, blob: Blob, frozen: bool) -> None:
        self._blob = blob
        self._frozen = frozen
        self._pointer = blob.tensor.data_ptr()
        self._memory: Memory = blob.data_memory
        self._changes = self._memory.changes
        self._sum = _checksum(blob.tensor) if frozen else 0

    def changed(self) -> bool:
        memory = self._blob.data_memory
        if memory is self._memory and memory.changes == self._changes and not memory.watched:
            return False
        tensor = self._blob.tensor
        if not self._frozen:
            return tensor.data_ptr() != self._pointer
        self._memory, self._changes = memory, memory.changes
        return _checksum(tensor) != self._sum


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _own(blob: Blob, users: bool) -> torch.Tensor:
    """A blob's values in the strides graphs are made for; a copy where the user may write to the blob later."""
    x = blob.tensor
    last = x.dim() == 4 and x.is_floating_point() and x.shape[1] > MOST_CHANNELS
    found = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    return found.clone() if users and found.data_ptr() == x.data_ptr() else found


def evaluate(step: Step, inputs: Tensors, params: Tensors) -> Sequence[torch.Tensor]:
    """The tops of a layer that is a function of its bottoms and parameters."""
    if isinstance(step.layer, TensorLayer):
        return step.layer.tops(inputs, params)
    return [inputs[0]] * len(step.top)  # Split


def _is_function(step: Step, inputs: Tensors) -> bool:
    """Whether a layer that has just run can be part of a graph: nothing in it but operations on tensors."""
    layer = step.layer
    if layer.type != "Split" and not (
        isinstance(layer, TensorLayer) and type(layer).forward in (TensorLayer.forward, ReLU.forward)
    ):
        return False
    params = [b.tensor for b in layer.blobs]
    state = torch.get_rng_state()
    try:
        with torch.no_grad():
            _trace(partial(_flat, step, len(inputs)), [*inputs, *params])
    except Exception:  # the tracer's own errors are of many types
        return False
    return torch.equal(state, torch.get_rng_state())


def _flat(step: Step, count: int, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
    return evaluate(step, list(tensors[:count]), list(tensors[count:]))


def _trace(function: Callable[..., Any], arguments: Sequence[Any]) -> torch.fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx

    with autocast(runtime.device()):
        graph: torch.fx.GraphModule = make_fx(function, tracing_mode="real")(*arguments)
    return graph


def _compile(
    function: Callable[..., Tensors], inputs: Tensors, params: Tensors, frozen: bool
) -> Callable[..., Tensors]:
    """A compiled function of inputs alone, from one of parameters and inputs. ``frozen`` takes those as constants."""
    from torch._inductor import config

    graph = _with_own(_trace(function, [*params, *inputs]), params).eval()
    on_cuda = bool(inputs) and inputs[0].is_cuda
    compiled = torch.compile(graph, dynamic=False, mode="reduce-overhead" if on_cuda else None)
    with config.patch(freezing=frozen):
        compiled(*inputs)
    return compiled


def _with_own(module: torch.fx.GraphModule, params: Tensors) -> torch.fx.GraphModule:
    """The module with its first arguments as its own parameters, which inductor may take as constants.

    Its code is generated anew for it: torch.compile counts how often one piece of code is compiled, and stops.
    """
    graph = module.graph
    places = [node for node in graph.nodes if node.op == "placeholder"][: len(params)]
    for i, (node, param) in enumerate(zip(places, params)):
        module.register_parameter(f"param{i}", torch.nn.Parameter(param, requires_grad=False))
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.get_attr(f"param{i}"))
        graph.erase_node(node)
    module.recompile()
    return module


def _agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    if runtime.amp() or not expected.is_floating_point() or not expected.numel():
        return True
    difference = (found - expected).abs().max()
    return bool(difference <= _TOLERANCE * expected.abs().max()) or not bool(expected.isfinite().all())
