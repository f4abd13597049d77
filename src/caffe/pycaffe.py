"""The import path of pycaffe's own module: ``from caffe.pycaffe import Net, SGDSolver, get_solver …``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__all__":  # for "from ... import *"
        return [public for public in __dir__() if not public.startswith("_")]
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import caffe

    return getattr(caffe, name)


def __dir__() -> list[str]:
    import caffe

    return caffe.__all__
