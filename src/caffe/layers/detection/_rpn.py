"""What py-faster-rcnn's Python layers share: their param_str, and anchors inside an image."""

from __future__ import annotations

import ast
import re
from typing import Any

from caffe.layer import Layer

# What py-faster-rcnn's configuration holds for its end-to-end nets, as (TRAIN, TEST) where they differ.
SETTINGS: dict[str, Any] = {
    "scales": (8, 16, 32),
    "ratios": (0.5, 1, 2),
    "rpn_pre_nms_top_n": (12000, 6000),
    "rpn_post_nms_top_n": (2000, 300),
    "rpn_nms_thresh": (0.7, 0.7),
    "rpn_min_size": (16, 16),
    "rpn_positive_overlap": 0.7,
    "rpn_negative_overlap": 0.3,
    "rpn_clobber_positives": False,
    "rpn_fg_fraction": 0.5,
    "rpn_batchsize": 256,
    "rpn_positive_weight": -1.0,
    "allowed_border": 0,
    "batch_size": 128,
    "fg_fraction": 0.25,
    "fg_thresh": 0.5,
    "bg_thresh_hi": 0.5,
    "bg_thresh_lo": 0.0,
    "bbox_normalize_means": (0.0, 0.0, 0.0, 0.0),
    "bbox_normalize_stds": (0.1, 0.1, 0.2, 0.2),
    "bbox_inside_weights": (1.0, 1.0, 1.0, 1.0),
}


LONGEST_SETTINGS = 10_000
"""Characters of a ``param_str``; real ones have some hundred."""


def read_settings(layer: Layer, required: str) -> dict[str, Any]:
    """The settings, with what ``param_str`` says in their place: lines of 'key': value, as py-faster-rcnn's
    YAML.

    Raises LayerError where a line cannot be read, a key is unknown or ``required`` is missing.
    """
    text = re.sub(r"!!python/tuple|^\s*\{|\}\s*$", "", layer.param.python_param.param_str)
    settings = dict(SETTINGS)
    given = set()
    if len(text) > LONGEST_SETTINGS:
        raise layer.error(
            f"must have at most {LONGEST_SETTINGS:,} characters; got {len(text):,}", field="param_str"
        )
    for part in re.split(r"\n|,(?![^\[(]*[\])])", text):
        if not part.strip():
            continue
        key, separator, value = part.partition(":")
        key = key.strip().strip("'\"").lower()
        try:
            settings[key] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            separator = ""
        if not separator or key not in (*SETTINGS, required, "feat_stride", "num_classes"):
            raise layer.error(
                f"must hold lines 'key': value with the keys {', '.join(sorted({*SETTINGS, required}))};"
                f" got {part.strip()!r}",
                field="param_str",
            )
        given.add(key)
    if required not in given:
        raise layer.error(
            f"must give '{required}'", field="param_str", fix=f"Write param_str: \"'{required}': 16\""
        )
    return settings
