"""Layers that look at neighbourhoods of images: convolution, pooling, resampling."""
