"""Layers of object detectors: boxes, regions, proposals."""
