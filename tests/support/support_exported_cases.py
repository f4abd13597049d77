"""The layers' cases as nets that leave: each layer between Input layers and its tops, in TEST."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from google.protobuf import text_format
from harness import Case, layer_parameter, load_cases, values

import caffe
from caffe.export import check
from caffe.export.graph import graph_of
from caffe.export.torch_net import TorchNet
from caffe.layer_factory import layer_class
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


def leaving() -> list[Case]:
    """The cases of layers that mean something outside of training: no data, no judges, nothing drawn by chance."""
    return [case for case in load_cases() if isinstance(case.layer, str) and _leaves(case)]


def _leaves(case: Case) -> bool:
    param = layer_parameter(case.layer, len(case.bottoms), case.tops, case.phase)
    if param.type == "Python":
        return False
    kind = layer_class(param.type)
    judges = kind.is_loss or param.type in caffe.export.graph.JUDGES
    return bool(case.bottoms) and issubclass(kind, TensorLayer) and not judges and not case.random


def net_of(case: Case, folder: Path, phase: str = "TEST") -> tuple[caffe.Net, check.Arrays]:
    """A net of the case's layer, and the case's values for its inputs."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    arrays = {f"b{i}": values(bottom, rng) for i, bottom in enumerate(case.bottoms)}
    param = caffe_pb2.NetParameter(name=case.name)
    for name, array in arrays.items():
        made = param.layer.add(name=name, type="Input", top=[name])
        made.input_param.shape.add().dim.extend(array.shape)
    layer = param.layer.add()
    layer.CopyFrom(layer_parameter(case.layer, len(case.bottoms), case.tops, phase))
    layer.ClearField("phase")
    path = folder / "net.prototxt"
    path.write_text(text_format.MessageToString(param))
    net = caffe.Net(str(path), getattr(caffe, phase))
    for i, blob in enumerate(net.params.get("l", ())):
        if i in case.params:
            blob.data[...] = values(case.params[i], rng)
        elif net.layers[-1].specs[i].learns:
            blob.data[...] = rng.standard_normal(blob.shape)
    for name, array in arrays.items():
        net.blobs[name].data[...] = array
    return net, arrays


def module_of(net: caffe.Net, exact: bool = False) -> TorchNet:
    return TorchNet(graph_of(net, losses=True), exact=exact).eval()


def tensors(arrays: check.Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(a) for name, a in arrays.items()}
