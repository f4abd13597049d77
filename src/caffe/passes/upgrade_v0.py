"""Nets of 2013 (version 0): one message for the parameters of all layers, types in small letters."""

from __future__ import annotations

import warnings

from caffe.errors import CaffeWarning, NetError, close_names
from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2

V1 = caffe_pb2.V1LayerParameter
V0 = caffe_pb2.V0LayerParameter

TYPES = {
    "accuracy": V1.ACCURACY,
    "bnll": V1.BNLL,
    "concat": V1.CONCAT,
    "conv": V1.CONVOLUTION,
    "data": V1.DATA,
    "dropout": V1.DROPOUT,
    "euclidean_loss": V1.EUCLIDEAN_LOSS,
    "flatten": V1.FLATTEN,
    "hdf5_data": V1.HDF5_DATA,
    "hdf5_output": V1.HDF5_OUTPUT,
    "im2col": V1.IM2COL,
    "images": V1.IMAGE_DATA,
    "infogain_loss": V1.INFOGAIN_LOSS,
    "innerproduct": V1.INNER_PRODUCT,
    "lrn": V1.LRN,
    "multinomial_logistic_loss": V1.MULTINOMIAL_LOGISTIC_LOSS,
    "pool": V1.POOLING,
    "relu": V1.RELU,
    "sigmoid": V1.SIGMOID,
    "softmax": V1.SOFTMAX,
    "softmax_loss": V1.SOFTMAX_LOSS,
    "split": V1.SPLIT,
    "tanh": V1.TANH,
    "window_data": V1.WINDOW_DATA,
}

# Field of version 0 -> for each type that has it, the message it moves to and its name there.
_CONVOLUTION = {"conv": "convolution_param"}
_LEARNING = {"conv": "convolution_param", "innerproduct": "inner_product_param"}
_WINDOWS = {"conv": "convolution_param", "pool": "pooling_param"}
_LRN = {"lrn": "lrn_param"}
_IMAGES = {"images": "image_data_param"}
_DETECTION = {"window_data": "window_data_param"}
_SOURCES = {
    "data": "data_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "window_data": "window_data_param",
}
_ANY = dict.fromkeys(TYPES, "transform_param")

MOVES: dict[str, tuple[str, dict[str, str]]] = {
    "num_output": ("num_output", _LEARNING),
    "biasterm": ("bias_term", _LEARNING),
    "weight_filler": ("weight_filler", _LEARNING),
    "bias_filler": ("bias_filler", _LEARNING),
    "pad": ("pad", _WINDOWS),
    "kernelsize": ("kernel_size", _WINDOWS),
    "stride": ("stride", _WINDOWS),
    "group": ("group", _CONVOLUTION),
    "pool": ("pool", {"pool": "pooling_param"}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", {**_SOURCES, "infogain_loss": "infogain_loss_param"}),
    "batchsize": ("batch_size", _SOURCES),
    "scale": ("scale", _ANY),
    "meanfile": ("mean_file", _ANY),
    "cropsize": ("crop_size", _ANY),
    "mirror": ("mirror", _ANY),
    "rand_skip": ("rand_skip", {"data": "data_param", **_IMAGES}),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _DETECTION),
    "det_bg_threshold": ("bg_threshold", _DETECTION),
    "det_fg_fraction": ("fg_fraction", _DETECTION),
    "det_context_pad": ("context_pad", _DETECTION),
    "det_crop_mode": ("crop_mode", _DETECTION),
}
_KEPT = ("blobs", "blobs_lr", "weight_decay")


def upgrade(net: NetFile) -> bool:
    """Turn layers of version 0 into layers of version 1, in place; returns whether there were any.

    Padding layers become the pad of the convolution or pooling that reads them. Raises NetError for a type
    or a use of padding that cannot be; warns of parameters that mean nothing for their layer.
    """
    if not any(layer.HasField("layer") for layer in net.param.layers):
        return False
    _fold_padding(net)
    for i, layer in enumerate(net.param.layers):
        if layer.HasField("layer"):
            _upgrade_layer(layer, net.file, net.lines[i] if i < len(net.lines) else None)
    return True


def _fold_padding(net: NetFile) -> None:
    layers = net.param.layers
    if not any(layer.layer.type == "padding" for layer in layers):
        return
    source: dict[str, V1] = {}  # the layer that made each blob last
    for i, layer in enumerate(layers):
        for j, bottom in enumerate(layer.bottom):
            padding = source.get(bottom)
            if padding is None or padding.layer.type != "padding":
                continue
            wrong = None
            if layer.layer.type not in ("conv", "pool"):
                wrong = f"must be a conv or pool layer to read a padding layer; got '{layer.layer.type}'"
            elif len(layer.bottom) != 1:
                wrong = f"must have one bottom; got {len(layer.bottom)}"
            elif len(padding.bottom) != 1 or len(padding.top) != 1:
                wrong = (
                    f"reads the padding layer '{padding.layer.name}', which must have one bottom and one top"
                )
            if wrong:
                raise NetError(
                    wrong,
                    file=net.file,
                    line=net.lines[i] if i < len(net.lines) else None,
                    layer=layer.layer.name,
                    type=layer.layer.type,
                )
            layer.layer.pad = padding.layer.pad
            layer.bottom[j] = padding.bottom[0]
        for top in layer.top:
            source[top] = layer
    kept = [i for i, layer in enumerate(layers) if layer.layer.type != "padding"]
    net.lines = [net.lines[i] for i in kept if i < len(net.lines)]
    for i in reversed(range(len(layers))):
        if layers[i].layer.type == "padding":
            del layers[i]


def _upgrade_layer(layer: V1, file: str | None, line: int | None) -> None:
    old = V0()
    old.CopyFrom(layer.layer)
    layer.ClearField("layer")
    if old.HasField("name"):
        layer.name = old.name
    if old.HasField("type"):
        if old.type not in TYPES:
            raise NetError(
                f"must be a layer type of version 0; got '{old.type}'",
                file=file,
                line=line,
                layer=old.name,
                field="type",
                fix=close_names(old.type, TYPES) or None,
            )
        layer.type = TYPES[old.type]
    strange = []
    for field, value in old.ListFields():
        name = field.name
        if name in _KEPT:
            getattr(layer, name).extend(value)
        elif name == "hdf5_output_param" and old.type == "hdf5_output":
            layer.hdf5_output_param.CopyFrom(value)
        elif name in MOVES and old.type in MOVES[name][1]:
            new_name, messages = MOVES[name]
            message = getattr(layer, messages[old.type])
            _assign(message, new_name, value)
        elif name not in ("name", "type"):
            strange.append(name)
    if strange:
        where = f"{file}:{line}: " if file and line else ""
        warnings.warn(
            f"{where}layer '{old.name}' ({old.type}): these parameters mean nothing for its type and are"
            f" left out: {', '.join(strange)}",
            CaffeWarning,
            stacklevel=5,
        )


def _assign(message: object, name: str, value: object) -> None:
    target = getattr(message, name)
    if hasattr(target, "append"):
        target.append(value)
    elif hasattr(target, "CopyFrom"):
        target.CopyFrom(value)
    else:
        setattr(message, name, value)
