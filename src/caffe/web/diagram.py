"""A net on one sheet of paper: layers with their sizes in boxes, what works on a box's result as chips in it,
repeated blocks drawn once, long nets in columns. Written in Graphviz's language, drawn by its program ``dot``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from caffe.errors import InputError
from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2
from caffe.web.analysis import analyse

KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "convolution": (
        "#c9dcf5",
        "#2f5f9e",
        ("Convolution", "Deconvolution", "DepthwiseConvolution", "Deformable"),
    ),
    "fully connected": ("#dccff0", "#6a4a9c", ("InnerProduct", "Embed", "LSTM", "RNN", "ConvLSTM")),
    "pooling": (
        "#fbe0bd",
        "#a8641a",
        ("Pooling", "ROIPooling", "PSROI", "ROIAlign", "SPP", "Upsample", "Interp"),
    ),
    "normalisation": ("#cfe8e4", "#2d7a70", ("BatchNorm", "BN", "Scale", "Bias", "LRN", "MVN", "Normalize")),
    "activation": (
        "#d5ecc8",
        "#4b7d2f",
        ("ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "Swish", "Dropout", "Softmax"),
    ),
    "joining": ("#f3d3dd", "#9c3a5b", ("Concat", "Eltwise", "Crop", "Slice", "Sum", "Axpy")),
    "detection": (
        "#f6e9a6",
        "#7d6a10",
        ("PriorBox", "Detection", "Proposal", "Region", "Yolo", "MultiBoxLoss"),
    ),
    "data": ("#e2e2e2", "#555555", ("Input", "Data", "ImageData", "HDF5Data", "MemoryData", "AnnotatedData")),
    "loss and score": ("#f7c9c4", "#a3352a", ("SoftmaxWithLoss", "Accuracy", "Loss")),
    "other": ("#ececec", "#666666", ()),
}
"""Kind → fill colour, line colour, beginnings or parts of the types that belong to it."""

CHIPS = frozenset(
    (
        "BatchNorm",
        "BN",
        "Scale",
        "Bias",
        "ReLU",
        "ReLU6",
        "PReLU",
        "ELU",
        "Sigmoid",
        "TanH",
        "Swish",
        "Dropout",
    )
    + ("Permute", "Flatten", "Reshape")
)
"""Types that are drawn in the box whose result they work on, in place or not."""

_A3 = (16.1, 11.3)  # inches within a margin of a centimetre
_ROW, _CELL = 0.95, 2.3  # inches: about a box with its edge, and its width


@dataclass
class Box:
    """A layer with its chips. ``reads`` has (index of a box, the blob's name), ``also`` blobs without an edge."""

    layers: list[int]
    tops: dict[str, list[int] | None] = field(default_factory=dict)
    reads: list[tuple[int, str]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    also: list[str] = field(default_factory=list)


def kind_of(layer_type: str) -> str:
    """The kind of a layer's type, which gives its colour."""
    if layer_type.endswith("Loss") and layer_type != "MultiBoxLoss":
        return "loss and score"
    for kind, (_, _, types) in KINDS.items():
        if layer_type in types:
            return kind
    for kind, (_, _, types) in KINDS.items():
        if any(len(part) > 4 and part in layer_type for part in types):
            return kind
    return "other"


def dot(net: NetFile, phase: int = caffe_pb2.TEST, whole: bool = False, columns: int = 0) -> str:
    """The sheet in Graphviz's language.

    ``whole`` draws every repetition of a block, ``columns`` (0: as fits a sheet) sets the columns of a long net.
    Raises InputError for a net without layers, and what reading a net raises.
    """
    state = analyse(net, phase=phase)
    if not state["layers"]:
        raise InputError("This net has no layers in this phase: there is nothing to draw")
    boxes = _boxes(state)
    repeated: dict[int, str] = {}
    if not whole:
        boxes = _once(state, boxes, repeated)
    return "\n".join(_Sheet(state, boxes, repeated).lines(columns))


def _boxes(state: dict[str, Any]) -> list[Box]:
    layers, units = state["layers"], state["units"]
    boxes: list[Box] = []
    maker: dict[str, int] = {}
    readers: dict[str, int] = {}
    for unit in units:
        for name in set(layers[unit["layers"][0]]["bottoms"]):
            readers[name] = readers.get(name, 0) + 1
    member: dict[int, list[int]] = {}
    for g, group in enumerate(state["groups"]):
        for unit in group["units"]:
            member.setdefault(unit, []).append(g)
    for u, unit in enumerate(units):
        first = layers[unit["layers"][0]]
        bottoms = first["bottoms"]
        shapes = {name: layers[i]["shapes"].get(name) for i in unit["layers"] for name in layers[i]["tops"]}
        if first["type"] in CHIPS and len(bottoms) == 1 and bottoms[0] in maker and readers[bottoms[0]] == 1:
            box = maker[bottoms[0]]
            if set(boxes[box].groups) == set(member.get(u, [])) and len(boxes[box].tops) == 1:
                boxes[box].layers += unit["layers"]
                boxes[box].tops = shapes
                maker.update(dict.fromkeys(shapes, box))
                continue
        reads = [(maker[name], name) for name in dict.fromkeys(bottoms) if name in maker]
        # An input that many read (every PriorBox of an SSD) is told in words: its edges would hide the others
        far = [name for box, name in reads if len(reads) > 1 and readers[name] > 2 and not boxes[box].reads]
        near = [(box, name) for box, name in reads if name not in far]
        boxes.append(Box(list(unit["layers"]), shapes, near, member.get(u, []), far))
        maker.update(dict.fromkeys(shapes, len(boxes) - 1))
    return boxes


def _once(state: dict[str, Any], boxes: list[Box], repeated: dict[int, str]) -> list[Box]:
    """The boxes with only the first of each run of repetitions; ``repeated`` says which group stands for many."""
    stands: dict[int, int] = {}
    groups = state["groups"]
    for r, run in enumerate(groups):
        if run["kind"] != "run":
            continue
        inside = {r, *run["groups"]}
        members = [i for i, box in enumerate(boxes) if inside & set(box.groups)]
        period, rest = divmod(len(members), run["repeats"])
        if rest or not period:
            continue
        for k, i in enumerate(members):
            stands[i] = members[k % period]
        for i in members[:period]:
            boxes[i].groups = [r]
        repeated[r] = f"{run['name']}   × {run['repeats']}"
    kept = [i for i in range(len(boxes)) if stands.get(i, i) == i]
    place = {i: k for k, i in enumerate(kept)}
    firsts = []
    for i in kept:
        box = boxes[i]
        reads: dict[tuple[int, str], None] = {}
        for b, name in box.reads:
            first = boxes[stands.get(b, b)]
            name = name if name in first.tops else list(first.tops)[list(boxes[b].tops).index(name)]
            reads[place[stands.get(b, b)], name] = None
        box.reads = [(b, name) for b, name in reads if b < place[i]]
        firsts.append(box)
    return firsts


class _Sheet:
    """Boxes on the way to a page."""

    def __init__(self, state: dict[str, Any], boxes: list[Box], repeated: dict[int, str]) -> None:
        self.state = state
        self.boxes = boxes
        self.repeated = repeated
        self.kinds: dict[str, None] = {}

    def lines(self, columns: int) -> Iterator[str]:
        starts, (wide, high) = self._cuts(columns)
        yield f"digraph {_quoted(self.state['name'] or 'Net')} {{"
        yield f'  graph [rankdir=TB, nodesep=0.18, ranksep=0.3, size="{wide},{high}", margin=0.4, bgcolor=white,'
        yield "    fontname=Helvetica, fontsize=11, newrank=true];"
        yield "  node [shape=plain, fontname=Helvetica, fontsize=10];"
        yield '  edge [fontname=Helvetica, fontsize=8, fontcolor="#555555", color="#8a8a8a", arrowsize=0.6];'
        for column, start in enumerate(starts):
            stop = starts[column + 1] if column + 1 < len(starts) else len(self.boxes)
            yield from self._column(range(start, stop))
        yield from self._ends(starts)
        yield from self._legend()
        yield "}"

    def _column(self, indices: range) -> Iterator[str]:
        grouped: dict[int | None, list[int]] = {}
        for i in indices:
            groups = self.boxes[i].groups
            grouped.setdefault(groups[0] if groups else None, []).append(i)
        for g, members in grouped.items():
            if g is None:
                yield from (self._node(i) for i in members)
                continue
            title = self.repeated.get(g) or self.state["groups"][g]["name"]
            many = g in self.repeated
            yield f"  subgraph cluster_{g}_{indices.start} {{"
            yield f'    label={_quoted(title)}; labeljust=l; fontcolor="#444444"; margin=8;'
            yield f'    style="rounded,filled"; fillcolor="#f7f7f7"; color="{"#666666" if many else "#dddddd"}";'
            yield f"    penwidth={1.6 if many else 1}; fontsize={12 if many else 9};"
            yield from ("  " + self._node(i) for i in members)
            yield "  }"
        for i in indices:
            for source, name in self.boxes[i].reads:
                if source in indices:
                    yield f"  b{source} -> b{i}{self._label(source, name, i)};"

    def _label(self, source: int, name: str, reader: int) -> str:
        box = self.boxes[source]
        firsts = [i for i, other in enumerate(self.boxes) for s, n in other.reads if (s, n) == (source, name)]
        if firsts[0] != reader:
            return ""
        shape = box.tops.get(name)
        own = {self.state["layers"][i]["name"] for i in box.layers}
        words = [] if name in own else [name]
        words += [_size(shape)] if shape else []
        return f" [label={_quoted(' ' + '  '.join(words))}]" if words else ""

    def _node(self, i: int) -> str:
        box = self.boxes[i]
        layers = [self.state["layers"][k] for k in box.layers]
        first = layers[0]
        kind = kind_of(first["type"])
        fill, line, _ = KINDS[kind]
        self.kinds[kind] = None
        bad = any(layer["error"] for layer in layers)
        what = first["type"] + (f"  {first['short']}" if first["short"] else "")
        what += f"  (also reads {', '.join(box.also)})" if box.also else ""
        rows = [f'<tr><td align="left"><b>{escape(first["name"])}</b></td></tr>']
        rows.append(
            f'<tr><td align="left"><font point-size="9" color="{line}">{escape(what)}</font></td></tr>'
        )
        if len(layers) > 1:
            cells = "".join(self._chip(layer) for layer in layers[1:])
            rows.append(
                '<tr><td align="left"><table border="0" cellborder="0" cellspacing="2" cellpadding="1">'
                f"<tr>{cells}</tr></table></td></tr>"
            )
        if bad:
            message = next(layer["error"]["message"] for layer in layers if layer["error"])
            short = message if len(message) < 60 else message[:57] + "…"
            rows.append(
                f'<tr><td align="left"><font point-size="8" color="#b00000">{escape(short)}</font></td></tr>'
            )
        border = 'color="#d00000" border="2"' if bad else f'color="{line}" border="1"'
        table = f'<table {border} style="rounded" bgcolor="{fill}" cellborder="0" cellspacing="0" cellpadding="3">'
        return f"  b{i} [label=<{table}{''.join(rows)}</table>>];"

    def _chip(self, layer: dict[str, Any]) -> str:
        kind = kind_of(layer["type"])
        fill, line, _ = KINDS[kind]
        self.kinds[kind] = None
        text = {"BatchNorm": "BN"}.get(layer["type"], layer["type"])
        text += f" {layer['short']}" if layer["short"] else ""
        return (
            f'<td border="1" style="rounded" color="{line}" bgcolor="{fill}">'
            f'<font point-size="8" color="{line}">{escape(text)}</font></td>'
        )

    # Columns

    def _cuts(self, columns: int) -> tuple[list[int], tuple[float, float]]:
        """The first box of each column, and the sheet's sides; cuts only where one blob alone goes on."""
        count = len(self.boxes)
        depth = [0] * count
        for i, box in enumerate(self.boxes):
            depth[i] = 1 + max((depth[source] for source, _ in box.reads), default=0)
        last = [
            max((r for r, b in enumerate(self.boxes) if any(s == i for s, _ in b.reads)), default=i)
            for i in range(count)
        ]
        bridges = []
        for i in range(1, count):
            crossing = {s for s in range(i) if last[s] >= i}
            names = {n for r in range(i, count) for s, n in self.boxes[r].reads if s < i}
            split = set(self.boxes[i].groups) & set(self.boxes[i - 1].groups)
            if len(crossing) == 1 and len(names) == 1 and not split:
                bridges.append(i)
        height = max(depth) * _ROW
        widest = max((depth.count(d) for d in set(depth)), default=1)
        width = _CELL * max(1, min(widest, 6))
        wanted = columns or max(1, round(math.sqrt(_A3[0] / _A3[1] * height / width)))
        starts = [0]
        for c in range(1, wanted):
            goal = max(depth) * c / wanted
            near = [b for b in bridges if b > starts[-1] and abs(depth[b] - goal) < max(depth) / wanted / 2]
            if near:
                starts.append(min(near, key=lambda b: abs(depth[b] - goal)))
        tall = height / len(starts) > width * len(starts)
        return starts, (_A3[::-1] if tall else _A3)

    def _ends(self, starts: Sequence[int]) -> Iterator[str]:
        """Where a column goes on in the next one: the same letter at both ends."""
        style = "shape=circle, fixedsize=true, width=0.32, fontsize=11, "
        style += 'style=filled, fillcolor="#444444", fontcolor=white'
        for k, start in enumerate(starts[1:]):
            letter = chr(ord("A") + k % 26)
            crossing = [
                (s, n, i) for i in range(start, len(self.boxes)) for s, n in self.boxes[i].reads if s < start
            ]
            source, name, reader = crossing[0]
            yield f"  out{k} [label={letter}, {style}]; in{k} [label={letter}, {style}];"
            yield f"  b{source} -> out{k}{self._label(source, name, reader)};"
            for _, _, i in crossing:
                yield f"  in{k} -> b{i};"

    def _legend(self) -> Iterator[str]:
        totals = self.state["totals"]
        rows = [f'<tr><td align="left" colspan="2"><b>{escape(self.state["name"] or "Net")}</b></td></tr>']
        text = f"{_many(totals['count'])} parameters, {_many(totals['multiply_adds'])} multiply-adds"
        rows.append(f'<tr><td align="left" colspan="2">{text}</td></tr>')
        for kind in KINDS:
            if kind in self.kinds:
                fill, line, _ = KINDS[kind]
                rows.append(
                    f'<tr><td border="1" color="{line}" bgcolor="{fill}" width="18" height="12" fixedsize="true"></td>'
                    f'<td align="left">{kind}</td></tr>'
                )
        yield f'  legend [label=<<table border="0" cellspacing="3">{"".join(rows)}</table>>];'


def _size(shape: Sequence[int]) -> str:
    """A blob's shape without the batch: 64×56×56."""
    return "×".join(map(str, shape[1:] if len(shape) > 1 else shape)) or "1"


def _many(number: float) -> str:
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
