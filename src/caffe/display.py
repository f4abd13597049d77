"""Nets, blobs and solvers as text and as HTML for notebooks."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import StateError

# These import this module, or stand above it; what is shown of them is their public face.
Net = Any
Blob = Any
Solver = Any
Step = Any
Array = npt.NDArray[Any]

_STYLE = "text-align:left;padding:2px 8px"
_MOST_TILES = 64
_THUMBNAIL = 160  # pixels, the longer side at least


@dataclass
class Row:
    """One layer of a summary: shapes of its tops, its parameters' shapes and counts, its work and memory."""

    name: str
    type: str
    tops: dict[str, tuple[int, ...]]
    params: list[tuple[int, ...]]
    multiply_adds: int
    memory: int  # bytes of the tops' values

    @property
    def param_count(self) -> int:
        return sum(math.prod(shape) for shape in self.params)


def summary_rows(net: Net) -> list[Row]:
    """A row for each layer, of the net's present shapes; Split layers, which copy nothing, are left out."""
    rows = []
    for step in net.steps:
        if step.layer.type == "Split":
            continue
        in_place = {id(blob) for blob in step.bottom}
        rows.append(
            Row(
                step.name,
                step.layer.type,
                {name: tuple(blob.shape) for name, blob in zip(step.top_names, step.top)},
                [tuple(blob.shape) for blob in step.layer.blobs],
                multiply_adds(step),
                4 * sum(blob.count for blob in step.top if id(blob) not in in_place),
            )
        )
    return rows


