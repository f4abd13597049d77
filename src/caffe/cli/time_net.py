"""``caffe time``: how long each layer takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe.cli import _time_table, gflags, paths, speed
from caffe.errors import FileAccessError

if TYPE_CHECKING:
    from caffe.net.net import Net


@click.command("time", cls=gflags.GflagsCommand)
@click.option("--model", type=paths.FILE, required=True, help="The net's prototxt.")
@click.option("--weights", type=paths.FILES, default="", help="Weights to load first; they change no times.")
@click.option("--iterations", default=50, show_default=True, help="How many times to run.")
@click.option("--gpu", default="", help="The device to run on; the CPU where left out.")
@click.option("--phase", default="TRAIN", show_default=True, help="TRAIN or TEST.")
@click.option("--level", default=0, help="The net's level.")
@click.option("--stage", default="", help="The net's stages, separated by ','.")
@click.option(
    "--profile", default="", help="Write a trace here (open it in a browser's tracing page); print the top."
)
@click.option(
    "--log/--nolog",
    default=None,
    help="Print the original's log lines instead of a table; so it is where the output is no terminal.",
)
@click.option(
    "--plan/--noplan",
    "plans",
    default=False,
    help="Measure nothing: print what a forward runs, op by op, and which rewrites made it so.",
)
@click.option("--json/--nojson", "as_json", default=False, help="Print JSON instead of a table.")
@speed.amp_flag
@speed.compile_flag
@gflags.dialect_option
def command(
    model: str,
    weights: str,
    iterations: int,
    gpu: str,
    phase: str,
    level: int,
    stage: str,
    profile: str,
    log: bool | None,
    plans: bool,
    as_json: bool,
    amp: str,
    compiles: bool,
) -> int:
    """Benchmark a model: the time of every layer, forward and backward.

    On a terminal as a table with shares of the time, operations a second and what the tops hold; piped, or with
    --log, in the original's lines; with --json as JSON.
    With --compile the time of the whole forward in the TEST phase, since layers are no longer run one by one.
    With --plan no times: what a whole forward runs, where layers are merged, and what is kept and freed.

    \b
      caffe time --model=deploy.prototxt --iterations=10
    """
    from caffe import logs
    from caffe.cli import devices
    from caffe.net.net import Net
    from caffe.proto import caffe_pb2

    if phase.upper() not in ("TRAIN", "TEST"):
        raise click.BadParameter(f"must be TRAIN or TEST; got '{phase}'", param_hint="--phase")
    if iterations < 1:
        raise click.BadParameter(f"must be at least 1; got {iterations}", param_hint="--iterations")
    if compiles and phase.upper() != "TEST":
        raise click.UsageError("--compile is for nets of the TEST phase: give --phase=TEST, too.")
    if profile:
        _check_writable(profile)
    devices.use(gpu)
    speed.use(amp, compiles)
    net = Net(
        model, caffe_pb2.Phase.Value(phase.upper()), level=level, stages=[s for s in stage.split(",") if s]
    )
    for path in filter(None, weights.split(",")):
        net.copy_from(path)
    if plans:
        _print_plans(net, compiles)
        return 0
    logs.info("Performing Forward")
    loss = float(net.forward_loss())
    logs.info(f"Initial loss: {loss:g}")
    if compiles:
        _measure_whole(net, iterations)
        return 0
    logs.info("Performing Backward")
    net.backward_steps()
    logs.info("*** Benchmark begins ***")
    logs.info(f"Testing for {iterations} iterations.")
    logged = log if log is not None else not (as_json or sys.stdout.isatty())
    forward, backward = _measure(net, iterations, logged)
    logs.info("*** Benchmark ends ***")
    rows = _time_table.layer_times(net, forward, backward)
    if as_json:
        click.echo(json.dumps(_time_table.as_json(net, rows, iterations), indent=1))
    elif not logged:
        _time_table.show(net, rows, iterations)
    if profile:
        _profile(net, profile)
    return 0


def _print_plans(net: Net, compiles: bool) -> None:
    """The net's plan; for a net of the TEST phase in inference mode, too, as ``caffe classify`` and ``test`` run it."""
    from caffe.proto import caffe_pb2

    if compiles:
        for _ in range(2):  # the first finds out what can be compiled
            net.forward_loss()
        click.echo(f"Compiled:\n{net.plan()}")
        return
    click.echo(f"As it is built:\n{net.plan()}")
    if net.phase == caffe_pb2.TEST:
        net.set_inference()
        click.echo(f"\nIn inference mode:\n{net.plan()}")


