"""The import path of SSD's model library: ``from caffe.model_libs import *``, as all its net generators begin.

They also rely on the modules that it brings with it: os, caffe, L, P and caffe_pb2.
"""

from __future__ import annotations

import os

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.models.bodies import inception_tower as InceptionTower
from caffe.models.bodies import inception_v3_body as InceptionV3Body
from caffe.models.bodies import residual_block as ResBody
from caffe.models.bodies import resnet101_body as ResNet101Body
from caffe.models.bodies import resnet152_body as ResNet152Body
from caffe.models.bodies import vgg_body as VGGNetBody
from caffe.models.bodies import zf_body as ZFNetBody
from caffe.models.heads import annotated_data_layer as CreateAnnotatedDataLayer
from caffe.models.heads import conv_bn_layer as ConvBNLayer
from caffe.models.heads import multibox_head as CreateMultiBoxHead
from caffe.models.heads import unpack_variable as UnpackVariable
from caffe.proto import caffe_pb2

__all__ = [
    "ConvBNLayer",
    "CreateAnnotatedDataLayer",
    "CreateMultiBoxHead",
    "InceptionTower",
    "InceptionV3Body",
    "L",
    "P",
    "ResBody",
    "ResNet101Body",
    "ResNet152Body",
    "UnpackVariable",
    "VGGNetBody",
    "ZFNetBody",
    "caffe",
    "caffe_pb2",
    "check_if_exist",
    "make_if_not_exist",
    "os",
]


def check_if_exist(path: str) -> bool:
    """Whether there is such a file or folder."""
    return os.path.exists(path)


def make_if_not_exist(path: str) -> None:
    """Make a folder, and those above it, where it is missing."""
    os.makedirs(path, exist_ok=True)
