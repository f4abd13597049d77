"""Layers that rearrange, combine or inspect blobs."""
