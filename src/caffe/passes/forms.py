"""From a net to deploy to one to train, and back: data layers, labels and losses added or removed."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.errors import NetError
from caffe.formats.prototxt import NetFile
from caffe.passes.filter import included
from caffe.passes.upgrade import upgrade_net
from caffe.proto import caffe_pb2

Net = caffe_pb2.NetParameter
Layer = caffe_pb2.LayerParameter

ENDINGS = {
    "SoftmaxWithLoss": "Softmax",
    "SoftmaxWithLossOHEM": "Softmax",
    "SigmoidCrossEntropyLoss": "Sigmoid",
    "InfogainLoss": "Softmax",
    "MultinomialLogisticLoss": None,
    "EuclideanLoss": None,
    "HingeLoss": None,
    "SmoothL1Loss": None,
    "L1Loss": None,
    "ContrastiveLoss": None,
    "TripletLoss": None,
    "CenterLoss": None,
    "CTCLoss": None,
    "FocalLoss": "Softmax",
}
"""Losses, and the layer that gives what they compare with the labels; None: their first bottom as it is."""
JUDGES = ("Accuracy", "Silence", "HDF5Output")
"""Layers that only look on."""
_SOURCES = (
    *("Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "WindowData", "Input"),
    *("AnnotatedData", "DenseImageData", "VideoData"),
)
WEIGHTED = ("Convolution", "InnerProduct", "Deconvolution", "ConvolutionDepthwise", "DepthwiseConvolution")


def deploy_form(net: NetFile, shape: Sequence[int] = ()) -> Net:
    """The net that is deployed: an Input in place of data layers, no labels, losses or judges; Softmax for its loss.

    ``shape`` is the input's, N × C × H × W; without it that of the data layer's crop or size, where it says one.
    Raises NetError where nothing tells the shape.
    """
    upgrade_net(net)
    state = caffe_pb2.NetState()
    state.phase = caffe_pb2.TEST
    layers = [layer for layer in net.param.layer if included(layer, state)]
    sources = [layer for layer in layers if layer.type in _SOURCES and not layer.bottom]
    if not sources:
        raise NetError(
            "The net has no data layer in the TEST phase: its form is that to deploy already", file=net.file
        )
    data = sources[0].top[0]
    dead = {top for source in sources for top in source.top} - {data}  # labels, and what comes of them alone
    deployed = Net(name=net.param.name)
    given = deployed.layer.add(name=data, type="Input", top=[data])
    given.input_param.shape.add().dim.extend(shape or _shape_of(sources[0], net.file))
    for layer in layers:
        if layer in sources:
            continue
        if layer.type in ENDINGS:
            ending = ENDINGS[layer.type]
            if ending is not None:
                name = "prob" if ending == "Softmax" else layer.name
                deployed.layer.add(name=name, type=ending, bottom=[layer.bottom[0]], top=[name])
            dead |= set(layer.top)
        elif layer.type in JUDGES or (layer.bottom and all(bottom in dead for bottom in layer.bottom)):
            dead |= set(layer.top)
        elif any(bottom in dead for bottom in layer.bottom):
            raise NetError(
                "needs labels, and its top is needed without them",
                file=net.file,
                layer=layer.name,
                type=layer.type,
                fix="Take it out by hand first",
            )
        else:
            copy = deployed.layer.add()
            copy.CopyFrom(layer)
            for field in ("include", "exclude", "param", "propagate_down", "loss_weight", "blobs", "phase"):
                copy.ClearField(field)
            _without_fillers(copy)
    return deployed


def train_form(
    net: NetFile, train: Layer, test: Layer, top_k: Sequence[int] = (1,), several: bool = False
) -> Net:
    """The net that is trained: data layers for both phases, SoftmaxWithLoss and Accuracy behind its scores.

    ``several``: an image may be of several classes; SigmoidCrossEntropyLoss stands behind the scores then.

    ``train`` and ``test`` are the data layers; their first top takes the name of the net's input, the second is the
    label. Layers whose weights no filler fills get xavier's. Raises NetError where the net has not one input of
    images, or nothing that could be compared with labels.
    """
    upgrade_net(net)
    inputs = [top for layer in net.param.layer if layer.type == "Input" for top in layer.top]
    if len(inputs) != 1:
        raise NetError(
            f"A net to train takes one input in place of a data layer; this one has {len(inputs)}: {inputs}",
            file=net.file,
        )
    trained = Net(name=net.param.name)
    for phase, source in ((caffe_pb2.TRAIN, train), (caffe_pb2.TEST, test)):
        layer = trained.layer.add()
        layer.CopyFrom(source)
        layer.top[:] = [inputs[0], "label"]
        del layer.include[:]
        layer.include.add().phase = phase
    body = [layer for layer in net.param.layer if layer.type != "Input"]
    scores = _scores(body, net.file)
    for layer in body:
        if layer.type in ("Softmax", "Sigmoid") and scores in layer.bottom and _is_output(layer, body):
            continue
        copy = trained.layer.add()
        copy.CopyFrom(layer)
        del copy.blobs[:]
        with_fillers(copy)
    if several:
        trained.layer.add(name="loss", type="SigmoidCrossEntropyLoss", bottom=[scores, "label"], top=["loss"])
        return trained
    trained.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[scores, "label"], top=["loss"])
    for k in top_k:
        name = "accuracy" if k == 1 else f"accuracy_top{k}"
        judge = trained.layer.add(name=name, type="Accuracy", bottom=[scores, "label"], top=[name])
        judge.include.add().phase = caffe_pb2.TEST
        if k != 1:
            judge.accuracy_param.top_k = k
    return trained


def last_weighted(param: Net) -> Layer:
    """The last layer with weights: that which tells classes apart. Raises NetError if there is none."""
    for layer in reversed(param.layer):
        if layer.type in ("Convolution", "InnerProduct"):
            return layer
    raise NetError("The net has no Convolution or InnerProduct that could be learned anew")


def _is_output(layer: Layer, body: Sequence[Layer]) -> bool:
    tops = set(layer.top)
    return not any(tops & set(other.bottom) for other in body if other is not layer)


def _scores(body: Sequence[Layer], file: str | None) -> str:
    """The blob that goes into a loss: what the last output's Softmax takes, else the last output."""
    outputs = [layer for layer in body if layer.top and _is_output(layer, body)]
    if not outputs:
        raise NetError("The net has no output that could be compared with labels", file=file)
    last = outputs[-1]
    return str(last.bottom[0] if last.type in ("Softmax", "Sigmoid") else last.top[0])


