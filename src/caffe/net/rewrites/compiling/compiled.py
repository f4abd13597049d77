"""Nets compiled through torch.compile: runs of layers as one graph each, everything else as before.

A run is a stretch of layers that are functions of their bottoms and parameters alone. It becomes a graph of torch
operations in which the parameters are constants, so that inductor folds and fuses (convolution with BatchNorm,
Scale, ReLU, sums). Layers that read data, call Python, look at values or draw random numbers run in between.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from caffe import logs, runtime
from caffe.blob import Blob
from caffe.kernels.image import MOST_CHANNELS
from caffe.memory import Memory
from caffe.net.loss import Loss, total
from caffe.net.rewrites.compiling import fusing
from caffe.net.rewrites.compiling.fused import Fused
from caffe.net.run import liveness
from caffe.net.run.op import Op, Values
from caffe.net.run.plan import Runner
from caffe.net.run.trace import Entry, begin
from caffe.net.step import Step
from caffe.net.wiring import Wiring
from caffe.precision import autocast
from caffe.tensor_layer import TensorLayer
from caffe.torch_private import freezing

Tensors = list[torch.Tensor]

_LEAST = 2  # layers that are worth a graph
_TOLERANCE = 1e-3  # of the largest value, between a float32 graph and the layers one by one
_MOST_REBUILDS = 2  # for changed weights, before they are no longer taken as constants


class Compiled:
    """A group of ops, of a whole net: those that can are run as graphs. ``keep`` names blobs that are handed out."""

    title = "compiled"

    def __init__(self, ops: Sequence[Op], wiring: Wiring, keep: Iterable[str]) -> None:
        self.ops = ops
        self._wiring = wiring
        self._stay = liveness.shown(wiring, keep)
        self.parts: list[Op | Run] | None = None
        """The ops, in runs where they make such; None before the first forward."""

    def notes(self, op: Op) -> str:
        """Which graph it is in, and what it runs as there."""
        if self.parts is None:
            return "found out by the first forward"
        runs = [part for part in self.parts if isinstance(part, Run)]
        for number, run in enumerate(runs, 1):
            if op in run.ops:
                fused = next((one.title for one in run.fused if run.ops.index(op) in one.places), "")
                return f"graph {number}{': ' if fused else ''}{fused}"
        return "by itself"

    def forward(self, runner: Runner) -> Loss:
        """Run the net; returns the loss."""
        if self.parts is None:
            loss, self.parts = self._first(runner)
            return loss
        return total(
            [part.forward(runner) if isinstance(part, Run) else runner.run(part) for part in self.parts]
        )

    def _first(self, runner: Runner) -> tuple[Loss, list[Op | Run]]:
        """An ordinary forward, in which it is found out which layers make runs."""
        losses: list[Loss] = []
        parts: list[Op | Run] = []
        ops: list[Op] = []
        for op in self.ops:
            inputs = [b.tensor for b in op.bottom]
            losses.append(runner.run(op))
            if _is_function(op.steps[0], inputs):
                ops.append(op)
                continue
            parts += [*self._run(ops), op]
            ops = []
        parts += self._run(ops)
        if not any(isinstance(part, Run) for part in parts):
            logs.warning(f"Nothing in net '{runner.name}' can be compiled: it runs layer by layer")
        return total(losses), parts

    def _run(self, ops: list[Op]) -> list[Op | Run]:
        if len(ops) < _LEAST:
            return [*ops]
        later = liveness.read(self._wiring.steps[ops[-1].places[-1] + 1 :])
        return [Run(ops, self._stay | later, self._wiring.input_blobs)]


class Run:
    """Ops as one graph, or one for each shape of its inputs. ``visible`` blobs are handed out."""

    def __init__(self, ops: Sequence[Op], visible: set[Blob], users: set[Blob]) -> None:
        self.ops = ops
        self._steps = steps = liveness.steps_of(ops)
        self._entry = Op(ops[0].layer, tuple(steps), tuple(op.places[0] for op in ops))
        self._inputs = liveness.entering(steps)
        self._users = users
        inside = liveness.written(steps)
        self._outputs = [blob for blob in inside if blob in visible]
        self._hidden = [(name, blob) for blob, name in inside.items() if blob not in visible]
        self._params = [blob for step in steps for blob in step.layer.blobs]
        self._visible = visible
        self._graphs: dict[Any, Callable[..., Tensors] | None] = {}
        self._stamps: list[Stamp] = []
        self._rebuilds = 0
        self.fused: Sequence[Fused] = ()
        """What several layers run as, in the last graph that was built."""

    def forward(self, runner: Runner) -> Loss:
        """Run the graph, building it where there is none for these shapes; returns the loss."""
        inputs = [_own(b, b in self._users) for b in self._inputs]
        if self._changed(runner.name):
            self._graphs.clear()
        key = (runtime.device(), runtime.amp(), *((x.shape, x.dtype) for x in inputs))
        if key not in self._graphs:
            loss = self._one_by_one(runner)
            self._graphs[key] = self._build(inputs)
            return loss
        graph = self._graphs[key]
        if graph is None:
            return self._one_by_one(runner)
        segment = begin(self.ops, dict(zip(self._inputs, inputs)), self._hidden)
        runner.remember(segment)
        with torch.no_grad():
            outputs = graph(*inputs)
        for blob, tensor in zip(self._outputs, outputs):
            blob.bind(tensor.clone() if tensor.is_cuda else tensor)  # CUDA graphs write there again
        for name, blob in self._hidden:
            blob.data_memory.free(f"the compiled net has no values of '{name}'", restore=segment.restore)
        runner.trace.put(Entry(self._entry, None, segment))
        return total([runner.loss_of(step) for step in self._steps if step.has_loss])

    def _one_by_one(self, runner: Runner) -> Loss:
        return total([runner.run(op) for op in self.ops])

    def _evaluate(
        self, inputs: Sequence[torch.Tensor], own: Sequence[Tensors], fused: Sequence[Fused]
    ) -> Values:
        """Every blob's values, as a pure function of inputs and of each layer's own parameters.

        Those of ``fused`` layers are all with the last of them.
        """
        values = dict(zip(self._inputs, inputs))
        inside = {k for one in fused for k in one.places}
        at_last = {one.places[-1]: one for one in fused}
        for i, step in enumerate(self._steps):
            one = at_last.get(i)
            if one is not None:
                values[step.top[0]] = one.run([values[b] for b in one.bottoms], own[i])
            elif i not in inside:
                tops = evaluate(step, [values[b] for b in step.bottom], own[i])
                values.update((b, x) for b, x in zip(step.top, tops))
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

    def _changed(self, name: str) -> bool:
        """Whether the weights are others than those built into the graphs."""
        if not any(stamp.changed() for stamp in self._stamps):
            return False
        self._rebuilds += 1
        what = "compiling again" if self._rebuilds <= _MOST_REBUILDS else "no longer compiled as constants"
        logs.warning(f"The weights of net '{name}' were changed: {what}")
        return True

    def _build(self, inputs: Tensors) -> Callable[..., Tensors] | None:
        """A graph for inputs of these shapes, checked against the layers one by one; None where that fails."""
        frozen = self._rebuilds <= _MOST_REBUILDS
        first, last = self._steps[0].name, self._steps[-1].name
        logs.info(f"Compiling layers '{first}' to '{last}' ({len(self._steps)}); this takes a while")
        try:
            with torch.no_grad():
                fused = fusing.plan(self._steps, self._visible) if frozen else []
                self.fused = fused
                own = self._packed(fused)
                function = partial(self._outputs_of, [len(tensors) for tensors in own], fused)
                graph = _compile(function, inputs, [x for tensors in own for x in tensors], frozen)
                outputs = graph(*inputs)
        except Exception as error:  # whatever the compiler raises, the net runs on without it
            reason = str(error).strip().splitlines() or [type(error).__name__]
            logs.warning(f"Compiling failed, going on layer by layer: {reason[0]}")
            return None
        for blob, tensor in zip(self._outputs, outputs):
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
        return [values[b] for b in self._outputs]


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
    values = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    return values.clone() if users and values.data_ptr() == x.data_ptr() else values


def evaluate(step: Step, inputs: Tensors, params: Tensors) -> Sequence[torch.Tensor]:
    """The tops of a layer that is a function of its bottoms and parameters."""
    if isinstance(step.layer, TensorLayer):
        return step.layer.tops(inputs, params)
    return [inputs[0]] * len(step.top)  # Split


def _is_function(step: Step, inputs: Tensors) -> bool:
    """Whether a layer that has just run can be part of a graph: nothing in it but operations on tensors."""
    layer = step.layer
    if layer.type != "Split" and not isinstance(layer, TensorLayer):
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
    graph = _with_own(_trace(function, [*params, *inputs]), params).eval()
    on_cuda = bool(inputs) and inputs[0].is_cuda
    compiled = torch.compile(graph, dynamic=False, mode="reduce-overhead" if on_cuda else None)
    with freezing(frozen):
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
