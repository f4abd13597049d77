"""How each layer is written in plain torch; what has no form here is run by the layer itself."""

from __future__ import annotations

from caffe.export.forms import activation, arrays, combination, detection, normalization, window  # noqa: F401
from caffe.export.forms.form import RULES, Form
from caffe.export.graph import Node


def form_for(node: Node) -> Form | None:
    """The plain form of a layer, or None."""
    rule = RULES.get(type(node.layer).__name__)
    return (
        rule(node) if rule is not None and type(node.layer).__module__.startswith("caffe.layers.") else None
    )
