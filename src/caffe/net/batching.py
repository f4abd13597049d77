"""Running a net over more items than its batch holds.

``forward_all`` pads the last batch with zeros and drops the padding; a MemoryData layer takes its batches by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from caffe.blob import Blob
from caffe.errors import InputError
from caffe.layer import Layer

Arrays = dict[str, npt.NDArray[Any]]


class Runs(Protocol):
    """A net, as far as it is needed here."""

    blobs: OrderedDict[str, Blob]
    inputs: list[str]
    outputs: list[str]
    layers: list[Layer]

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> Arrays:
        """As :meth:`Net.forward`."""

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> Arrays:
        """As :meth:`Net.backward`."""


def forward_all(net: Runs, blobs: Iterable[str] | None, inputs: dict[str, Any]) -> Arrays:
    """Run forward batch by batch.

    ``inputs``: input name → array of N items. Returns output name (and ``blobs``) → array of N items.
    """
    blobs = list(blobs or ())
    collected: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in dict.fromkeys(net.outputs + blobs)}
    items = _items(inputs)
    for batch in _batches(net, inputs):
        for name, values in net.forward(blobs, **batch).items():
            collected[name].extend(np.atleast_1d(np.array(values)))
    return {name: np.asarray(values)[:items] for name, values in collected.items()}


def forward_backward_all(
    net: Runs, blobs: Iterable[str] | None, diffs: Iterable[str] | None, inputs: dict[str, Any]
) -> tuple[Arrays, Arrays]:
    """Run forward and backward batch by batch; ``inputs`` may also hold output name → gradients of N items."""
    blobs, diffs = list(blobs or ()), list(diffs or ())
    out: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in dict.fromkeys(net.outputs + blobs)}
    back: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in dict.fromkeys(net.inputs + diffs)}
    items = _items(inputs)
    forwards = {k: v for k, v in inputs.items() if k in net.inputs}
    backwards = {k: v for k, v in inputs.items() if k in net.outputs}
    none: dict[str, Any] = {}
    for forward, backward in zip_longest(_batches(net, forwards), _batches(net, backwards), fillvalue=none):
        for name, values in net.forward(blobs=blobs, **forward).items():
            out[name].extend(np.atleast_1d(np.array(values)))
        for name, values in net.backward(diffs=diffs, **backward).items():
            back[name].extend(np.atleast_1d(np.array(values)))
    return (
        {name: np.asarray(values)[:items] for name, values in out.items()},
        {name: np.asarray(values)[:items] for name, values in back.items()},
    )


def set_input_arrays(net: Runs, data: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
    """Give the first layer arrays of items and labels to take batches from; see :meth:`Net.set_input_arrays`."""
    layer = net.layers[0] if net.layers else None
    set_arrays = getattr(layer, "set_arrays", None)
    if set_arrays is None:
        kind = "none" if layer is None else f"'{layer.name}' of type {layer.type}"
        raise InputError(
            f"set_input_arrays needs a net whose first layer is of type MemoryData; got {kind}",
            fix="Assign to net.blobs['data'].data[...] instead",
        )
    set_arrays(data, labels)


def _items(inputs: dict[str, Any]) -> int:
    counts = {name: len(values) for name, values in inputs.items()}
    if not counts:
        raise InputError("At least one input array must be given")
    if len(set(counts.values())) > 1:
        raise InputError(f"All arrays must have the same number of items; got {counts}")
    return next(iter(counts.values()))


def _batches(net: Runs, arrays: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not arrays:
        return
    items = _items(arrays)
    size = net.blobs[next(iter(arrays))].shape[0] if next(iter(arrays)) in net.blobs else items
    if not size:
        raise InputError(
            "The net's batch must hold at least one item; its inputs have none",
            fix="net.blobs[name].reshape(...) first",
        )
    for start in range(0, items, size):
        batch = {}
        for name, values in arrays.items():
            part = np.asarray(values[start : start + size])
            if len(part) < size:
                part = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
            batch[name] = part
        yield batch
