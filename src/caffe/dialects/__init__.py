"""Dialects of Caffe: what each fork and each toolchain reads, one file of facts each."""

from caffe.dialects.checking import Finding, check
from caffe.dialects.dialect import Dialect
from caffe.dialects.library import having, load, names

__all__ = ["Dialect", "Finding", "check", "having", "load", "names"]