def multiply_adds(step: Step) -> int:
    """Products of weights and values in one forward pass; 0 for layers without a weight matrix."""
    weights = [blob for blob in step.layer.blobs if len(blob.shape) > 1]
    if not weights or not step.bottom or not step.top:
        return 0
    kind = step.layer.type
    if kind in ("LSTM", "RNN"):
        items = math.prod(step.bottom[0].shape[:2])  # time steps × streams
        return int(items * sum(blob.count for blob in weights))
    if kind in ("PReLU", "Scale", "Bias", "BatchNorm", "Embed", "Parameter"):
        return 0
    weight = weights[0]
    if "InnerProduct" in kind:
        return int(step.top[0].count * weight.count / step.layer.param.inner_product_param.num_output)
    # What slides: every value of the top (of the bottom, for a deconvolution) meets one filter
    blobs = step.bottom if kind == "Deconvolution" else step.top
    return int(sum(blob.count for blob in blobs) * (weight.count // weight.shape[0]))


def net_summary(net: Net) -> str:
    """A table of the net's layers: tops with shapes, parameters, multiply-adds and memory; and the sums."""
    rows = summary_rows(net)
    table = [["Layer", "Type", "Top", "Shape", "Parameters", "Multiply-adds", "Memory"]]
    for row in rows:
        numbers = [_count(row.param_count), _count(row.multiply_adds), _bytes(row.memory)]
        tops = list(row.tops.items()) or [("", ())]
        table.append([row.name, row.type, tops[0][0], _shape(tops[0][1]), *numbers])
        table += [["", "", name, _shape(shape), "", "", ""] for name, shape in tops[1:]]
    total = [f"{sum(r.param_count for r in rows):,}", f"{sum(r.multiply_adds for r in rows):,}"]
    table.append(["Total", "", "", "", *total, _bytes(sum(r.memory for r in rows))])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = ["  ".join(_pad(cell, w, i) for i, (cell, w) in enumerate(zip(line, widths))) for line in table]
    rule = "-" * len(lines[0])
    title = f"Net '{net.name}', phase {_phase(net)}"
    return "\n".join(
        [title, rule, lines[0].rstrip(), rule, *(s.rstrip() for s in lines[1:-1]), rule, lines[-1]]
    )


def net_html(net: Net) -> str:
    """The summary as an HTML table."""
    rows = summary_rows(net)
    head = _cells("th", ["Layer", "Type", "Tops", "Parameters", "Count", "Multiply-adds", "Memory"])
    lines = []
    for row in rows:
        tops = "<br>".join(f"{html.escape(n)} <code>{_shape(s)}</code>" for n, s in row.tops.items())
        params = "<br>".join(f"<code>{_shape(s)}</code>" for s in row.params)
        numbers = [_count(row.param_count), _count(row.multiply_adds), _bytes(row.memory)]
        lines.append(_cells("td", [html.escape(row.name), html.escape(row.type), tops, params, *numbers]))
    counts = [f"{sum(r.param_count for r in rows):,}", f"{sum(r.multiply_adds for r in rows):,}"]
    lines.append(_cells("th", ["Total", "", "", "", *counts, _bytes(sum(r.memory for r in rows))]))
    title = f"<b>Net {html.escape(net.name) or '(no name)'}</b>, phase {_phase(net)}, {len(rows)} layers"
    names = f"inputs: {_names(net.inputs)}; outputs: {_names(net.outputs)}"
    return f"<div>{title}; {names}{_table([head, *lines])}</div>"


def blob_html(blob: Blob) -> str:
    """A blob's shape, range and mean, and its first values as a picture."""
    title = f"<b>Blob {html.escape(blob.name)}</b> <code>{_shape(tuple(blob.shape))}</code>"
    try:
        values = np.asarray(blob.data, dtype=np.float32)
    except StateError as error:
        return f"<div>{title}: {html.escape(str(error))}</div>"
    if not values.size:
        return f"<div>{title}: no values</div>"
    finite = values[np.isfinite(values)]
    parts = [f"data: {_range(finite)}"]
    if finite.size < values.size:
        parts.append(f"<b>{values.size - finite.size:,} values are not finite</b>")
    if blob.diff_memory.allocated:
        diff = np.asarray(blob.diff, dtype=np.float32)
        parts.append(f"diff: {_range(diff[np.isfinite(diff)])}")
    picture = thumbnail(values)
    image = (
        f'<br><img alt="first values" style="image-rendering:pixelated" src="{picture}">' if picture else ""
    )
    return f"<div>{title}<br>{'<br>'.join(parts)}{image}</div>"


def solver_html(solver: Solver) -> str:
    """Where a solver stands, and the net that it trains."""
    param = solver.param
    facts = {
        "iteration": f"{solver.iter:,}" + (f" of {param.max_iter:,}" if param.max_iter else ""),
        "learning rate": f"{solver.lr:g} ({html.escape(param.lr_policy)})",
        "test nets": str(len(solver.test_nets)),
    }
    lines = [_cells("td", [name, value]) for name, value in facts.items()]
    title = f"<b>{html.escape(str(solver.type))} solver</b>"
    return f"<div>{title}{_table(lines)}{net_html(solver.net)}</div>"


def thumbnail(values: Array) -> str | None:
    """The first values as a PNG data URI: an image, or the tiles of a filter bank or of feature maps.

    None for arrays that make no picture (fewer than two axes larger than 1).
    """
    tiles = _tiles(values)
    if tiles is None:
        return None
    import cv2

    low, high = float(np.nanmin(tiles)), float(np.nanmax(tiles))
    scaled = (tiles - low) / (high - low) if high > low else np.zeros_like(tiles)
    picture = _grid(np.nan_to_num(scaled, posinf=1, neginf=0))
    factor = max(1, _THUMBNAIL // max(picture.shape[:2]))
    picture = (255 * picture).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    ok, png = cv2.imencode(".png", picture)
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode() if ok else None


def _tiles(values: Array) -> Array | None:
    """N×H×W×C pictures, C 1 or 3 (which is taken as BGR, Caffe's order and that of OpenCV)."""
    values = values.reshape([n for n in values.shape if n > 1] or [1])
    if values.ndim < 2 or not np.isfinite(values).any():
        return None
    while values.ndim > 4:
        values = values[0]
    if values.ndim == 2:
        return values[np.newaxis, :256, :256, np.newaxis]
    if values.shape[-3] == 3:
        colour = values if values.ndim == 4 else values[np.newaxis]
        return np.ascontiguousarray(colour[:_MOST_TILES].transpose(0, 2, 3, 1))
    planes = values if values.ndim == 3 else values[0]
    return planes[:_MOST_TILES, :, :, np.newaxis]


def _grid(tiles: Array) -> Array:
    columns = math.ceil(math.sqrt(len(tiles)))
    lines = math.ceil(len(tiles) / columns)
    _, height, width, channels = tiles.shape
    sheet = np.ones((lines * (height + 1) - 1, columns * (width + 1) - 1, channels), np.float32)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _range(values: Array) -> str:
    if not values.size:
        return "nothing finite"
    return f"{values.min():.4g} … {values.max():.4g}, mean {values.mean():.4g}, std {values.std():.4g}"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "scalar"


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _bytes(number: int) -> str:
    if not number:
        return ""
    if number < 1 << 20:
        return f"{number / 1024:.1f} KiB"
    return f"{number / (1 << 20):.1f} MiB"


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column >= 4 else cell.ljust(width)


def _phase(net: Net) -> str:
    return "TEST" if net.phase else "TRAIN"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(html.escape, names)) or "none"


def _cells(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_STYLE}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _table(lines: Sequence[str]) -> str:
    return "<table>" + "".join(lines) + "</table>"
