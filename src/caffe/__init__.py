"""Caffe, on PyTorch."""
