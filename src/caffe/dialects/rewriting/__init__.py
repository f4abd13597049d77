"""Nets in another dialect: the same numbers in the layers and fields that a fork or a toolchain has."""

from caffe.dialects.rewriting.engine import rewrite as rewrite
