"""Correlation1D."""

from __future__ import annotations

from caffe.layers.vision.correlation import Correlation


class Correlation1D(Correlation):
    """Correlation along rows only: channels are the displacements in columns; padding on the left and right.

    bottom: a; b, of one shape N × C × H × W. top: N × D × H' × W'.
    Differs from Caffe: nothing known. Source: lmb-freiburg/flownet2 (DispNet); Mayer et al. 2016.
    """

    rows = False
