"""The rewrites of plans in the order in which they are tried."""

from __future__ import annotations

from caffe.net.rewrites.checkpoint import Checkpoint
from caffe.net.rewrites.compile import Compile
from caffe.net.rewrites.norm_into_convolution import NormIntoConvolution
from caffe.net.rewrites.release import Release
from caffe.net.rewrites.relu_in_place import ReLUInPlace
from caffe.net.rewrites.relu_into_convolution import ReLUIntoConvolution
from caffe.net.rewrites.scale_into_norm import ScaleIntoNorm
from caffe.net.run.plan import Rewrite

REWRITES: tuple[Rewrite, ...] = (
    NormIntoConvolution(),
    ReLUIntoConvolution(),
    ScaleIntoNorm(),
    ReLUInPlace(),
    Release(),
    Checkpoint(),
    Compile(),
)
