"""The prototxts of a fine-tuning: the net to train, the net to deploy, the solver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caffe import logs
from caffe.errors import InputError, NetError
from caffe.formats.prototxt import NetFile
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from caffe.passes.forms import last_weighted
from caffe.passes.upgrade import upgrade_net
from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter
_SLACK = 8 / 7
"""How much larger than their crop images are read, as 256 for 224."""
_LARGEST_GRADIENT = 5.0
"""The norm over all parameters."""


@dataclass(frozen=True)
class InputSize:
    """Channels, height and width of a net's images."""

    channels: int
    height: int
    width: int


def input_size(net: NetFile) -> InputSize:
    """Of the net's one input of images. Raises NetError where there is none, or there are several."""
    upgrade_net(net)
    shapes = [
        list(shape.dim)
        for layer in net.param.layer
        if layer.type == "Input"
        for shape in layer.input_param.shape
    ]
    images = [shape for shape in shapes if len(shape) == 4]
    if len(images) != 1:
        raise NetError(
            f"The net must have one input of images, N × C × H × W; its inputs are {shapes or 'none'}",
            file=net.file,
            fix="Give the deploy prototxt, which has an Input layer in place of the data layers",
        )
    return InputSize(*images[0][1:])


def data_layer(
    source: str,
    size: InputSize,
    batch_size: int,
    mean: tuple[float, ...] | str,
    scale: float = 1.0,
    mirror: bool = False,
    shuffle: bool = False,
    root: str = "",
) -> Layer:
    """The data layer over a database, or a list of images, for a net's input.

    ``mean`` is a value a channel, the path of a .binaryproto, or ``none``. Lists' images are resized; those of square
    inputs somewhat larger, so that there is something to crop.
    """
    layer = Layer(name="data", top=["data", "label"])
    square = size.height == size.width
    t = layer.transform_param
    if mirror:
        t.mirror = True
    if isinstance(mean, tuple):
        if any(mean):
            t.mean_value.extend(mean)
    elif mean != "none":
        t.mean_file = mean
    if scale != 1.0:
        t.scale = scale
    if Path(source).is_dir():
        layer.type = "Data"
        layer.data_param.source = source
        layer.data_param.batch_size = batch_size
        is_lmdb = (Path(source) / "data.mdb").exists()
        layer.data_param.backend = (
            caffe_pb2.DataParameter.LMDB if is_lmdb else caffe_pb2.DataParameter.LEVELDB
        )
        if square:
            t.crop_size = size.height
        return layer
    layer.type = "ImageData"
    p = layer.image_data_param
    p.source, p.batch_size = source, batch_size
    if shuffle:
        p.shuffle = True
    if root:
        p.root_folder = root
    if size.channels == 1:
        p.is_color = False
    p.new_height, p.new_width = size.height, size.width
    if square and size.height >= 64:
        p.new_height = p.new_width = round(size.height * _SLACK)
        t.crop_size = size.height
    return layer


def renew_last(net: NetFile, classes: int) -> str:
    """Give the last layer with weights another name and ``classes`` outputs; returns its name.

    A ReLU behind it goes (SqueezeNet has one): a class whose scores it holds at 0 gets no gradient, and is never
    learned.
    """
    upgrade_net(net)
    layer = last_weighted(net.param)
    old = layer.name
    layer.name = f"{old}_{classes}_classes"
    if layer.type == "Convolution" and layer.convolution_param.group != 1:
        raise NetError("is in groups: it cannot be learned anew for other classes", file=net.file, layer=old)
    p = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
    p.num_output = classes
    p.weight_filler.Clear()
    p.weight_filler.type = "gaussian"
    p.weight_filler.std = 0.01
    p.bias_filler.Clear()
    p.bias_filler.type = "constant"
    _without_relu(net.param, layer.top[0])
    return layer.name


def _without_relu(param: caffe_pb2.NetParameter, blob: str) -> None:
    """Take the ReLU layers behind a blob out."""
    for layer in [one for one in param.layer if one.type == "ReLU" and blob in one.bottom]:
        logs.info(
            f"{layer.name}, a ReLU on the classes' scores, is left out: it would keep classes from being learned"
        )
        for other in param.layer:
            other.bottom[:] = [blob if bottom == layer.top[0] else bottom for bottom in other.bottom]
        param.layer.remove(layer)


