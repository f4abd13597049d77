"""Run the benchmarks: ``python -m benchmarks``; ``--help`` lists what can be chosen."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import torch

import caffe
from benchmarks.contenders import INFERENCE, REFERENCE, TRAINING, NotHere, original
from benchmarks.measure import Step, Times, race, ratios
from benchmarks.nets import INPUTS

ORIGINAL_FORWARD = {"caffenet": 357, "googlenet": 1025}
ORIGINAL_TRAINING = {"caffenet": 789, "googlenet": 1704, "lenet": 36}
"""Milliseconds of BVLC Caffe with OpenBLAS on 2 AVX-512 cores (batch 10; LeNet 64), measured elsewhere."""


@click.command()
@click.option("--nets", default=",".join(INPUTS), show_default=True, help="Which nets.")
@click.option("--tasks", default="inference,training", show_default=True, help="inference, training or both.")
@click.option("--contenders", default="", help="Only these, separated by ','; all where left out.")
@click.option("--batch", default=0, help="Batch size; 10, for LeNet 64, where left out.")
@click.option("--rounds", default=7, show_default=True, help="How often each contender's turn comes.")
@click.option("--threads", default=0, help="Threads; torch decides where left out.")
@click.option("--gpu/--cpu", default=False, help="Run on the accelerator.")
@click.option("--caffe", "binary", default="", help="The caffe binary of a build of the original.")
@click.option("--output", default="", help="Add the results to this JSON file.")
@click.option("--table", default="", help="Write the table of --output's results into this Markdown file.")
@click.option("--picture", default="", help="Draw --output's results into this file (.svg, .png).")
def main(
    nets: str,
    tasks: str,
    contenders: str,
    batch: int,
    rounds: int,
    threads: int,
    gpu: bool,
    binary: str,
    output: str,
    table: str,
    picture: str,
) -> None:
    """Compare this package with others, in turns on this machine."""
    if threads:
        torch.set_num_threads(threads)
    if gpu:
        caffe.set_mode_gpu()
    click.echo(machine())
    results = json.loads(Path(output).read_text(encoding="utf-8")) if output and Path(output).exists() else {}
    for name in filter(None, nets.split(",")):
        for task in tasks.split(","):
            size = batch or (64 if name == "lenet" else 10)
            times = compare(name, task, size, rounds, [c for c in contenders.split(",") if c], binary)
            show(name, task, size, times)
            results[f"{name} {task} {size}"] = {
                "machine": machine(),
                "load": os.getloadavg()[0],
                "ms": {t.name: t.ms for t in times},
            }
            if output:
                Path(output).write_text(json.dumps(results, indent=1), encoding="utf-8")
    if table or picture:
        from benchmarks import report

        if table:
            report.write_table(results, Path(table))
        if picture:
            report.draw(results, Path(picture))


def compare(name: str, task: str, batch: int, rounds: int, chosen: list[str], binary: str) -> list[Times]:
    """Run all contenders of a task on a net."""
    factories = INFERENCE if task == "inference" else TRAINING
    steps: dict[str, Step] = {}
    for contender, factory in factories.items():
        if chosen and contender not in chosen and contender != REFERENCE:
            continue
        try:
            steps[contender] = factory(name, batch)
        except NotHere as reason:
            click.echo(f"  {contender}: {reason}")
    times = race(steps, rounds)
    if binary:
        run = original(binary, name, batch, task == "training")
        times.append(Times("BVLC Caffe", [run() for _ in range(rounds)]))
    return times


def show(name: str, task: str, batch: int, times: list[Times]) -> None:
    """Print one table."""
    speed = ratios(times, REFERENCE)
    click.echo(f"\n{name}, {task}, batch {batch}:  (times as fast as {REFERENCE}; median, least ms)")
    for t in times:
        click.echo(f"  {t.name:22} {speed[t.name]:6.2f}x {t.median:10.2f} {min(t.ms):10.2f}")
    quoted = (ORIGINAL_FORWARD if task == "inference" else ORIGINAL_TRAINING).get(name)
    if quoted:
        click.echo(f"  (BVLC Caffe with OpenBLAS took {quoted} ms on a machine of 2 cores)")


def machine() -> str:
    """What ran, on what."""
    found = []
    for package in ("torch", "onnxruntime", "openvino", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{model}, {os.cpu_count()} cores"
    return (
        f"{device}; {torch.get_num_threads()} threads; Python {platform.python_version()}, {', '.join(found)}"
    )


if __name__ == "__main__":
    main()
