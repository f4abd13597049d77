"""Names of Caffe's forks, and what they have that this package has not, to say so in error messages.

A layer class says in ``origin`` which forks it comes from; what is listed here are the types that have no class.
"""

from __future__ import annotations

_TYPES = {
    "Cascade R-CNN (zhaoweicai/cascade-rcnn)": "BoxOutput",
    "DeepLab (deeplab-public-ver2)": (
        "AdaptiveBiasChannel BiasChannel DenseCRF DomainTransform ImageSegData MatRead MatWrite "
        "UniqueLabel WindowSegData"
    ),
    "temporal segment networks (yjxiong/caffe)": "SegData",
    "HED (s9xie/hed)": "ImageLabelmapData",
    "CRF-RNN (torrvision/crfasrnn)": "MultiStageMeanfield",
    "spatial transformer networks (daerduoCarey/SpatialTransformerLayer)": "SpatialTransformer",
    "NVIDIA/caffe": "DetectNetTransformation TRT",
    "MobileNet-YOLO (eric612/MobileNet-YOLO)": "AssistedExcitation LaneData",
    "YOLO v1 (yeahkun/caffe-yolo)": "BoxData",
    "FlowNet 2 (lmb-freiburg/flownet2)": (
        "CustomData DataAugmentation FlowAugmentation GenerateAugmentationParameters LpqLoss Mean"
    ),
    "several forks": "SigmoidFocalLoss SoftmaxFocalLoss",
    "caffe-windows (happynear/caffe-windows)": (
        "EltwiseAffine GeneralContrastiveLoss Insanity LabelSpecificHardMargin LabelSpecificMargin Noise "
        "SubRegion"
    ),
    "convolutional pose machines (CMU-Perceptual-Computing-Lab/caffe_train)": ("CPMData ImResize Nms"),
    "OpenPose (CMU-Perceptual-Computing-Lab/openpose_caffe_train)": "OPData",
    "caffe-heatmap (tpfister/caffe-heatmap)": "DataHeatmap",
    "transfer learning (thuml/Xlearn)": "EntropyLoss GradientScaler JMMDLoss MMDLoss OuterProduct",
    "Ristretto (pmgysel/caffe)": ("ConvolutionRistretto DeconvolutionRistretto FcRistretto LRNRistretto"),
    "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)": (
        "BatchToSpaceND CropAndResize EmbeddingLookup Erf GatherNd Gemm NMSGather "
        "PyramidRoiAlign Range ReduceAll ReduceAny ReverseSequence SeLUDropout SpaceToBatchND "
        "SparseToDense SqueezeConvolution SqueezeInnerProduct Stack TopkGather Unstack Where4"
    ),
}

# Fields that are not in the schema, because nothing here could use them.
_FIELDS = {
    "CRF-RNN (torrvision/crfasrnn)": "multi_stage_meanfield_param",
    "spatial transformer networks (daerduoCarey/SpatialTransformerLayer)": "st_param st_loss_param",
    "OpenPose (CMU-Perceptual-Computing-Lab/openpose_caffe_train)": "op_transform_param",
    "Ristretto (pmgysel/caffe)": "quantization",
    "FlowNet 2 (lmb-freiburg/flownet2)": "custom_data_param generate_augmentation_param",
}


def _by_name(forks: dict[str, str]) -> dict[str, str]:
    return {name: fork for fork, names in forks.items() for name in names.split()}


ABSENT_TYPES = _by_name(_TYPES)
"""The fork that brought each known layer type which is not here."""

FIELDS = _by_name(_FIELDS)
"""The fork that has each field which the schema leaves out."""