def set_multipliers(
    param: caffe_pb2.NetParameter, new: str, frozen_to: str = "", boost: float = 10.0
) -> None:
    """Let the new layer learn ``boost`` times as fast; those up to ``frozen_to`` (included) not at all.

    Raises InputError where no layer has that name.
    """
    names = [layer.name for layer in param.layer]
    if frozen_to and frozen_to not in names:
        raise InputError(
            f"The net has no layer '{frozen_to}' to freeze up to", fix=f"Its layers: {', '.join(names)}"
        )
    last_frozen = names.index(frozen_to) if frozen_to else -1
    for i, layer in enumerate(param.layer):
        counts = {"Convolution": 2, "InnerProduct": 2, "Deconvolution": 2, "Scale": 2, "PReLU": 1}
        if layer.name == new:
            del layer.param[:]
            layer.param.add(lr_mult=boost, decay_mult=1)
            layer.param.add(lr_mult=2 * boost, decay_mult=0)
        elif i <= last_frozen and layer.type in counts:
            bias = {
                "Convolution": layer.convolution_param.bias_term,
                "InnerProduct": layer.inner_product_param.bias_term,
                "Deconvolution": layer.convolution_param.bias_term,
                "Scale": layer.scale_param.bias_term,
            }.get(layer.type, False)
            del layer.param[:]
            for _ in range(2 if bias else 1):
                layer.param.add(lr_mult=0, decay_mult=0)
        elif i <= last_frozen and layer.type == "BatchNorm":
            layer.batch_norm_param.use_global_stats = True


def solver(
    net: str, prefix: str, iterations: int, interval: int, test_iter: int, rate: float, seed: int
) -> caffe_pb2.SolverParameter:
    """SGD with momentum, whose rate falls to a tenth after two thirds of the iterations.

    Gradients are clipped: those of a new layer behind features that no normalization holds small (SqueezeNet's) would
    undo in a few iterations what the others have learned.
    """
    param = caffe_pb2.SolverParameter()
    param.net = net
    param.test_iter.append(test_iter)
    param.test_interval = interval
    param.base_lr, param.momentum, param.weight_decay = rate, 0.9, 0.0005
    param.clip_gradients = _LARGEST_GRADIENT
    param.lr_policy, param.gamma, param.stepsize = "step", 0.1, max(2 * iterations // 3, 1)
    param.max_iter, param.display, param.snapshot = iterations, max(min(interval // 5, 20), 1), interval
    param.snapshot_prefix = prefix
    param.random_seed = seed
    param.solver_mode = caffe_pb2.SolverParameter.CPU
    return param


def small_net(classes: int, channels: int, side: int) -> caffe_pb2.NetParameter:
    """A net that learns from a few hundred images without weights to start from: four convolutions, a mean, a class."""
    n = NetSpec()
    n.data = L.Input(shape=[1, channels, side, side])
    x = n.data
    for i, width in enumerate((16, 32, 64, 96), 1):
        conv = L.Convolution(
            x, num_output=width, kernel_size=3, pad=1, bias_term=False, weight_filler={"type": "msra"}
        )
        n[f"conv{i}"] = conv
        n[f"bn{i}"] = L.BatchNorm(conv, moving_average_fraction=0.9, in_place=True)
        n[f"scale{i}"] = L.Scale(n[f"bn{i}"], bias_term=True, in_place=True)
        n[f"relu{i}"] = L.ReLU(n[f"scale{i}"], in_place=True)
        x = n[f"relu{i}"]
        if side >> i >= 2:
            n[f"pool{i}"] = x = L.Pooling(x, pool="MAX", kernel_size=2, stride=2)
    n.mean = L.Pooling(x, pool="AVE", global_pooling=True)
    n.score = L.InnerProduct(n.mean, num_output=classes, weight_filler={"type": "xavier"})
    n.prob = L.Softmax(n.score)
    param = n.to_proto()
    param.name = "small"
    return param
