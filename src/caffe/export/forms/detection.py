"""Boxes and regions."""

from __future__ import annotations

from typing import Any

from caffe import boxes
from caffe.export.forms.form import Form, form_of, module
from caffe.export.graph import Node
from caffe.export.parts import boxes as parts

_CODES = {boxes.CORNER: "corner", boxes.CENTER_SIZE: "center_size", boxes.CORNER_SIZE: "corner_size"}


@form_of("DetectionOutput")
def detection_output(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.detection_output_param
    if layer.split or p.nms_param.eta < 1:
        return None
    form = module(
        parts.DetectionOutput,
        p.num_classes,
        background=p.background_label_id,
        threshold=p.confidence_threshold if p.HasField("confidence_threshold") else float("-inf"),
        overlap=p.nms_param.nms_threshold,
        top_k=p.nms_param.top_k if p.nms_param.HasField("top_k") else -1,
        keep=p.keep_top_k,
        code=_CODES[p.code_type],
        shared=bool(p.share_location),
        encoded=bool(p.variance_encoded_in_target),
    )
    if len(node.bottoms) > 3 and form.made is not None:
        form.made.kwargs["objectness"] = p.objectness_score
    return form
