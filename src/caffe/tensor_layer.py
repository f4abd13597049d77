"""TensorLayer: built-in layers, written as two pure methods on tensors.

``declare(*bottom_shapes)`` says which parameters the layer has, ``compute(*bottoms, *parameters)`` is its
mathematics. What a forward hands on to the next is state: statistics among the parameters, and what the layer
``carries``; ``compute`` takes it, and returns it anew (:class:`Stateful`). Top shapes come from running ``compute``
on tensors without values (torch's meta device), gradients from autograd, one small graph a layer, so that
``backward`` can start and end anywhere and every blob's ``diff`` is there to read and write.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch

from caffe import deferred, fillers, limits, runtime
from caffe.blob import Blob, BlobVec, Shape
from caffe.errors import CaffeError
from caffe.gradients import gradients
from caffe.layer import Count, Keep, Layer
from caffe.precision import autocast, low_precision, widened
from caffe.proto import caffe_pb2
from caffe.randomness import RandomState, drawing_again, random_state

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Stateful:
    """What ``compute`` returns where a layer has state: the tops, and the state's values after this forward.

    ``state`` has those of the statistics (the blobs that do not learn), then those that the layer ``carries``.
    """

    tops: torch.Tensor | Sequence[torch.Tensor]
    state: Sequence[torch.Tensor]


@dataclass(slots=True)
class Kept:
    """What one forward of a layer kept for its backward."""

    inputs: Sequence[torch.Tensor]
    carried: Tensors
    graph: tuple[list[torch.Tensor], Tensors] | None = None
    """The leaves (inputs and parameters) and their tops; None where forward is computed again from the inputs."""
    random: RandomState | None = None
    """Where the random numbers of that forward began, for a graph made later."""


_MOST_INFERRED = 10_000
_inferred: dict[object, list[Shape]] = {}
"""Tops' shapes of built-in layers by type, parameters and bottoms: a deep net is many times the same few layers."""


@dataclass
class BlobSpec:
    """A parameter to be made: its shape, how it is filled (zeros without a filler), whether it learns."""

    shape: Shape
    filler: caffe_pb2.FillerParameter | None = None
    learns: bool = True
    """False for statistics, which the solver must leave alone (BatchNorm's)."""


