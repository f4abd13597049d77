"""Layers of Caffe that the front ends give as several operators: found, and put back together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from caffe.importing.graph import Graph, Node, Value

_SHAPES = frozenset(("view", "reshape", "squeeze", "unsqueeze", "_unsafe_view", "contiguous"))

_library = torch.library.Library("caffe_importing", "DEF")
_library.define("local_response_norm(Tensor input, int size, float alpha, float beta, float k) -> Tensor")


@torch.library.impl(_library, "local_response_norm", "CompositeExplicitAutograd")
def _local_response_norm(x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
    return torch.nn.functional.local_response_norm(x, size, alpha, beta, k)


LOCAL_RESPONSE_NORM: Any = torch.ops.caffe_importing.local_response_norm.default
"""PyTorch's, as one operator."""


def join(graph: Graph) -> None:
    """Replace ``F.local_response_norm``'s eight operators by one."""
    makers = {value: node for node in graph.nodes for value in node.outputs}
    for i, node in enumerate(graph.nodes):
        settings = _normalized(node, makers) if node.op == "div" else None
        if settings is not None:
            graph.nodes[i] = replace(
                node, target=LOCAL_RESPONSE_NORM, args=(node.args[0], *settings), kwargs={}
            )
    graph.drop_unused()


def _normalized(node: Node, makers: dict[Value, Node]) -> tuple[int, float, float, float] | None:
    """Size, alpha, beta and k where the node is x / (k + alpha · mean of x² over channels nearby) ^ beta."""
    x, over = node.args[0], node.args[1]
    if not isinstance(x, Value) or len(x.shape) < 3 or node.kwargs:
        return None
    numbers = []
    for op in ("pow", "add", "mul"):
        maker = makers.get(over)
        if maker is None or maker.op != op or len(maker.args) != 2 or maker.kwargs:
            return None
        over, number = maker.args[0], _number(maker.args[1])
        if number is None:
            return None
        numbers.append(number)
    beta, k, alpha = numbers
    pool = makers.get(_unshaped(over, makers))
    if pool is None or pool.op not in ("avg_pool2d", "avg_pool3d"):
        return None
    given = pool.arguments()
    size, *others = given["kernel_size"]
    plain = any(given["padding"]) or given["ceil_mode"] or given["divisor_override"] is not None
    if any(n != 1 for n in (*others, *(given["stride"] or [0]))) or plain or not size % 2:
        return None
    padded, channels = pool.args[0], x.shape[1]
    pad = makers.get(padded)
    if pad is None or pad.op not in ("pad", "constant_pad_nd") or padded.shape[2] != channels + size - 1:
        return None
    sides = [*pad.args[1], 0, 0]
    behind = 2 * (len(padded.shape) - 3)
    if any(sides[:behind]) or sides[behind : behind + 2] != [size // 2] * 2 or any(sides[behind + 2 :]):
        return None
    if pad.arguments().get("mode", "constant") != "constant" or pad.arguments().get("value"):
        return None
    if tuple(pad.args[0].shape[:3]) != (x.shape[0], 1, channels):
        return None
    square = makers.get(_unshaped(pad.args[0], makers))
    if square is None or square.op != "mul" or list(square.args) != [x, x]:
        return None
    return size, alpha, beta, k


def _unshaped(value: Any, makers: dict[Value, Node]) -> Any:
    while value in makers and makers[value].op in _SHAPES:
        value = makers[value].args[0]
    return value


def _number(x: Any) -> float | None:
    if isinstance(x, torch.Tensor):
        return float(x) if x.numel() == 1 else None
    return float(x) if isinstance(x, (int, float)) else None
