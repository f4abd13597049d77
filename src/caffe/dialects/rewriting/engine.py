"""Rewriting a net layer by layer, until the dialect has all of it, or no rewrite is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffe.dialects import checking
from caffe.dialects.dialect import Dialect
from caffe.dialects.library import load
from caffe.dialects.rewriting import (  # noqa: F401 - they register themselves
    activations,
    axes,
    convolutions,
    inputs,
    normalizations,
    products,
    resizing,
)
from caffe.dialects.rewriting.draft import REWRITES, Array, Draft, Layer, Piece
from caffe.dialects.rewriting.merging import merge_normalizations, pair_normalizations
from caffe.dialects.rewriting.versions import apart
from caffe.proto import caffe_pb2

_DEPTH = 4  # of rewrites of what rewrites made


def rewrite(
    net: caffe_pb2.NetParameter,
    arrays: Mapping[str, Sequence[Array]],
    dialect: str | Dialect,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[caffe_pb2.NetParameter, dict[str, list[Array]], list[str]]:
    """A net that gives the same numbers in a dialect's layers and fields, as far as there are equal forms.

    ``arrays`` are the parameters' values by layer (none for a net without weights), ``shapes`` those of the net's
    blobs; both are needed by some rewrites. Returns the net, the values of its layers, and what was rewritten, a
    line each. What has no equal form is left as it is: ``dialect.check`` of the result names it. Nothing given is
    changed. Raises UnknownNameError.
    """
    dialect = load(dialect)
    made = caffe_pb2.NetParameter()
    made.CopyFrom(net)
    report: list[str] = []
    inputs.move(made, dialect, report)
    pieces = [
        Piece(each, [*arrays[each.name]] if each.name in arrays else None if arrays else [])
        for each in made.layer
    ]
    if not arrays:
        pieces = [Piece(p.layer, None) for p in pieces]
    draft = Draft(dialect, made.layer, shapes)
    pieces = pair_normalizations(pieces, draft, report)
    pieces = _rewritten(pieces, draft, report)
    pieces = merge_normalizations(pieces, draft, report)
    del made.layer[:]
    made.layer.extend(p.layer for p in pieces)
    values = {p.layer.name: p.arrays for p in pieces if p.arrays}
    return made, values if arrays else {}, report


def _rewritten(pieces: list[Piece], draft: Draft, report: list[str]) -> list[Piece]:
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        if _refused(piece, draft):
            piece = pieces[i] = _plain(piece, draft, report)
        if not _refused(piece, draft):
            i += 1
            continue
        before = draft.state()
        expanded = expand(piece, draft)
        if expanded is not None and len(expanded[0]) > 1 and set(piece.layer.bottom) & set(piece.layer.top):
            # several layers cannot overwrite their bottom: its value from before gets a name of its own
            draft.restore(before)
            apart(pieces, i, draft, report)
            expanded = expand(piece, draft)
        if expanded is None:
            i += 1
            continue
        new, says = expanded
        report.append(f"layer '{piece.layer.name}' ({piece.layer.type}): {says}")
        pieces[i : i + 1] = new
        i += len(new)
    return pieces


def expand(piece: Piece, draft: Draft) -> tuple[list[Piece], str] | None:
    """Pieces that the dialect has in place of one, by the fewest rewrites, and what they are, if any lead there."""
    for depth in range(1, _DEPTH + 1):
        expanded = _expand(piece, draft, depth)
        if expanded is not None:
            return expanded
    return None


def _expand(piece: Piece, draft: Draft, depth: int) -> tuple[list[Piece], str] | None:
    if not _refused(piece, draft):
        return [piece], ""
    if depth == 0:
        return None
    for function, says in REWRITES.get(piece.layer.type, ()):
        before = draft.state()
        done: list[Piece] = []
        words = [says]
        for each in function(piece, draft) or ():
            expanded = _expand(each, draft, depth - 1)
            if expanded is None:
                break
            done += expanded[0]
            words += [f"{each.layer.type} {expanded[1]}"] if expanded[1] else []
        else:
            if done:
                return done, "; ".join(dict.fromkeys(words))
        draft.restore(before)
    return None


def _refused(piece: Piece, draft: Draft) -> bool:
    return any(checking.check_layer(draft.dialect, piece.layer, draft.shapes))


def _plain(piece: Piece, draft: Draft, report: list[str]) -> Piece:
    """Without the fields that the dialect has not and that only say what holds without them."""
    bare = Layer()
    bare.CopyFrom(piece.layer)
    dropped = []
    for finding in list(checking.check_layer(draft.dialect, piece.layer)):
        *parents, last = finding.field.split(".")
        message = bare
        for name in parents:
            if "[" in name or not message.HasField(name):  # type: ignore[arg-type]
                break
            message = getattr(message, name)
        else:
            field = message.DESCRIPTOR.fields_by_name.get(last)
            if field is None or field.message_type is not None or field.name == "type":
                continue
            value = getattr(message, last)
            if hasattr(value, "append"):
                continue
            if value == field.default_value or last in _IDLE:
                message.ClearField(last)  # type: ignore[arg-type]
                dropped.append(finding.field)
    if dropped:
        report.append(
            f"layer '{piece.layer.name}' ({piece.layer.type}): without {', '.join(dropped)}, which change nothing"
        )
        return Piece(bare, piece.arrays)
    return piece


_IDLE = frozenset(("engine", "conv_algorithm", "cudnn_convolution_algo_seeker", "conv_algos_override"))
"""Fields that say how something is computed, not what."""
