"""Blobs that layers overwrite in place, taken apart."""

from __future__ import annotations

from typing import Any

from caffe.dialects.rewriting.draft import Draft, Layer, Piece

SOURCES = frozenset(
    {"Input", "Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData", "Parameter", "Python"}
    | {"AnnotatedData", "VideoData", "DenseImageData"}
)
"""Layers whose tops keep their names, as users know them."""


def apart(pieces: list[Piece], index: int, draft: Draft, report: list[str]) -> None:
    """Give the blob that a layer overwrites another name up to there, so that the layer makes a new blob.

    Where that is an input of the net it keeps its name, and what comes behind gets a new one.
    """
    layer = pieces[index].layer
    blob = layer.top[0]
    before: list[tuple[Layer, bool]] = []  # those that make the version, and those that only read it
    at = index
    made_by_source = True
    while at > 0:
        at -= 1
        other = pieces[at].layer
        if blob in other.top:
            before.append((other, blob in other.bottom))
            if blob not in other.bottom:
                made_by_source = other.type in SOURCES
                break
        elif blob in other.bottom:
            before.append((other, True))
    shape = draft.shape(blob)
    if made_by_source:
        new = draft.unique(layer.name)
        _rename(layer.top, blob, new)
        for piece in pieces[index + 1 :]:
            _rename(piece.layer.bottom, blob, new)
            _rename(piece.layer.top, blob, new)
        report.append(f"blob '{blob}': from layer '{layer.name}' on it is called '{new}'")
    else:
        new = draft.unique(f"{blob}_before_{layer.name}")
        for other, _ in before:
            _rename(other.top, blob, new)
            _rename(other.bottom, blob, new)
        _rename(layer.bottom, blob, new)
    if shape is not None:
        draft.shapes[new] = shape


def _rename(names: Any, old: str, new: str) -> None:
    for i, name in enumerate(names):
        if name == old:
            names[i] = new
