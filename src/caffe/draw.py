"""Drawing a net's graph: layers as boxes, blobs as octagons, layers in place drawn through their blob.

The graph is written in Graphviz's language, which needs nothing (``.dot`` or ``.gv`` files); PNG, SVG, PDF
and the like need Graphviz's program ``dot``, and :func:`get_pydot_graph` the package pydot.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caffe.errors import FileAccessError, InputError, MissingPackageError
from caffe.formats.prototxt import NetFile
from caffe.passes.upgrade import upgrade_net
from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter
NetParameter = caffe_pb2.NetParameter

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

RANKDIRS = ("TB", "BT", "LR", "RL")
_TEXT = ("dot", "gv")


@dataclass
class Graph:
    """Nodes by id and edges between ids, with Graphviz's attributes."""

    name: str
    rankdir: str
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        lines = [f"digraph {_quote(self.name)} {{", f"  rankdir={self.rankdir};"]
        for name, style in self.nodes.items():
            attributes = ", ".join(f"{key}={_quote(value)}" for key, value in style.items())
            lines.append(f"  {_quote(name)} [{attributes}];")
        for start, end, label in self.edges:
            lines.append(f"  {_quote(start)} -> {_quote(end)}{f' [label={_quote(label)}]' if label else ''};")
        return "\n".join([*lines, "}", ""])


