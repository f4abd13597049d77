"""Boxes and regions."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe import boxes
from caffe.export.forms.form import Form, form_of, module
from caffe.export.graph import Node
from caffe.export.onnx_operators import max_roi_pool
from caffe.export.parts import boxes as parts
from caffe.export.parts import regions
from caffe.proto import caffe_pb2

_CODES = {boxes.CORNER: "corner", boxes.CENTER_SIZE: "center_size", boxes.CORNER_SIZE: "corner_size"}


@form_of("DetectionOutput")
def detection_output(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.detection_output_param
    if layer.split or p.nms_param.eta < 1:
        return None
    kwargs: dict[str, Any] = {"objectness": p.objectness_score} if len(node.bottoms) > 3 else {}
    return module(
        parts.DetectionOutput,
        p.num_classes,
        background=p.background_label_id,
        threshold=p.confidence_threshold if p.HasField("confidence_threshold") else -1e30,
        overlap=p.nms_param.nms_threshold,
        top_k=p.nms_param.top_k if p.nms_param.HasField("top_k") else -1,
        keep=p.keep_top_k,
        code=_CODES[p.code_type],
        shared=bool(p.share_location),
        encoded=bool(p.variance_encoded_in_target),
        **kwargs,
    )


@form_of("RPNProposal")
def rpn_proposal(node: Node) -> Form | None:
    layer: Any = node.layer
    s, test = layer.settings, layer.phase == caffe_pb2.TEST
    before, after, overlap, least = (
        s[key][test] if isinstance(s[key], tuple) else s[key]
        for key in ("rpn_pre_nms_top_n", "rpn_post_nms_top_n", "rpn_nms_thresh", "rpn_min_size")
    )
    return _proposal(node, layer.anchors, s["feat_stride"], before, after, overlap, least, drop=True)


@form_of("Proposal")
def proposal(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.proposal_param
    if layer.synopsys:
        # All are sorted: the order that its sort in part leaves behind pre_nms_topn counts only where suppression
        # leaves fewer than max_rois before.
        most, overlap, least = p.max_rois, p.rpn_nms_thresh, p.rpn_min_size
        form = _proposal(node, layer.anchors, p.feat_stride, 0, most, overlap, least, drop=True)
        if form.made is not None:
            form.made.kwargs["backwards"] = True
        return form
    return _proposal(
        node,
        layer.anchors,
        p.feat_stride,
        p.pre_nms_topn,
        p.post_nms_topn,
        p.nms_thresh,
        p.min_size,
        drop=False,
    )


def _proposal(
    node: Node, anchors: Any, stride: float, before: int, after: int, overlap: float, least: float, drop: bool
) -> Form:
    form = module(
        regions.Proposal,
        np.asarray(anchors).tolist(),
        stride,
        before=before,
        after=after,
        overlap=overlap,
        least=least,
    )
    if form.made is not None:
        form.made.kwargs |= ({} if drop else {"drop": False}) | (
            {"scores": True} if len(node.tops) > 1 else {}
        )
        if drop and len(node.tops) > 1:
            form.after = (lambda y: (y[0], y[1][:, None]), "(lambda y: (y[0], y[1][:, None]))({x})")
    return form


@form_of("BoxGroupOutput")
def box_group_output(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.box_group_output_param
    if p.nms_type != "IOU":
        return None
    return module(
        regions.FieldProposal,
        [[w.tolist(), h.tolist(), stride] for w, h, stride in layer.fields],
        threshold=p.fg_thr,
        overlap=p.iou_thr,
        before=p.max_nms_num,
        after=p.max_post_nms_num,
        least=p.min_size,
        bounds=[p.field_xyr, p.field_whr],
        mean=layer.mean.tolist(),
        std=layer.std.tolist(),
        scores=len(node.tops) > 1,
    )


@form_of("DecodeBBox")
def decode_bbox(node: Node) -> Form | None:
    layer: Any = node.layer
    if layer.phase == caffe_pb2.TRAIN:
        return None
    return module(regions.DecodeBoxes, layer.mean.tolist(), layer.std.tolist())


@form_of("FrcnnOutput")
def frcnn_output(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.frcnn_output_param
    if p.nms_type != "IOU":
        return None
    mean, std = layer.mean.tolist(), layer.std.tolist()
    aware = bool(layer.param.bbox_reg_param.cls_aware)
    return module(regions.RegionOutput, p.conf_thr, p.iou_thr, p.max_det_num, mean, std, aware=aware)


@form_of("ROIPooling")
def roi_pooling(node: Node) -> Form | None:
    p = node.layer.param.roi_pooling_param
    height, width, scale = p.pooled_h, p.pooled_w, p.spatial_scale
    form = module(regions.RoiPool, height, width, scale)
    form.onnx = lambda x, rois: max_roi_pool(x, rois.flatten(1), height, width, scale)
    form.trains = False
    return form


@form_of("PSROIPooling")
def psroi_pooling(node: Node) -> Form | None:
    p = node.layer.param.psroi_pooling_param
    form = module(regions.PositionSensitiveRoiPool, p.output_dim, p.group_size, p.spatial_scale)
    form.trains = False
    return form


@form_of("Yolov3DetectionOutput")
def yolo_v3(node: Node) -> Form | None:
    p = node.layer.param.yolov3_detection_output_param
    masks = np.reshape(p.mask, (len(node.bottoms), -1))[:, : p.num_box]
    anchors = np.reshape(p.biases, (-1, 2))
    maps = [[anchors[m].tolist(), float(s)] for m, s in zip(masks, p.anchors_scale)]
    return module(regions.YoloOutput, maps, p.num_classes, p.confidence_threshold, _below(p.nms_threshold))


@form_of("YoloDetectionOutput")
def yolo_v2(node: Node) -> Form | None:
    p = node.layer.param.yolo_detection_output_param
    anchors = np.reshape(p.biases, (-1, 2))[: p.num_box].tolist()
    maps = [[anchors, 1.0] for _ in node.bottoms]
    overlap = _below(p.nms_threshold)
    return module(regions.YoloOutput, maps, p.num_classes, p.confidence_threshold, overlap, softmax=True)


def _below(threshold: float) -> float:
    """Where an overlap of the threshold itself is too much."""
    return float(np.nextafter(np.float32(threshold), np.float32(-1)))


@form_of("CTCGreedyDecoder")
def greedy_decoder(node: Node) -> Form | None:
    if len(node.bottoms) > 1 or len(node.tops) > 1:
        return None
    return module(regions.GreedyDecoder, node.layer.param.ctc_param.blank_label)
