"""Gradients of one layer's graph, with as little between its tensors and torch's kernels as can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def gradients(
    outs: Sequence[torch.Tensor], diffs: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor]
) -> list[torch.Tensor | None]:
    """The gradient of Σ ⟨out, diff⟩ for each leaf; None where there is none. The graph stays.

    Most layers are one operation, whose node of the graph is simply called: the autograd engine would take ten
    times as long to get there.
    """
    result = _of_one_node(outs[0].grad_fn, diffs[0], leaves) if len(outs) == 1 else None
    if result is not None:
        return result
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    if not wanted:
        return [None] * len(leaves)
    grads = iter(torch.autograd.grad(outs, wanted, diffs, retain_graph=True, allow_unused=True))
    return [next(grads) if leaf.requires_grad else None for leaf in leaves]


def _of_one_node(
    node: Any, diff: torch.Tensor, leaves: Sequence[torch.Tensor]
) -> list[torch.Tensor | None] | None:
    """The gradients where the graph is a single node over the leaves; None where it is not."""
    if node is None:  # the leaf itself
        return None
    inputs = [getattr(following, "variable", following) for following, _ in node.next_functions]
    places = []
    for variable in inputs:
        place = next((i for i, leaf in enumerate(leaves) if leaf is variable), None)
        if place is None and variable is not None:
            return None
        places.append(place)
    if callable(node):
        grads = node(diff)
    else:  # a torch.autograd.Function, which counts arguments that are no tensors, too
        needs = list(node.needs_input_grad)
        if needs[: len(inputs)] != [v is not None for v in inputs] or any(needs[len(inputs) :]):
            return None
        grads = node.apply(diff)
    if isinstance(grads, torch.Tensor):
        grads = (grads,)
    result: list[torch.Tensor | None] = [None] * len(leaves)
    for place, grad in zip(places, grads):
        if place is not None and grad is not None:
            if grad.shape != leaves[place].shape:  # the operation repeated the leaf along some axes
                grad = grad.sum_to_size(leaves[place].shape)
            before = result[place]
            result[place] = grad if before is None else before + grad
    return result
