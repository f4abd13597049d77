"""Correlation1D."""

from __future__ import annotations

from caffe.layers.vision.correlation import Correlation


class Correlation1D(Correlation):
    """Correlation along rows only: channels are the displacements in columns; padding on the left and right.

    With r = ⌊max_displacement/stride_2⌋ there are D = 2 r + 1 displacements from -r to r. ``single_direction``
    leaves D = r + 1: 1 those to the right from 0 to r, -1 those to the left from -(r + 1) to -1, without 0 as
    in the original.

    bottom: a; b, of one shape N × C × H × W. top: N × D × H' × W'.
    Differs from Caffe: as Correlation; what lies to the left of the padding is 0, where the original reads
    the end of the row above. Source: lmb-freiburg/flownet2 (DispNet); Mayer et al. 2016.
    """

    rows = False
    reads = {"correlation_param": "*"}

    def steps(self) -> range:
        p = self.param.correlation_param
        both = super().steps()
        if not p.single_direction:
            return both
        most = p.max_displacement // p.stride_2
        first = 0 if p.single_direction > 0 else -(most + 1)
        return range(first * p.stride_2, (first + most) * p.stride_2 + 1, p.stride_2)