def _shape_of(source: Layer, file: str | None) -> list[int]:
    if source.type == "Input" and source.input_param.shape:
        return list(source.input_param.shape[0].dim)
    if source.type == "MemoryData":
        p = source.memory_data_param
        return [1, p.channels, p.height, p.width]
    if source.type == "DummyData" and source.dummy_data_param.shape:
        return list(source.dummy_data_param.shape[0].dim)
    crop = source.transform_param.crop_size
    image = source.image_data_param
    height, width = (crop, crop) if crop else (image.new_height, image.new_width)
    if not height or not width:
        raise NetError(
            "does not say the size of its images",
            file=file,
            layer=source.name,
            type=source.type,
            fix="Give it: --shape=1,3,227,227",
        )
    gray = source.type == "ImageData" and not image.is_color
    return [1, 1 if gray or len(source.transform_param.mean_value) == 1 else 3, height, width]


def with_fillers(layer: Layer) -> None:
    """Give weights that no filler fills xavier's."""
    for name in ("convolution_param", "inner_product_param"):
        if layer.HasField(name) and layer.type in WEIGHTED:
            p = getattr(layer, name)
            if not p.HasField("weight_filler"):
                p.weight_filler.type = "xavier"


def _without_fillers(layer: Layer) -> None:
    for name in ("convolution_param", "inner_product_param"):
        if layer.HasField(name):
            getattr(layer, name).ClearField("weight_filler")
            getattr(layer, name).ClearField("bias_filler")
