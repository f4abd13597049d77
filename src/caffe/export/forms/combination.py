"""Layers that bring several blobs together."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch

from caffe.export.forms.form import Form, form_of, function, number
from caffe.export.graph import Node


@form_of("Concat")
def concat(node: Node) -> Form | None:
    layer: Any = node.layer
    axis = layer.concat_axis(node.bottom_shapes[0])
    if len(node.bottoms) == 1:
        return function(lambda x: x, "{0}")
    return function(lambda *x: torch.cat(x, axis), f"torch.cat([{{all}}], {axis})")


@form_of("Eltwise")
def eltwise(node: Node) -> Form | None:
    p = node.layer.param.eltwise_param
    count = len(node.bottoms)
    if len({*node.bottom_shapes}) > 1 or count < 2:
        return None
    places = [f"{{{i}}}" for i in range(count)]
    if p.operation == p.PROD:
        return function(lambda *x: reduce(torch.mul, x), " * ".join(places))
    if p.operation == p.DIV:
        return function(torch.div, "{0} / {1}")
    if p.operation == p.SUB:
        return function(lambda *x: reduce(torch.sub, x), " - ".join(places))
    if p.operation in (p.MAX, p.MIN):
        call = torch.maximum if p.operation == p.MAX else torch.minimum
        text = places[0]
        for place in places[1:]:
            text = f"torch.{call.__name__}({text}, {place})"
        return function(lambda *x: reduce(call, x), text, trains=False)
    if not p.coeff:
        return function(lambda *x: reduce(torch.add, x), " + ".join(places))
    coeffs = list(p.coeff)

    def weighted(*x: torch.Tensor) -> torch.Tensor:
        return reduce(torch.add, [a if c == 1 else a * c for a, c in zip(x, coeffs)])

    text = ""
    for place, c in zip(places, coeffs):
        sign = "-" if c < 0 else "+"
        term = place if abs(c) == 1 else f"{number(abs(c))} * {place}"
        text += f" {sign} {term}" if text else (f"-{term}" if c < 0 else term)
    return function(weighted, text)


@form_of("Axpy")
def axpy(node: Node) -> Form | None:
    extra = len(node.bottom_shapes[1]) - len(node.bottom_shapes[0])
    index = (..., *(None,) * extra)
    a = "{0}" if not extra else "{0}[..., " + ", ".join(["None"] * extra) + "]"
    return function(lambda a, x, z: (a[index] if extra else a) * x + z, a + " * {1} + {2}")


@form_of("Mul")
def mul(node: Node) -> Form | None:
    return function(torch.mul, "{0} * {1}")
