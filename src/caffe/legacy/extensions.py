"""Cython extensions that lie beside scripts as source: those of detectors are ours, others are told when they are used.

``python setup.py build_ext --inplace`` of a checkout of 2015 needs its compilers; what these modules compute, this
package computes, too.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe import boxes
from caffe.errors import StateError


def bbox_overlaps(boxes_: Any, query_boxes: Any) -> Any:
    """Intersection over union (N × K) of boxes (N × 4) and others (K × 4), both end pixels inside."""
    return boxes.overlaps(np.asarray(boxes_)[:, :4], np.asarray(query_boxes)[:, :4], offset=1.0)


def gpu_nms(dets: Any, thresh: float, device_id: int = 0) -> list[int]:
    """Indices of detections (K × 5: box, score) that overlap no better one by more than ``thresh``, best first."""
    order = np.argsort(dets[:, 4])[::-1]
    kept: list[int] = order[boxes.suppress(boxes.edges(dets[order].astype(np.float64)), thresh)].tolist()
    return kept


def cpu_nms(dets: Any, thresh: float) -> list[int]:
    """The same, where an overlap of exactly ``thresh`` is too much as well."""
    return gpu_nms(dets, float(np.nextafter(thresh, 0)))


_KNOWN: dict[str, dict[str, Callable[..., Any]]] = {
    "cython_bbox": {"bbox_overlaps": bbox_overlaps}, "bbox": {"bbox_overlaps": bbox_overlaps},
    "cython_nms": {"nms": cpu_nms}, "cpu_nms": {"cpu_nms": cpu_nms}, "gpu_nms": {"gpu_nms": gpu_nms},
}  # fmt: skip


class _Unbuilt(importlib.abc.Loader):
    def __init__(self, source: Path) -> None:
        self._source = source

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        name = spec.name.rpartition(".")[2]
        known = _KNOWN.get(name, {})
        module = types.ModuleType(spec.name, f"Stands in for {self._source}, which is not built.")
        module.__dict__.update(known)
        source, told = self._source, ", ".join(known)

        def missing(wanted: str) -> Any:
            if wanted.startswith("__"):
                raise AttributeError(wanted)
            return _raising(
                StateError(
                    f"'{wanted}' is in a Cython extension that is not built; {told or 'nothing'} of it is provided",
                    file=source,
                    fix="Build it in its folder: python setup.py build_ext --inplace",
                )
            )

        module.__dict__["__getattr__"] = missing
        if known:
            print(f"caffe run: {source} is not built; {told} is this package's", file=sys.stderr)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _raising(error: Exception) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        raise error

    return called


class Extensions(importlib.abc.MetaPathFinder):
    """Finds modules of which only the Cython source is there; asked last."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        last = name.rpartition(".")[2]
        for folder in path if path is not None else sys.path:
            source = Path(folder or os.curdir, f"{last.removeprefix('cython_')}.pyx")
            if not source.is_file():
                source = Path(folder or os.curdir, f"{last}.pyx")
            if source.is_file():
                return importlib.machinery.ModuleSpec(name, _Unbuilt(source))
        return None
