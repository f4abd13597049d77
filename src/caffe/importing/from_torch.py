"""``caffe.from_torch``: a PyTorch module as a net."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from caffe.importing import conversion, files, torch_front
from caffe.importing.conversion import Conversion
from caffe.net.net import Net
from caffe.torch_private import leaves


def from_torch(
    module: torch.nn.Module,
    example_inputs: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    dialect: str = "bvlc",
    fold: bool = False,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    rename: Callable[[str], str] | None = None,
    check: bool = True,
    force: bool = False,
) -> Net:
    """A net that computes what a PyTorch module does, in evaluation mode.

    ``example_inputs`` is a tensor, a shape as (1, 3, 224, 224), or a tuple of them. Layers are called as the
    modules they come from (``layer1.0.conv1``); ``rename`` changes that. ``dialect`` says which layers may be used
    (see ``caffe lint``), ``fold`` puts BatchNorm into the convolutions before. With ``out``, OUT.prototxt and
    OUT.caffemodel are written. Unless ``check`` is false, net and module are compared on three random inputs and a
    second batch size, to 1e-4 of the largest value.

    Raises InputError, naming operator, file and line, for what has no form; NetError, naming the first layer that
    parts, where the values differ; what writing files raises.
    """
    if out is not None:
        files.free(out, force)
    done = convert_torch(
        module,
        example_inputs,
        dialect=dialect,
        fold=fold,
        input_names=input_names,
        output_names=output_names,
        rename=rename,
        runs=3 if check else 0,
    )
    if out is not None:
        done.save(out, force=force)
    return done.net


def convert_torch(
    module: torch.nn.Module,
    example_inputs: Any,
    *,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    rename: Callable[[str], str] | None = None,
    name: str = "",
    **options: Any,
) -> Conversion:
    """As :func:`from_torch`, with all that is known of the conversion."""
    examples = conversion.as_tensors(example_inputs)
    program = torch_front.exported(module, examples)
    graph = torch_front.graph_of(program, input_names, output_names)
    if rename is not None:
        for node in graph.nodes:
            node.name = rename(node.name)
    with torch_front.evaluating(module):
        return conversion.convert(
            graph,
            judge_of(module, len(graph.outputs)),
            [x for x in examples if isinstance(x, torch.Tensor)],
            name=name or type(module).__name__,
            own_names=bool(output_names) or not all(n.startswith("output") for n in graph.outputs),
            **options,
        )


def judge_of(module: Any, count: int) -> Callable[[list[torch.Tensor]], list[torch.Tensor]]:
    """The module as the judge: its tensors in order, those of lists and dicts one after another."""

    def judge(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad():
            tensors = leaves(module(*inputs))
        return [t for t in tensors if isinstance(t, torch.Tensor)][:count]

    return judge
