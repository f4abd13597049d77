"""Split layers for blobs that several layers (or a loss weight and a layer) use, so that gradients add up."""

from __future__ import annotations

from collections import defaultdict

from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2

_Top = tuple[int, int]
"""(index of a layer, index of its top)."""


def split_layer_name(layer: str, blob: str, index: int) -> str:
    """The original's name of the layer that splits a top."""
    return f"{blob}_{layer}_{index}_split"


def split_blob_name(layer: str, blob: str, index: int, k: int) -> str:
    """The original's name of the k-th copy of a top."""
    return f"{split_layer_name(layer, blob, index)}_{k}"


def insert_splits(net: NetFile) -> None:
    """Insert Split layers in place; a line number of a Split is that of the layer whose top it splits."""
    layers = list(net.param.layer)
    sources, uses, weights = _uses(layers)
    if not any(count > 1 for count in uses.values()):
        return
    result = caffe_pb2.NetParameter()
    lines: list[int] = []
    taken: dict[_Top, int] = defaultdict(int)
    for i, layer in enumerate(layers):
        copy = result.layer.add()
        copy.CopyFrom(layer)
        if i < len(net.lines):
            lines.append(net.lines[i])
        for j, blob in enumerate(layer.bottom):
            source = sources.get((i, j))
            if source is not None and uses[source] > 1:
                copy.bottom[j] = split_blob_name(layers[source[0]].name, blob, source[1], taken[source])
                taken[source] += 1
        for j, blob in enumerate(layer.top):
            count, weight = uses[(i, j)], weights.get((i, j), 0.0)
            if count <= 1:
                continue
            split = result.layer.add(name=split_layer_name(layer.name, blob, j), type="Split", bottom=[blob])
            split.top.extend(split_blob_name(layer.name, blob, j, k) for k in range(count))
            if weight:
                # The loss takes the first copy.
                split.loss_weight.extend([weight] + [0.0] * (count - 1))
                del copy.loss_weight[:]
                taken[(i, j)] += 1
            if i < len(net.lines):
                lines.append(net.lines[i])
    del net.param.layer[:]
    net.param.layer.MergeFrom(result.layer)
    net.lines = lines


def _uses(
    layers: list[caffe_pb2.LayerParameter],
) -> tuple[dict[_Top, _Top], dict[_Top, int], dict[_Top, float]]:
    """Bottom → the top it reads; top → how often it is used; top → its loss weight."""
    last: dict[str, _Top] = {}
    sources: dict[_Top, _Top] = {}
    uses: dict[_Top, int] = defaultdict(int)
    weights: dict[_Top, float] = {}
    for i, layer in enumerate(layers):
        for j, blob in enumerate(layer.bottom):
            if blob in last:  # an unknown bottom is reported when the net is wired
                sources[(i, j)] = last[blob]
                uses[last[blob]] += 1
        for j, blob in enumerate(layer.top):
            last[blob] = (i, j)
        for blob, weight in zip(layer.top, layer.loss_weight):
            weights[last[blob]] = weight
            if weight:
                uses[last[blob]] += 1
    return sources, uses, weights