def _measure(net: Net, iterations: int, logged: bool) -> tuple[list[float], list[float]]:
    """Each layer's mean milliseconds, forward and backward; ``logged`` in the original's words, too."""
    from caffe import logs
    from caffe.timer import Timer

    forward = [0.0] * len(net.steps)
    backward = [0.0] * len(net.steps)
    timer, whole = Timer(), Timer()
    total = 0.0
    for i in range(iterations):
        net.clear_param_diffs()
        whole.start()
        for k in range(len(net.steps)):
            timer.start()
            net.forward_loss(k, k)
            timer.stop()
            forward[k] += timer.ms
        for k in range(len(net.steps) - 1, -1, -1):
            timer.start()
            net.backward_steps(k, k)
            timer.stop()
            backward[k] += timer.ms
        whole.stop()
        total += whole.ms
        if logged:
            logs.info(f"Iteration: {i + 1} forward-backward time: {whole.ms:.4g} ms.")
    means = [f / iterations for f in forward], [b / iterations for b in backward]
    if not logged:
        return means
    logs.info("Average time per layer: ")
    for step, f, b in zip(net.steps, forward, backward):
        logs.info(f"{step.name:>10}\tforward: {f / iterations:g} ms.")
        logs.info(f"{step.name:>10}\tbackward: {b / iterations:g} ms.")
    logs.info(f"Average Forward pass: {sum(forward) / iterations:g} ms.")
    logs.info(f"Average Backward pass: {sum(backward) / iterations:g} ms.")
    logs.info(f"Average Forward-Backward: {total / iterations:g} ms.")
    logs.info(f"Total Time: {total:g} ms.")
    return means


def _check_writable(path: str) -> None:
    """Raise FileAccessError, before anything is measured, where a file cannot be written."""
    if not Path(path).resolve().parent.is_dir():
        raise FileAccessError(
            "The trace cannot be written: there is no such folder",
            file=path,
            fix=f"Make it: mkdir -p '{Path(path).parent}'",
        )


def _measure_whole(net: Net, iterations: int) -> None:
    from caffe import logs
    from caffe.timer import Timer

    timer, total = Timer(), 0.0
    net.forward_loss()
    for i in range(iterations):
        timer.start()
        net.forward_loss()
        timer.stop()
        total += timer.ms
        logs.info(f"Iteration: {i + 1} forward time: {timer.ms:.4g} ms.")
    logs.info(f"Average Forward pass: {total / iterations:g} ms.")
    logs.info(f"Total Time: {total:g} ms.")


def _profile(net: Net, path: str) -> None:
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function

    from caffe.formats import atomic

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as trace:
        for k, step in enumerate(net.steps):
            with record_function(f"forward {step.name}"):
                net.forward_loss(k, k)
        for k in range(len(net.steps) - 1, -1, -1):
            with record_function(f"backward {net.steps[k].name}"):
                net.backward_steps(k, k)
    rows = sorted(
        (e for e in trace.key_averages() if e.key.startswith(("forward ", "backward "))),
        key=lambda e: -e.cpu_time_total,
    )
    whole = sum(e.cpu_time_total for e in rows) or 1
    click.echo("Most of the time goes to:")
    for event in rows[:15]:
        click.echo(
            f"  {event.cpu_time_total / whole:6.1%}  {event.cpu_time_total / 1000:9.3f} ms  {event.key}"
        )
    with atomic.replacing(path) as temporary:
        trace.export_chrome_trace(str(temporary))
        if not temporary.stat().st_size:
            raise FileAccessError("The trace could not be written: the profiler says why above", file=path)
    click.echo(f"Trace written to {path}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
