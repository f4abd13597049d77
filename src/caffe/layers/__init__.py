"""The layer catalogue, one layer a file; and, for scripts, ``from caffe import layers as L``.

``L.Convolution(bottom, num_output=20, …)`` describes a layer for a NetSpec; the classes that compute are in the
folders' files (``caffe.layers.vision.convolution.Convolution``) and found by :mod:`caffe.layer_factory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("_"):
        raise AttributeError(f"module 'caffe.layers' has no attribute {name!r}")
    from caffe import net_spec

    return net_spec.layer_function(name)
