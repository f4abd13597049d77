"""Net: layers wired over blobs, with pycaffe's interface."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NoReturn

import numpy.typing as npt

from caffe import allocator, deferred, fillers, logs, runtime
from caffe.blob import Blob
from caffe.errors import CaffeError, InputError, InputTypeError
from caffe.layer import Layer
from caffe.net import batching, build, loss, weights
from caffe.net.arguments import blob_list, by_name, constructor, fit, layer_index, put
from caffe.net.contents import Contents
from caffe.net.rewrites.order import REWRITES
from caffe.net.run.executor import Executor
from caffe.net.run.plan import Plan
from caffe.net.step import Step
from caffe.net.turns import Turn, one_at_a_time
from caffe.net.wiring import Wiring
from caffe.proto import caffe_pb2
from caffe.user_layer import shown

Arrays = dict[str, npt.NDArray[Any]]
Hook = Callable[[int], Any]


@one_at_a_time(
    "__call__ forward forward_loss backward _backward forward_all forward_backward_all reshape plan"
)
@one_at_a_time("copy_from share_with set_input_arrays save save_hdf5 load_hdf5")
class Net(Contents):
    """A network: ``Net(network_file, phase, level=0, stages=None, weights=None, dialect=None)``.

    The older ``Net(network_file, weights, phase)`` works as well. ``network_file`` is a prototxt's path, a
    NetParameter or a NetSpec. ``dialect`` names the fork whose layers are meant, where several have one of the
    same name (docs/dialects.md). Raises MissingFileError, ParseError, NetError, LayerError, WeightsError.

    ``blobs`` and ``params`` are dicts by name, of Blobs and of each layer's list of parameter Blobs. Threads' calls
    wait for each other; what they do with blobs between calls goes into ``with net.turn:``.
    """

    def __init__(self, network_file: build.Source, *args: Any, **kwargs: Any) -> None:
        dialect = kwargs.pop("dialect", None)
        phase, level, stages, weights_file = constructor(args, kwargs)
        allocator.keep_freed_memory()
        runtime.fit_threads()
        with fillers.deferred() if weights_file is not None else nullcontext():
            wiring, param = build.wire(network_file, phase, level, stages, dialect)
        self._setup(wiring, param)
        if weights_file is not None:
            self.copy_from(weights_file)

    def _setup(self, wiring: Wiring, param: caffe_pb2.NetParameter) -> None:
        self.turn = Turn()
        self._wiring = wiring
        self._steps: list[Step] = wiring.steps
        self.name: str = param.name
        self.phase: int = param.state.phase
        self.file = wiring.file
        self._param = param
        self.hooks: dict[str, list[Hook]] = {
            f"{when}_{way}": [] for way in ("forward", "backward") for when in ("before", "after")
        }
        self.layers: list[Layer] = [shown(s.layer) for s in self._steps]
        self.blobs: OrderedDict[str, Blob] = OrderedDict(wiring.blobs)
        self.inputs: list[str] = list(wiring.inputs)
        self.outputs: list[str] = list(wiring.outputs)
        self._executor = Executor(wiring, self.name, self.hooks, self.turn, REWRITES)
        self._compiles: bool | None = None  # as the user said for this net
        self._index = {s.name: i for i, s in reversed(list(enumerate(self._steps)))}
        self._last = allocator.ReturnsMemory()

    # Forward and backward

    def __call__(self, *inputs: Any, **named: Any) -> Arrays:
        """Run the net on these arrays or tensors, in the order of its inputs or by their names; returns its outputs.

        Input blobs, and with them the net, take the values' shapes. Raises what :meth:`forward` raises.
        """
        values = by_name(inputs, named, self.inputs)
        fit(self.blobs, values)
        return {name: array.copy() for name, array in self.forward(**values).items()}

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> Arrays:
        """Run the layers from ``start`` to ``end`` (both included; names); returns output blobs as arrays.

        ``kwargs`` are values for all input blobs, of their batch size; ``blobs`` names more blobs to return.
        Raises InputError, UnknownNameError, and what layers raise.
        """
        first = 0 if start is None else layer_index(start, self._index)
        if end is None:
            last, returned = len(self._steps) - 1, list(self.outputs)
        else:
            last = layer_index(end, self._index)
            returned = list(self._steps[last].top_names)
        if first > last:
            raise InputError(
                f"forward goes from the first layer to the last: '{start}' comes after '{end}'",
                fix=f"Did you mean forward(start='{end}', end='{start}')?",
            )
        extra = blob_list(self.blobs, blobs)
        if kwargs:
            put(self.blobs, kwargs, self.inputs, "input", "data")
        self._run(first, last + 1, frozenset(returned + extra))
        deferred.raise_arrived(wait=True)
        return {name: self.blobs[name].data for name in dict.fromkeys(returned + extra) if name in self.blobs}

    def _forward(self, start: int, end: int) -> float:
        """Run layers by index, as pycaffe calls it; returns the loss."""
        loss = float(self.forward_loss(start, end))
        deferred.raise_arrived(wait=True)
        return loss

    def forward_loss(self, start: int = 0, end: int | None = None) -> loss.Loss:
        """Run layers by index; the loss stays on the device, so that nothing waits for it."""
        stop = len(self._steps) if end is None else end + 1
        return self._run(start, stop, frozenset(self.outputs))

    def _run(self, start: int, stop: int, also: frozenset[str]) -> loss.Loss:
        if self._compiles is None and self.phase == caffe_pb2.TEST and runtime.compiles():
            self.compile()
        return self._executor.forward(start, stop, also)

    def plan(self) -> Plan:
        """What the next forward of the whole net runs, as a list of ops; ``print`` shows it.

        Each op is one layer, or several that run as one, with the rewrites that made it so.
        """
        return self._executor.plan(also=frozenset(self.outputs))

    def set_loss_scale(self, scale: float) -> None:
        """Multiply all gradients by a factor from now on, as float16 needs it; losses are shown without it."""
        self._executor.set_loss_scale(scale)

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> Arrays:
        """Run backward from layer ``start`` down to ``end`` (both included; names); returns input diffs.

        ``kwargs`` are gradients for all output blobs; ``diffs`` names more blobs whose diffs are returned.
        Parameter diffs are added to (see ``clear_param_diffs``). Raises InputError, UnknownNameError.
        """
        first = len(self._steps) - 1 if start is None else layer_index(start, self._index)
        if end is None:
            last, returned = 0, list(self.inputs)
        else:
            last = layer_index(end, self._index)
            returned = list(self._steps[last].bottom_names)
        if first < last:
            raise InputError(
                f"backward goes from the last layer to the first: '{start}' comes before '{end}'",
                fix=f"Did you mean backward(start='{end}', end='{start}')?",
            )
        extra = blob_list(self.blobs, diffs)
        if kwargs:
            put(self.blobs, kwargs, self.outputs, "output", "diff")
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in dict.fromkeys(returned + extra) if name in self.blobs}

    def _backward(self, start: int, end: int) -> None:
        """Run backward by layer index, as pycaffe calls it."""
        self.backward_steps(start, end)

    def backward_steps(self, start: int | None = None, end: int = 0) -> None:
        """Run backward by layer index, from ``start`` (the last) down to ``end``."""
        self._executor.backward(len(self._steps) - 1 if start is None else start, end)

    def reshape(self) -> None:
        """Give every blob the shape that follows from the inputs' present shapes.

        Raises what layers raise, and NetError where memory cannot hold them.
        """
        for step in self._steps:
            try:
                step.layer.reshape(step.bottom, step.top)
            except CaffeError as error:
                raise error.located(
                    file=self.file, line=step.line, layer=step.name, type=step.layer.type
                ) from None
        self._executor.check_memory()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero; backward adds to them."""
        for param in self.learnable:
            param.blob.diff_memory.clear()

    # Inference

    def compile(self, on: bool = True, keep: Iterable[str] = ()) -> None:
        """Run forward as compiled graphs from the next one on: faster, after one that takes up to minutes.

        For nets of the TEST phase; one of the TRAIN phase says that it runs as before. Parameters count as
        constants; where they are changed, that is noticed, and the next forward compiles again. Blobs in the
        middle are computed again when they are read, unless named in ``keep``. What cannot be compiled (Python
        and data layers) runs as before. Raises UnknownNameError for a ``keep`` that is no blob.
        """
        if on and self.phase == caffe_pb2.TRAIN:
            logs.warning(f"Net '{self.name}' is for training: only nets of the TEST phase are compiled")
        self._compiles = on and self.phase == caffe_pb2.TEST
        names = frozenset(blob_list(self.blobs, keep)) if self._compiles else frozenset()
        self._switch(compiled=self._compiles, compiled_keep=names)

    def _switch(self, **changes: Any) -> None:
        self._executor.mode = replace(self._executor.mode, **changes)

    def set_inference(self, on: bool = True, keep: Iterable[str] = (), recompute: bool = False) -> None:
        """Run forward only, in as little memory as possible.

        Nothing is kept for backward, and a blob is freed once no later layer reads it; inputs, outputs,
        losses and the blobs named in ``keep`` stay, as do those that ``forward(blobs=…)`` asks for. Reading a
        freed one, or calling backward, raises StateError; with ``recompute``, in a net without data layers,
        the layers of that forward are run again then, from the inputs that it had, with the parameters as they
        are then. Raises UnknownNameError for a ``keep`` that is no blob.
        """
        names = frozenset(blob_list(self.blobs, keep)) if on else frozenset()
        self._switch(inference=on, recompute=on and recompute, keep=names)

    def set_checkpointing(self, on: bool = True) -> None:
        """Train in less memory: blobs between checkpoints are freed, and computed again in backward.

        Reading one of them raises StateError. Forward and backward must be of the whole net.
        """
        self._switch(checkpointing=on)

    @property
    def checkpoints(self) -> bool:
        """Whether it trains in less memory: see :meth:`set_checkpointing`."""
        return self._executor.mode.checkpointing

    # Weights

    def copy_from(self, trained_filename: str | os.PathLike[str]) -> weights.Report:
        """Copy parameters of layers with the same names from a .caffemodel or .h5 file, or a ``to_torch()`` module.

        Returns which layers were filled, and which of either side were not. Raises MissingFileError, WeightsError.
        """
        return weights.copy_from(self, trained_filename)

    def share_with(self, other: Net) -> None:
        """Use the parameters of the other net's layers with the same names from now on."""
        if not isinstance(other, Net):
            raise InputTypeError(f"share_with takes a Net; got {other!r}")
        weights.share_with(self, other)

    def save(self, filename: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write a .caffemodel that the original reads. Raises FileAccessError."""
        weights.save(self, filename, write_diff)

    def save_hdf5(self, filename: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write the parameters in the original's HDF5 layout."""
        weights.save_hdf5(self, filename, write_diff)

    def load_hdf5(self, filename: str | os.PathLike[str]) -> weights.Report:
        """Copy parameters from a file in the original's HDF5 layout."""
        return weights.load_hdf5(self, filename)

    # Batches

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: Any) -> Arrays:
        """Run forward over inputs of any number of items, batch by batch; see :mod:`caffe.net.batching`."""
        return batching.forward_all(self, blobs, kwargs)

    def forward_backward_all(
        self, blobs: Iterable[str] | None = None, diffs: Iterable[str] | None = None, **kwargs: Any
    ) -> tuple[Arrays, Arrays]:
        """Run forward and backward over inputs of any number of items; returns (blobs, diffs)."""
        return batching.forward_backward_all(self, blobs, diffs, kwargs)

    def set_input_arrays(self, data: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
        """Give the first layer, a MemoryData, arrays of items and labels to take batches from.

        Raises InputError where the arrays do not fit (float32, C order, 4 axes, a multiple of batch_size).
        """
        batching.set_input_arrays(self, data, labels)

    # Hooks

    def before_forward(self, hook: Hook) -> None:
        """Call ``hook(layer_index)`` before each layer's forward."""
        self.hooks["before_forward"].append(hook)

    def after_forward(self, hook: Hook) -> None:
        """Call ``hook(layer_index)`` after each layer's forward."""
        self.hooks["after_forward"].append(hook)

    def before_backward(self, hook: Hook) -> None:
        """Call ``hook(layer_index)`` before each layer's backward."""
        self.hooks["before_backward"].append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Call ``hook(layer_index)`` after each layer's backward."""
        self.hooks["after_backward"].append(hook)

    # Life

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise InputTypeError(
            f"Net '{self.name}' cannot be pickled or copied: it holds data readers and what forward kept",
            fix="Write net.save('….caffemodel') and make another: caffe.Net(net.to_proto(), net.phase,"
            " weights='….caffemodel'); other.share_with(net) shares the parameters",
        )

    def close(self) -> None:
        """Stop data threads and close databases; also happens when the net is collected."""
        self._wiring.close()

    def __del__(self) -> None:
        wiring = getattr(self, "_wiring", None)
        if wiring is not None:
            wiring.close()


__all__ = ["Arrays", "Hook", "Net"]
