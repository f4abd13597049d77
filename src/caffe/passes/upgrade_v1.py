"""Nets of 2014 (version 1): ``layers`` with types in capitals and lists of learning rates."""

from __future__ import annotations

from caffe.errors import NetError
from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2

V1 = caffe_pb2.V1LayerParameter

TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
    # forks
    "BATCH_NORM": "BatchNorm",
    "BN": "BN",
    "CROP": "Crop",
    "ELTWISE_ACCURACY": "EltwiseAccuracy",
    "ELTWISE_AFFINE": "EltwiseAffine",
    "HDF5_DATA_MULTI": "HDF5DataMulti",
    "IMAGE_SEG_DATA": "ImageSegData",
    "INSANITY": "Insanity",
    "INTERP": "Interp",
    "LOCAL": "Local",
    "LSTM": "LSTM",
    "NORMALIZE": "Normalize",
    "PRELU": "PReLU",
    "PYTHON": "Python",
    "RELU6": "ReLU6",
    "RESHAPE": "Reshape",
    "ROIPOOLING": "ROIPooling",
    "ROI_POOLING": "ROIPooling",
    "SEG_ACCURACY": "SegAccuracy",
    "TRIPLET_LOSS": "TripletLoss",
    "UNPOOLING": "Unpooling",
    "WINDOW_SEG_DATA": "WindowSegData",
}
"""The type today of each type of version 1."""

_BLOB_LISTS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
"""Lists of one entry a blob, and the field of ParamSpec that took their place."""

_DATA_PARAMS = {
    V1.DATA: "data_param",
    V1.IMAGE_DATA: "image_data_param",
    V1.WINDOW_DATA: "window_data_param",
}


def upgrade_transformations(net: NetFile) -> bool:
    """Move scale, mean_file, crop_size and mirror of data layers to transform_param, in place."""
    changed = False
    for layer in net.param.layers:
        if layer.type in _DATA_PARAMS and layer.HasField(_DATA_PARAMS[layer.type]):  # type: ignore[arg-type]
            source = getattr(layer, _DATA_PARAMS[layer.type])
            for name in ("scale", "mean_file", "crop_size", "mirror"):
                if source.HasField(name):
                    setattr(layer.transform_param, name, getattr(source, name))
                    source.ClearField(name)
                    changed = True
    return changed


def upgrade(net: NetFile) -> bool:
    """Turn ``layers`` into ``layer``, in place; returns whether there were any. Raises NetError for both."""
    param = net.param
    if not param.layers:
        return False
    if param.layer:
        first = param.layer[0]
        raise NetError(
            f"must be a net of 'layer' blocks or of 'layers' blocks; got {len(param.layer)} and"
            f" {len(param.layers)}",
            file=net.file,
            layer=first.name,
            type=first.type,
            fix="Write the older ones, 'layers', as 'layer'.",
        )
    for old in param.layers:
        _upgrade_layer(old, param.layer.add())
    param.ClearField("layers")
    return True


def _upgrade_layer(old: V1, new: caffe_pb2.LayerParameter) -> None:
    for field, value in old.ListFields():
        name = field.name
        if name == "type":
            new.type = TYPES[V1.LayerType.Name(value)]
        elif name in _BLOB_LISTS:
            for i, item in enumerate(value):
                while len(new.param) <= i:
                    new.param.add()
                setattr(new.param[i], _BLOB_LISTS[name], item)
        elif name == "name":
            new.name = value
        elif hasattr(value, "extend"):
            getattr(new, name).extend(value)
        else:
            getattr(new, name).CopyFrom(value)
