"""Which fork of Caffe a layer type or a field comes from, to say so in error messages."""

from __future__ import annotations

_LAYER_TYPES = {
    "SSD (weiliu89/caffe)": (
        "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox "
        "SmoothL1Loss VideoData"
    ),
    "Fast R-CNN (rbgirshick/caffe-fast-rcnn)": "ROIPooling",
    "R-FCN (daijifeng001/caffe-rfcn)": ("BoxAnnotatorOHEM PSROIPooling SmoothL1LossOHEM SoftmaxWithLossOHEM"),
    "MNC (daijifeng001/caffe-mnc)": "MaskPooling MaskResize ROIWarping",
    "PVANet (sanghoon/pva-faster-rcnn), mini-caffe or synopsys-caffe": "Proposal",
    "Cascade R-CNN (zhaoweicai/cascade-rcnn)": (
        "BboxAccuracy BoxGroupOutput BoxOutput DecodeBBox DetectionData DetectionGroupAccuracy "
        "DetectionGroupLoss EvalData FrcnnOutput HardMining ProposalTarget ROIAlign ScaleRoute"
    ),
    "SegNet (alexgkendall/caffe-segnet), PSPNet (hszhao/PSPNet) or caffe-windows": "BN",
    "SegNet (alexgkendall/caffe-segnet)": "DenseImageData Upsample",
    "DeepLab (deeplab-public) or PSPNet (hszhao/PSPNet)": (
        "AdaptiveBiasChannel BiasChannel DenseCRF DomainTransform ImageSegData Interp MatRead "
        "MatWrite SegAccuracy UniqueLabel WindowSegData"
    ),
    "yjxiong/caffe": "Gather SegData",
    "HED (s9xie/hed)": "AutoCrop ImageLabelmapData",
    "CRF-RNN (torrvision/crfasrnn)": "MultiStageMeanfield",
    "spatial transformer networks (daerduoCarey/SpatialTransformerLayer)": "SpatialTransformer",
    "NVIDIA/caffe": "DetectNetTransformation TRT",
    "intel/caffe": "EvalDetection SpatialDropout",
    "MobileNet-YOLO (eric612)": (
        "AssistedExcitation LaneData RegionLoss SegmentationEvaluate YoloDetectionOutput YoloSeg "
        "Yolov3 Yolov3DetectionOutput"
    ),
    "yeahkun/caffe-yolo": "BoxData DetectionLoss",
    "FlowNet 2 (lmb-freiburg/flownet2)": (
        "ChannelNorm Correlation Correlation1D CustomData DataAugmentation Downsample "
        "FlowAugmentation FlowWarp GenerateAugmentationParameters L1Loss LpqLoss Mean Resample"
    ),
    "depthwise convolution (yonghenglh6/DepthwiseConvolution)": "DepthwiseConvolution",
    "depthwise convolution (farmingyard/caffe-mobilenet)": "ConvolutionDepthwise",
    "ShuffleNet (farmingyard/ShuffleNet)": "ShuffleChannel",
    "SENet (hujie-frank/SENet)": "Axpy",
    "deformable convolution (unsky/Deformable-ConvNets-caffe)": "DeformableConvolution",
    "ReLU6 (chuanqi305 and others)": "ReLU6",
    "center loss (ydwen/caffe-face)": "CenterLoss",
    "L-Softmax (wy1iu/LargeMargin_Softmax_Loss)": "LargeMarginInnerProduct",
    "SphereFace (wy1iu/sphereface)": "MarginInnerProduct",
    "focal loss (several forks)": "FocalLoss SigmoidFocalLoss SoftmaxFocalLoss",
    "caffe-windows (happynear)": (
        "Arccos ChannelScale Cosine EltwiseAffine Flip GeneralContrastiveLoss Gram InnerDistance "
        "Insanity LabelSpecificAdd LabelSpecificHardMargin LabelSpecificMargin Local Noise SubRegion "
        "TripletLoss"
    ),
    "jolibrain/caffe": "BroadcastMul DiceCoefLoss MultiBoxFocalLoss",
    "warpctc-caffe (xmfbit) or caffe_ocr (senlinuc)": (
        "ContinuationIndicator CTCGreedyDecoder CtcLoss LabelsequenceAccuracy WarpCTCLoss"
    ),
    "caffe-lstm (junhyukoh)": "Lstm",
    "CTPN (tianzhi0549)": "Reverse Transpose",
    "DenseNet in one layer (Tongcheng/caffe)": "DenseBlock",
    "pseudo-3D networks (ZhaofanQiu)": "Pooling3D",
    "convolutional pose machines (CMU-Perceptual-Computing-Lab/caffe_train)": "CPMData ImResize Nms",
    "openpose_caffe_train (CMU-Perceptual-Computing-Lab)": "OPData",
    "caffe-heatmap (tpfister)": "DataHeatmap EuclideanLossHeatmap",
    "transfer learning (thuml/Xlearn)": "EntropyLoss GradientScaler JMMDLoss MMDLoss OuterProduct",
    "DAVSOD (DengPingFan)": "ConvLSTM",
    "On-accelerator training (ICT-CHASE)": "ConvolutionFloat ImageOutput InnerProductFloat PoolingFloat",
    "AdvKin (Nicole1990)": "KernelLoss",
    "Ristretto (pmgysel/caffe)": "ConvolutionRistretto DeconvolutionRistretto FcRistretto LRNRistretto",
    "synopsys-caffe": (
        "Add Atan BatchToSpaceND BroadcastTo Ceil CropAndResize DepthToSpace EmbeddingLookup Erf "
        "ExpandDimsND Floor GatherNd Gemm HardSigmoid HardSwish HardTanH ICNetSubgraph LayerNorm "
        "LogSoftmax LpNormalization MatMul MirrorPad Mul NMSGather Pad Piece PyramidRoiAlign Range "
        "ReduceAll ReduceAny ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
        "ReduceProd ReduceSum Reorg ResizeBilinear ResizeNearestNeighbor ReverseSequence Round "
        "ScaledTanH SeLU SeLUDropout Shape Sin Softplus SpaceToBatchND SpaceToDepth SparseToDense "
        "Squeeze SqueezeConvolution SqueezeInnerProduct Stack StridedSlice ThresholdedReLU TileND "
        "TopkGather Unstack UpsampleDarknet Where4 XLU YoloV2Loss YoloV3Loss"
    ),
}

# Fields that are not in the schema, because nothing here could use them.
_FIELDS = {
    "CRF-RNN (torrvision/crfasrnn)": "multi_stage_meanfield_param",
    "spatial transformer networks (daerduoCarey/SpatialTransformerLayer)": "st_param st_loss_param",
    "openpose_caffe_train (CMU-Perceptual-Computing-Lab)": "op_transform_param",
    "Ristretto (pmgysel/caffe)": "quantization",
    "FlowNet 2 (lmb-freiburg/flownet2)": "custom_data_param generate_augmentation_param",
}


def _by_name(forks: dict[str, str]) -> dict[str, str]:
    return {name: fork for fork, names in forks.items() for name in names.split()}


LAYER_TYPES = _by_name(_LAYER_TYPES)
"""The fork that brought each layer type which is not BVLC's."""

FIELDS = _by_name(_FIELDS)
"""The fork that has each field which the schema leaves out."""