def _quote(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def get_pooling_types_dict() -> dict[int, str]:
    """From a pooling method's number to its name."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: Layer) -> str:
    """What stands at the edges out of a layer: the batch size of data, the outputs where there are some."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""


def get_layer_label(layer: Layer, rankdir: str, display_lrm: bool = False) -> str:
    """What stands in a layer's box: name and type, kernel, stride and pad of those that slide.

    ``display_lrm`` adds the multipliers of the learning rate.
    """
    if layer.type in ("Convolution", "Deconvolution"):
        kind = layer.type
        param = layer.convolution_param
        sizes = [_size(param.kernel_size, param, "kernel", 1), _size(param.stride, param, "stride", 1)]
        sizes.append(_size(param.pad, param, "pad", 0))
    elif layer.type == "Pooling":
        pool = layer.pooling_param
        kind = f"{get_pooling_types_dict()[pool.pool]} {layer.type}"
        sizes = [
            _size([pool.kernel_size], pool, "kernel", 1),
            _size([pool.stride], pool, "stride", 1),
            _size([pool.pad], pool, "pad", 0),
        ]
        if pool.global_pooling:
            sizes[0] = "all"
    else:
        kind, sizes = layer.type, []
    parts = [layer.name, f"({kind})"]
    parts += [f"{what}: {size}" for what, size in zip(("kernel size", "stride", "pad"), sizes)]
    if display_lrm and layer.param:
        parts.append("lr mult: " + ", ".join(f"{p.lr_mult:g}" for p in layer.param))
    # Boxes grow across the direction of the graph: lines where it runs sideways, spaces where it runs down
    return (" " if rankdir in ("TB", "BT") else "\\n").join(parts)


def _size(values: Any, param: Any, name: str, default: int) -> str:
    if param.HasField(f"{name}_h") or param.HasField(f"{name}_w"):
        return f"{getattr(param, f'{name}_h')}x{getattr(param, f'{name}_w')}"
    return "x".join(str(v) for v in values) or str(default)


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's box, as #RRGGBB."""
    return {
        "Convolution": "#FF5050",
        "Deconvolution": "#FF5050",
        "Pooling": "#FF9900",
        "InnerProduct": "#CC33FF",
    }.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def _in_phase(layer: Layer, phase: int) -> bool:
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def graph_of(
    caffe_net: NetParameter,
    rankdir: str = "LR",
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Graph:
    """The graph of a net, of its layers in one phase where ``phase`` says so. Raises InputError."""
    net = _as_net(caffe_net)
    if rankdir not in RANKDIRS:
        raise InputError(f"rankdir must be one of {', '.join(RANKDIRS)}; got {rankdir!r}")
    graph = Graph(net.name or "Net", rankdir)
    for layer in net.layer:
        if phase is not None and not _in_phase(layer, phase):
            continue
        node = f"{layer.name}_{layer.type}"
        in_place = len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]
        style = dict(NEURON_LAYER_STYLE if in_place else LAYER_STYLE_DEFAULT)
        if not in_place:
            style["fillcolor"] = choose_color_by_layertype(layer.type)
        graph.nodes[node] = {"label": get_layer_label(layer, rankdir, display_lrm), **style}
        for bottom in layer.bottom:
            graph.nodes.setdefault(f"{bottom}_blob", {"label": bottom, **BLOB_STYLE})
            graph.edges.append((f"{bottom}_blob", node, ""))
        for top in layer.top:
            graph.nodes.setdefault(f"{top}_blob", {"label": top, **BLOB_STYLE})
            graph.edges.append((node, f"{top}_blob", get_edge_label(layer) if label_edges else ""))
    return graph


def _as_net(net: Any) -> NetParameter:
    if not isinstance(net, NetParameter):
        to_proto = getattr(net, "to_proto", None)  # a NetSpec or a Net
        if to_proto is None:
            raise InputError(f"The net to draw must be a NetParameter, a NetSpec or a Net; got {type(net)}")
        net = to_proto()
    message: NetParameter = net
    if message.layers or message.input:
        file = NetFile(caffe_pb2.NetParameter())
        file.param.CopyFrom(message)
        upgrade_net(file)
        message = file.param
    return message


def get_pydot_graph(
    caffe_net: NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The graph as a ``pydot.Dot``. Raises MissingPackageError where pydot is not installed."""
    graph = graph_of(caffe_net, rankdir, label_edges, phase, display_lrm)
    try:
        import pydot
    except ImportError:
        raise MissingPackageError.of("pydot", "draw", "get_pydot_graph") from None
    dot = pydot.Dot(_quote(graph.name), graph_type="digraph", rankdir=graph.rankdir)
    nodes = {}
    for name, style in graph.nodes.items():
        quoted: dict[str, Any] = {key: _quote(value) for key, value in style.items()}
        nodes[name] = pydot.Node(_quote(name), **quoted)
        dot.add_node(nodes[name])
    for start, end, label in graph.edges:
        shown: dict[str, Any] = {"label": _quote(label)} if label else {}
        dot.add_edge(pydot.Edge(nodes[start], nodes[end], **shown))
    return dot


class Picture(bytes):
    """The bytes of a picture; a notebook shows it."""

    ext = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        if self.ext == "svg":
            return {"image/svg+xml": self.decode()}
        if self.ext == "png":
            return {"image/png": bytes(self)}
        return {"text/plain": f"<Picture of {len(self):,} bytes ({self.ext})>"}


def draw_net(
    caffe_net: NetParameter,
    rankdir: str = "LR",
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> Picture:
    """The bytes of a picture of the net, in any format of Graphviz (``dot`` and ``gv`` need no Graphviz).

    Raises MissingPackageError where Graphviz is needed and not installed, InputError for an unknown format.
    """
    return drawn(graph_of(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).to_dot(), ext)


def drawn(text: str, ext: str) -> Picture:
    """The picture of a graph in Graphviz's language. Raises as :func:`draw_net`."""
    if ext in _TEXT:
        return _picture(text.encode(), ext)
    program = shutil.which("dot")
    if program is None:
        raise MissingPackageError(
            f"Drawing a net as {ext.upper()} needs the program 'dot' of Graphviz, which is not installed",
            fix="Install Graphviz (apt install graphviz, brew install graphviz), or write a .dot file, which "
            "needs nothing",
        )
    run = subprocess.run([program, f"-T{ext}"], input=text.encode(), capture_output=True, check=False)
    if run.returncode:
        raise InputError(
            f"Graphviz cannot draw this net as {ext!r}: {run.stderr.decode(errors='replace').strip()}"
        )
    return _picture(run.stdout, ext)


def _picture(content: bytes, ext: str) -> Picture:
    picture = Picture(content)
    picture.ext = ext
    return picture


def draw_net_to_file(
    caffe_net: NetParameter,
    filename: str | Path,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write a picture of the net; its format is the file name's ending. Raises what :func:`draw_net` does."""
    write(filename, lambda ext: draw_net(caffe_net, rankdir, ext, phase, display_lrm))


def write(filename: str | Path, draw: Callable[[str], bytes]) -> None:
    """Write the picture that ``draw`` makes in the format of the file name's ending."""
    path = Path(filename)
    ext = path.suffix.lstrip(".").lower()
    if not ext:
        raise InputError(f"The picture's file name must end in its format, as in net.png; got '{filename}'")
    picture = draw(ext)
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise FileAccessError(f"cannot be written: {error.strerror}", file=path) from None
