"""XLU."""

from __future__ import annotations

from caffe.layers.activation.relu import ReLU


class XLU(ReLU):
    """A ReLU under another name, with ReLU's fields (``relu_param``).

    bottom: x of any shape; optionally one value that replaces ``maximum``. top: y of x's shape.
    Differs from Caffe: nothing known. Source: synopsys-caffe.
    """

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"
