"""Arrays as a page shows them: their range, a histogram, and pictures of filters and feature maps."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.display import thumbnail
from caffe.errors import MissingFileError
from caffe.formats import binaryproto, hdf5
from caffe.net.weights import is_hdf5

Array = npt.NDArray[Any]
Json = dict[str, Any]
BINS = 40
_MOST_MAPS = 64


def read_weights(path: str | os.PathLike[str]) -> dict[str, list[Array]]:
    """Layer name → its parameters, of a .caffemodel or .caffemodel.h5. Raises as the readers do."""
    if not os.path.exists(path):
        raise MissingFileError("does not exist", file=path)
    if is_hdf5(path):
        return {name: [b for b in found if b is not None] for name, found in hdf5.read_weights(path)}
    return {layer.name: layer.blobs for layer in binaryproto.read_weights(path).layers if layer.blobs}


def describe(values: Array, picture: bool = True) -> Json:
    """Shape, range, share of zeros, values that are not finite, histogram and picture of an array."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    finite = flat[np.isfinite(flat)]
    described: Json = {
        "shape": list(values.shape),
        "count": int(flat.size),
        "not_finite": int(flat.size - finite.size),
    }
    if finite.size:
        counts, edges = np.histogram(finite.astype(np.float64), bins=BINS)
        described |= {
            "min": _number(finite.min()),
            "max": _number(finite.max()),
            "mean": _number(finite.mean(dtype=np.float64)),
            "std": _number(finite.std(dtype=np.float64)),
            "zeros": _number(np.mean(finite == 0)),
            "histogram": counts.tolist(),
            "edges": [_number(edges[0]), _number(edges[-1])],
        }
    if picture:
        described["picture"] = _picture(np.asarray(values, dtype=np.float32))
    return described


def maps(values: Array) -> Json:
    """What a blob holds for one image (values: C×H×W, or a vector): as :func:`describe`, with all its maps."""
    described = describe(values)
    if values.ndim == 3 and values.shape[0] > 1 and min(values.shape[1:]) > 1:
        strength = values.reshape(values.shape[0], -1).mean(axis=1)
        described["strongest"] = np.argsort(-strength, kind="stable")[:8].tolist()
        described["dead"] = int((values.reshape(values.shape[0], -1).max(axis=1) <= 0).sum())
        described["maps"] = min(values.shape[0], _MOST_MAPS)
    elif values.size > 1:
        described["values"] = [_number(v) for v in values.ravel()[:2000]]
    return described


def _picture(values: Array) -> str | None:
    """A picture of filters or maps; of one-dimensional values there is none."""
    if values.ndim < 2 or values.size > 1 << 26 or min(_last(values)) < 2:
        return None
    if values.ndim == 4 and values.shape[1] != 3 and values.shape[0] > 1:
        values = values[:, 0]  # the first plane of each filter
    return thumbnail(values)


def _last(values: Array) -> tuple[int, ...]:
    squeezed = [n for n in values.shape if n > 1]
    return tuple(squeezed[-2:]) if len(squeezed) >= 2 else (1,)


def _number(value: Any) -> float:
    return float(f"{float(value):.6g}")