class TensorLayer(Layer):
    """A layer given by ``declare`` and ``compute``; see the module."""

    num_bottoms: ClassVar[Count] = 1
    num_tops: ClassVar[Count] = 1
    differentiable: ClassVar[bool] = True
    """Whether ``compute`` has a gradient at all (ArgMax and the like have none)."""
    keeps_shape: ClassVar[bool] = False
    """Whether the top has bottom 0's shape wherever ``check`` passes: then nothing is run to find it out."""
    zero_gradient: ClassVar[tuple[int, ...]] = ()
    """Bottoms that layers with parameters may have made, but whose gradient is 0: regions, masks, weights."""
    full_precision: ClassVar[bool] = False
    """Whether mixed precision leaves the layer out: it takes float32, and computes in it. Losses always do."""
    shares_data: ClassVar[bool] = False
    """Whether tops are their bottoms' values to scripts too: writing to one changes the other, as in Caffe."""

    weight_channels_last: bool = False
    """Whether parameter 0 is a weight with a 2-D window, which runs faster in channels_last order."""

    specs: list[BlobSpec]
    carried: Tensors = ()
    """The values that go on to the next forward besides the statistics; none yet: zeros."""

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        super().__init__(param)
        self.specs = []
        self._shapes: tuple[Shape, ...] | None = None
        self._last: Kept | None = None  # of a forward by itself, outside of a net

    # What a layer says. (The signatures are open so that each layer can write its own.)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Raise ShapeError or LayerError where parameters or bottom shapes cannot be."""

    def declare(self, *args: Any, **kwargs: Any) -> list[BlobSpec]:
        """The parameters for bottoms of these shapes."""
        return []

    def carries(self, *args: Any, **kwargs: Any) -> list[Shape]:
        """The shapes of the values that go on from one forward to the next, for bottoms of these shapes."""
        return []

    @property
    def draws(self) -> bool:
        """Whether ``compute`` draws random numbers, in the layer's phase."""
        return False

    def compute(self, *args: Any, **kwargs: Any) -> Any:
        """The tops, from the bottoms followed by the parameters and what is carried; pure.

        With new values of the state as :class:`Stateful`. Must not change its arguments.
        """
        raise self.error("has no compute()", fix="Define compute(*bottoms, *parameters) in the layer's class")

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        """The tops' shapes; only layers whose tops depend on values override it."""
        if self.keeps_shape:
            return [shapes[0]]
        params = tuple(b.shape for b in self.blobs)
        key = None
        if type(self).__module__.startswith("caffe.layers."):  # a user's layer may depend on anything
            key = (type(self), self._alike, shapes, params, self.top_count)
        if key not in _inferred:
            with torch.no_grad():
                metas = [torch.empty(s, device="meta") for s in (*shapes, *params)]
                tops = [tuple(top.shape) for top in as_tuple(self.compute(*metas))]
            if key is None:
                return tops
            if len(_inferred) >= _MOST_INFERRED:
                _inferred.clear()
            _inferred[key] = tops
        return _inferred[key]

    @cached_property
    def _alike(self) -> bytes:
        """What of its parameters a layer shares with those that compute the same."""
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(self.param)
        for name in ("name", "bottom", "top", "param", "include", "exclude", "blobs"):
            param.ClearField(name)
        return param.SerializeToString(deterministic=True)

    def apart(self, phase: int, shapes: Sequence[Shape]) -> TensorLayer:
        """The layer for a phase, by itself, before its first forward; its parameters only have ``shapes``."""
        layer = copy.copy(self)
        layer.param = caffe_pb2.LayerParameter()
        layer.param.CopyFrom(self.param)
        layer.param.phase = phase  # type: ignore[assignment]
        layer.phase = phase
        layer.blobs = BlobVec()
        for shape in shapes:
            layer.blobs.add_blob(*shape)
        layer.carried, layer._last, layer._shapes = (), None, None
        return layer

    # What the net calls

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shapes = [b.shape for b in bottom]
        self.check(*shapes)
        self.specs = self.declare(*shapes)
        own = 4 * sum(math.prod(limits.shape(spec.shape)) for spec in self.specs)
        limits.check_memory(
            self.others_bytes + own,
            f"the net needs {limits.readable(own)} for the parameters {_lists(s.shape for s in self.specs)} of this"
            " layer: with those before it",
            "Make num_output, or what the layer works on, smaller, or set CAFFE_MAX_MEMORY",
        )
        for i, spec in enumerate(self.specs):
            blob = self.blobs.add_blob(*spec.shape)
            if spec.filler is not None and blob.count and fillers.can_wait(spec.filler):
                blob.data_memory.initial = partial(fillers.fill, param=spec.filler, rng=runtime.rng())
            elif spec.filler is not None:
                try:
                    fillers.fill(blob.data, spec.filler, runtime.rng())
                except CaffeError as error:
                    raise error.located(
                        layer=self.name, type=self.type, field=f"filler of parameter {i}"
                    ) from None
                blob.data_memory.exposed = False

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shapes = tuple(b.shape for b in bottom)
        if shapes == self._shapes:
            return
        self.check(*shapes)
        try:
            inferred = self.infer(*shapes)
        except CaffeError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            raise self.shape_error(
                f"cannot work on bottoms of shape {_lists(shapes)}"
                + (
                    f" with parameters of shape {_lists(b.shape for b in self.blobs)}"
                    if len(self.blobs)
                    else ""
                )
                + f": {error}"
            ) from error
        for blob, shape in zip(top, inferred):
            blob.reshape(*shape)
        self._shapes = shapes

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self._last = self.forward_keeping(bottom, top, self.keeps)
        deferred.raise_arrived(wait=True)

    @property
    def keeps(self) -> Keep:
        """What a forward keeps unless it is told otherwise: in TEST hardly anyone calls backward."""
        if not self.needs.backward:
            return Keep.NOTHING
        return Keep.GRAPH if self.phase == caffe_pb2.TRAIN else Keep.INPUTS

    def forward_keeping(self, bottom: Sequence[Blob], top: Sequence[Blob], keep: Keep) -> Any:
        inputs = [b.tensor for b in bottom]
        if tuple([x.shape for x in inputs]) != self._shapes:
            self._shapes = None
            self.reshape(bottom, top)
        outs, state, kept = self._computed(inputs, keep, self.carried)
        for blob, out in zip(top, outs):
            blob.bind(out)
        if state:
            self.set_state(state, runtime.device())
        self._lend_data(bottom, top, inputs)
        return kept

    def forward_again(
        self,
        inputs: Sequence[torch.Tensor],
        keep: Keep,
        carried: Tensors,
        statistics: Sequence[torch.Tensor] | None,
    ) -> tuple[Tensors, Kept | None]:
        """The tops of a forward that was, from its inputs and the state before it; nothing of the layer changes."""
        self._check_again(inputs)
        outs, _, kept = self._computed(inputs, keep, carried, statistics)
        return outs, kept

    def _check_again(self, inputs: Sequence[torch.Tensor]) -> None:
        """Be ready for the inputs of a forward that was, whose shapes may be others than today's."""
        shapes = tuple(tuple(x.shape) for x in inputs)
        if shapes != self._shapes:
            self.check(*shapes)
            self._shapes = None  # so that the next forward checks its own

    def _computed(
        self,
        inputs: Sequence[torch.Tensor],
        keep: Keep,
        carried: Tensors,
        statistics: Sequence[torch.Tensor] | None = None,
    ) -> tuple[Tensors, Sequence[torch.Tensor], Kept | None]:
        """The tops, the new state, and what is kept; ``statistics`` take the place of the present ones."""
        graph = keep is Keep.GRAPH
        params = self._parameters(runtime.device(), graph)
        if statistics is not None:
            values = iter(statistics)
            params = [x if spec.learns else next(values) for x, spec in zip(params, self.specs)]
        if graph:
            leaves, tops, state = self._differentiable(inputs, params, carried)
            return (
                tuple([top.detach() for top in tops]),
                state,
                Kept((), carried, (leaves, tops)),
            )
        kept = None
        if keep is Keep.INPUTS:
            kept = Kept(inputs, carried, random=random_state() if self.draws else None)
        outs, state = self.evaluate(inputs, params, carried)
        return outs, state, kept

    @property
    def statistics(self) -> list[Blob]:
        """The blobs that do not learn: with what the layer carries, its state."""
        return [blob for blob, spec in zip(self.blobs, self.specs) if not spec.learns]

    def set_state(self, state: Sequence[torch.Tensor], device: torch.device) -> None:
        """Take the values that ``compute`` has returned as the state's: those of statistics, then what is carried."""
        places = self.statistics
        for blob, value in zip(places, state):
            blob.data_memory.mutable_on(device).copy_(value)
        self.carried = tuple(state[len(places) :])

    def _parameters(self, device: torch.device, graph: bool) -> list[torch.Tensor]:
        memories = [b.data_memory for b in self.blobs]
        if graph:
            return [m.on(device) for m in memories]
        if runtime.amp() and not (self.is_loss or self.full_precision):
            layout = torch.channels_last if self.weight_channels_last else torch.preserve_format
            return [low_precision(m, device, layout) for m in memories]
        if self.weight_channels_last and device.type != "mps":
            weight, *rest = memories
            layout = torch.channels_last
            return [weight.converted(device, torch.float32, layout), *(m.on(device) for m in rest)]
        return [m.on(device) for m in memories]

    def _lend_data(self, bottom: Sequence[Blob], top: Sequence[Blob], inputs: Sequence[torch.Tensor]) -> None:
        """Note which tops are their bottoms' bytes (an identity, a slice): a script's writing copies first."""
        if self.shares_data:
            return
        for blob, x in zip(bottom, inputs):
            for out in top:
                if out is not blob and _bytes(out.tensor) == _bytes(x):
                    blob.data_memory.lend(out.data_memory)

    def _differentiable(
        self, inputs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], carried: Tensors = ()
    ) -> tuple[list[torch.Tensor], Tensors, Sequence[torch.Tensor]]:
        leaves = []
        needs = [*self.needs.bottoms, *self.needs.params]
        for i in self.zero_gradient:
            if i < len(inputs):
                needs[i] = False
        for x, wanted in zip([*inputs, *params], needs):
            leaf = x.detach()
            leaves.append(leaf.requires_grad_() if wanted and leaf.is_floating_point() else leaf)
        with torch.enable_grad():
            outs, state = self.evaluate(leaves[: len(inputs)], leaves[len(inputs) :], carried)
        return leaves, outs, state

    def evaluate(
        self,
        inputs: Sequence[torch.Tensor],
        blobs: Sequence[torch.Tensor],
        carried: Sequence[torch.Tensor] = (),
    ) -> tuple[Tensors, Sequence[torch.Tensor]]:
        """The tops and the new state (none where it stays), in the precision asked for (``caffe.set_amp``)."""
        if not (runtime.amp() and (self.is_loss or self.full_precision)):
            computed = self.compute(*inputs, *blobs, *carried)
        else:
            with torch.autocast(runtime.device().type, enabled=False):
                computed = self.compute(*map(widened, inputs), *blobs, *carried)
        return as_tuple(computed), computed.state if isinstance(computed, Stateful) else ()

    def tops(self, inputs: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Tensors:
        """What ``evaluate`` gives, without the state."""
        return self.evaluate(inputs, params)[0]

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        self.backward_from(self._last, top, propagate_down, bottom)

    def backward_from(
        self, kept: Any, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        for i in self.no_gradient:
            if i < len(bottom) and propagate_down[i]:
                raise self.error(
                    f"bottom {i} ('{bottom[i].name}') cannot have a gradient",
                    fix="Set its propagate_down to false",
                )
        leaves, outs = self._graph_of(kept or Kept([b.tensor for b in bottom], self.carried))
        differing = [(out, t.diff_tensor) for out, t in zip(outs, top) if out.requires_grad]
        grads: Sequence[torch.Tensor | None] = [None] * len(leaves)
        if differing:
            grads = gradients([o for o, _ in differing], [d.to(o.dtype) for o, d in differing], leaves)
        bound = {_bytes(t.diff_tensor): t for out, t in zip(outs, top) if out.requires_grad}
        for wanted, blob, leaf, grad in zip(propagate_down, bottom, leaves, grads):
            if wanted:
                blob.bind_diff(grad if grad is not None else torch.zeros_like(leaf))
                other = bound.setdefault(_bytes(blob.diff_tensor), blob)
                if other is not blob:  # a gradient passed through, or the same to several bottoms
                    other.diff_memory.lend(blob.diff_memory)
        for blob, grad in zip(self.blobs, grads[len(bottom) :]):
            if grad is not None:
                # a parameter's diff is added to later: it must not be a top's diff passed through
                shared = any(grad.data_ptr() == diff.data_ptr() for _, diff in differing)
                blob.diff_memory.accumulate(grad.clone() if shared else grad.contiguous())

    def _graph_of(self, kept: Kept) -> tuple[list[torch.Tensor], Tensors]:
        """Leaves and tops of the forward that kept this; made now where it kept its inputs only."""
        if kept.graph is not None:
            return kept.graph
        self._check_again(kept.inputs)
        params = [b.tensor for b in self.blobs]
        drawing = nullcontext() if kept.random is None else drawing_again(kept.random)
        with autocast(runtime.device()), drawing:
            return self._differentiable(kept.inputs, params, kept.carried)[:2]

    @property
    def changes_state(self) -> bool:
        """Whether a forward may change statistics or what is carried."""
        return bool(self.statistics) or type(self).carries is not TensorLayer.carries


def as_tuple(tops: torch.Tensor | Sequence[torch.Tensor] | Stateful) -> Tensors:
    """What ``compute`` gives: the tops as a tuple."""
    if isinstance(tops, Stateful):
        tops = tops.tops
    return (tops,) if isinstance(tops, torch.Tensor) else tuple(tops)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _lists(shapes: object) -> str:
    return ", ".join(str(list(s)) for s in shapes)  # type: ignore[attr-defined]
