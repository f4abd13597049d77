"""The solver's own time in an iteration: all of ``solver.step`` that is not spent in layers.

    python -m benchmarks.solver_overhead [lenet:64 caffenet:10 …]

LeNet with a batch of 64 and CaffeNet with 10, trained by SGD with momentum and weight decay on a constant batch (Input
layers, so no reading of data), with what ``caffe train`` does by default: a line every ``--display`` iterations, the
metrics' files, a callback, a question for signals. A clock around every layer's forward and backward, the update rule
and the other parts divides the time of each iteration into

    layers    forward and backward of all layers, with their bookkeeping (binding blobs, gradients)
    kernel    the update rule: reading gradients, history and parameters, writing history and parameters
    update    the rest of the update: the rate, which tensors, which groups
    net       the loops over layers, the loss
    clear     clearing the parameters' gradients
    shown     smoothed loss, displays, metrics
    loop      the rest of ``step``

"The rest" is all but layers and kernel. The kernel is bounded by the machine's memory, so torch.optim.SGD, which must
read and write the same, runs on the same tensors for comparison. The clock's own calls are measured and taken off.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "0")

import torch

import caffe
from benchmarks.contenders import ours_training_solver
from caffe import logs, runtime
from caffe.solvers.metrics import Metrics

PARTS = ("layers", "kernel", "update", "net", "clear", "shown", "loop")


class Clock:
    """Divides time among parts: a part that calls another does not count what that one takes."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self.calls = 0
        self._inner = [0.0]

    def around(self, owner: Any, method: str, part: str) -> None:
        """Count the calls of a method into a part."""
        inner, spent, call, now = self._inner, self.spent, getattr(owner, method), time.perf_counter

        def timed(*args: Any, **kwargs: Any) -> Any:
            inner.append(0.0)
            start = now()
            try:
                return call(*args, **kwargs)
            finally:
                took = now() - start
                spent[part] += took - inner.pop()
                inner[-1] += took
                self.calls += 1

        setattr(owner, method, timed)


def clocked(solver: caffe.SGDSolver) -> Clock:
    """Put a clock into a solver."""
    clock = Clock()
    for layer in {op.layer for op in solver.net.plan().ops}:
        clock.around(layer, "forward_keeping", "layers")
        clock.around(layer, "backward_from", "layers")
    clock.around(solver.update.rule, "apply", "kernel")
    clock.around(solver, "apply_update", "update")
    clock.around(solver.net, "forward_loss", "net")
    clock.around(solver.net, "_backward", "net")
    clock.around(solver.net, "clear_param_diffs", "clear")
    clock.around(solver, "_smooth", "shown")
    clock.around(solver, "_display", "shown")
    clock.around(solver, "step", "loop")
    return clock


def cost_of_a_call() -> tuple[float, float]:
    """Seconds that a clocked call adds to its own part, and to its caller's."""

    class Nothing:
        def call(self) -> None:
            pass

    def each(function: Callable[[], None], count: int = 50_000) -> float:
        start = time.perf_counter()
        for _ in range(count):
            function()
        return (time.perf_counter() - start) / count

    clock, bare, nothing = Clock(), Nothing(), Nothing()
    clock.around(nothing, "call", "loop")
    whole = each(lambda: nothing.call()) - each(lambda: bare.call())
    own = clock.spent["loop"] / clock.calls
    return own, whole - own


def divided(solver: caffe.SGDSolver, clock: Clock, rounds: int, iterations: int) -> list[dict[str, float]]:
    """Milliseconds an iteration in each part, for each round."""
    found = []
    for _ in range(rounds):
        clock.spent.update(dict.fromkeys(PARTS, 0.0))
        solver.step(iterations)
        found.append({part: seconds * 1e3 / iterations for part, seconds in clock.spent.items()})
    return found


def torchs_own(solver: caffe.SGDSolver, rounds: int, repeats: int) -> dict[str, float]:
    """Milliseconds that torch.optim.SGD takes for the same parameters."""
    device = runtime.device()
    params = []
    for param in solver.net.learnable:
        tensor = param.blob.data_memory.on(device).detach().clone().requires_grad_()
        tensor.grad = torch.zeros_like(tensor)
        params.append(tensor)
    found = {}
    for name in ("fused", "foreach"):
        optimizer = torch.optim.SGD(params, lr=1e-9, momentum=0.9, weight_decay=5e-4, **{name: True})
        optimizer.step()
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            for _ in range(repeats):
                optimizer.step()
            times.append((time.perf_counter() - start) * 1e3 / repeats)
        found[name] = statistics.median(times)
    return found


def report(name: str, batch: int, seconds: float, display: int) -> None:
    """Measure a net and print its table."""
    with tempfile.TemporaryDirectory() as folder:
        solver = ours_training_solver(name, batch)
        solver.param.display = display
        solver.add_callback(Metrics(str(Path(folder, name))))
        with Path(os.devnull).open("w", encoding="utf-8") as sink:
            logs.redirect(lambda line: print(line, file=sink))
            solver.step(2)
            start = time.perf_counter()
            solver.step(3)
            once = (time.perf_counter() - start) / 3
            rounds = 7
            iterations = max(3, round(seconds / rounds / once))
            bare = []
            for _ in range(3):
                start = time.perf_counter()
                solver.step(iterations)
                bare.append((time.perf_counter() - start) * 1e3 / iterations)
            clock = clocked(solver)
            times = divided(solver, clock, rounds, iterations)
            calls = clock.calls / rounds / iterations
            logs.redirect(None)
        own, others = cost_of_a_call()
        parts = {part: statistics.median(t[part] for t in times) for part in PARTS}
        # all but the layers' and the kernel's clocked calls end in "the rest", and each adds to its caller
        rest = [sum(t.values()) - t["layers"] - t["kernel"] for t in times]
        excess = (calls * others + 6 * own) * 1e3
        whole = statistics.median(sum(t.values()) for t in times) - excess
        left = statistics.median(rest) - excess
        peer = torchs_own(solver, 5, max(1, round(0.2 / max(parts["kernel"] / 1e3, 1e-5))))
    count = sum(p.blob.count for p in solver.net.learnable)
    print(f"\n{name}, batch {batch}, {count / 1e6:.2f} M parameters, {rounds} × {iterations} iterations")
    print(f"  an iteration      {whole:9.3f} ms  (without the clock {statistics.median(bare):.3f})")
    for part in PARTS:
        print(f"    {part:15} {parts[part]:9.3f} ms  {parts[part] / whole:6.1%}")
    print(f"  update kernel     {parts['kernel']:9.3f} ms  {parts['kernel'] / whole:6.1%}"
          f"   torch.optim.SGD fused {peer['fused']:.3f} ms, foreach {peer['foreach']:.3f} ms")  # fmt: skip
    print(
        f"  the rest          {left:9.3f} ms  {left / whole:6.1%}   (the clock's {excess:.3f} ms taken off)"
    )
    print(f"  both              {left + parts['kernel']:9.3f} ms  {(left + parts['kernel']) / whole:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nets", nargs="*", default=["lenet:64", "caffenet:10"], help="name:batch")
    parser.add_argument("--seconds", type=float, default=8, help="how long each is measured")
    parser.add_argument("--display", type=int, default=100, help="iterations from line to line")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {runtime.device()}")
    for item in options.nets:
        name, _, batch = item.partition(":")
        report(name, int(batch or 10), options.seconds, options.display)


if __name__ == "__main__":
    main()
