"""How PyTorch's operators become Caffe's layers, one family a file."""

from __future__ import annotations

import importlib

FAMILIES = (
    "activations",
    "arithmetic",
    "convolutions",
    "indexing",
    "normalizations",
    "padding",
    "pooling",
    "products",
    "recurrent",
    "reductions",
    "resizing",
    "shapes",
)


def load() -> None:
    """Register the rules of every family."""
    for family in FAMILIES:
        importlib.import_module(f"caffe.importing.ops.{family}")
