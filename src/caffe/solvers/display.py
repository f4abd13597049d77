"""What a solver logs, in the original's words, so that parsers of its logs work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from caffe import logs
from caffe.net.net import Net
from caffe.solvers.training import Training

Outputs = dict[str, list[float]]


def outputs(net: Net) -> Outputs:
    """Every output blob's values."""
    return {name: net.blobs[name].tensor.flatten().tolist() for name in net.outputs}


def iteration(solver: Training, loss: float, iters: int, seconds: float, values: Outputs) -> None:
    """The lines of a displayed iteration."""
    speed = iters / (seconds or 1)
    logs.info(
        f"Iteration {solver.iter} ({speed:g} iter/s, {seconds:.3g}s/{solver.param.display} iters), loss = {loss:g}"
    )
    _outputs(solver.net, values, "Train")


def learning_rate(iteration: int, rate: float) -> None:
    """The line with the learning rate."""
    logs.info(f"Iteration {iteration}, lr = {rate:g}")


def test_outputs(net: Net, values: Outputs) -> None:
    """The lines of a test."""
    _outputs(net, values, "Test")


def _outputs(net: Net, values: Outputs, kind: str) -> None:
    weights = net.blob_loss_weights
    index = 0
    for name, numbers in values.items():
        weight = weights[name]
        for value in numbers:
            loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            logs.info(f"    {kind} net output #{index}: {name} = {value:g}{loss}")
            index += 1


@contextmanager
def debugging(net: Net) -> Iterator[None]:
    """Log the mean absolute value of every blob, parameter and gradient while the net runs (``debug_info``)."""
    hooks = net.hooks
    forward, backward = _forward_lines(net), _backward_lines(net)
    hooks["after_forward"].append(forward)
    hooks["after_backward"].append(backward)
    try:
        yield
        _all_params(net)
    finally:
        hooks["after_forward"].remove(forward)
        hooks["after_backward"].remove(backward)


def _mean(tensor: torch.Tensor) -> float:
    return float(tensor.abs().mean()) if tensor.numel() else 0.0


def _forward_lines(net: Net):  # type: ignore[no-untyped-def]
    def lines(i: int) -> None:
        step = net.steps[i]
        for name, blob in zip(step.top_names, step.top):
            logs.info(f"    [Forward] Layer {step.name}, top blob {name} data: {_mean(blob.tensor):g}")
        for k, blob in enumerate(step.layer.blobs):
            name = _param_name(net, i, k)
            logs.info(f"    [Forward] Layer {step.name}, param blob {name} data: {_mean(blob.tensor):g}")

    return lines


def _backward_lines(net: Net):  # type: ignore[no-untyped-def]
    def lines(i: int) -> None:
        step = net.steps[i]
        if not step.needs_backward:
            return
        for name, blob, wanted in zip(step.bottom_names, step.bottom, step.propagate_down):
            if wanted:
                logs.info(
                    f"    [Backward] Layer {step.name}, bottom blob {name} diff: {_mean(blob.diff_tensor):g}"
                )
        for k, blob in enumerate(step.layer.blobs):
            if step.layer.needs.params[k]:
                logs.info(
                    f"    [Backward] Layer {step.name}, param blob {k} diff: {_mean(blob.diff_tensor):g}"
                )

    return lines


def _param_name(net: Net, layer: int, index: int) -> str:
    specs = net.steps[layer].layer.param.param
    return specs[index].name if index < len(specs) and specs[index].name else str(index)


def _all_params(net: Net) -> None:
    data = [p.blob.tensor for p in net.learnable]
    diff = [p.blob.diff_tensor for p in net.learnable]
    sums = [sum(float(t.abs().sum()) for t in ts) for ts in (data, diff)]
    squares = [sum(float((t * t).sum()) for t in ts) ** 0.5 for ts in (data, diff)]
    logs.error(
        f"    [Backward] All net params (data, diff): L1 norm = ({sums[0]:g}, {sums[1]:g});"
        f" L2 norm = ({squares[0]:g}, {squares[1]:g})"
    )


def first_not_finite(net: Net) -> str:
    """In words, the first place of the net that holds NaN or infinity."""
    for step in net.steps:
        for i, blob in enumerate(step.layer.blobs):
            if not bool(torch.isfinite(blob.tensor).all()):
                return f"the first is in parameter {i} of layer '{step.name}' ({step.layer.type})"
        for name, blob in zip(step.top_names, step.top):
            if not bool(torch.isfinite(blob.tensor).all()):
                return f"the first is in blob '{name}', made by layer '{step.name}' ({step.layer.type})"
    return "no blob holds one now"
