"""What weeks of training do to a run, in minutes: ``python -m benchmarks.unattended kills``, ``flat``.

Bounded scripts, too long for the tests; docs/training.md and docs/security.md have their figures. Linux.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import h5py
import numpy as np

import caffe
from caffe.cli import train
from caffe.data.sources.database import create
from caffe.formats.datum import Datum
from caffe.solvers import snapshot

NET = """name: "endurance"
layer { name: "data" type: "Data" top: "x" top: "label" data_param { source: "db" backend: LMDB batch_size: 6 }
  transform_param { scale: 0.004 mirror: true crop_size: 9 } include { phase: TRAIN } }
layer { name: "data" type: "Data" top: "x" top: "label" data_param { source: "db" backend: LMDB batch_size: 5 }
  transform_param { scale: 0.004 crop_size: 9 } include { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "drop" type: "Dropout" bottom: "c" top: "c" }
layer { name: "fc" type: "InnerProduct" bottom: "c" top: "y" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" test_iter: 3 test_interval: 10 base_lr: 0.02 momentum: 0.9 lr_policy: "inv" gamma: 0.01
power: 0.7 display: 0 average_loss: 4 max_iter: {iters} snapshot: {every} snapshot_prefix: "s" random_seed: 7
snapshot_format: {form} solver_mode: CPU type: "{kind}"
"""


@click.group()
def main() -> None:
    """Training for weeks, in minutes."""


def write_run(folder: Path, *, iters: int, every: int, form: str = "BINARYPROTO", kind: str = "SGD") -> None:
    """Net, solver and a database of 64 images in a folder."""
    rng = np.random.default_rng(1)
    with create(str(folder / "db"), "lmdb") as out:
        for i in range(64):
            pixels = rng.integers(0, 256, 3 * 10 * 11, dtype=np.uint8).tobytes()
            out.put(b"%08d" % i, Datum(3, 10, 11, pixels, label=i % 5).serialize())
    (folder / "net.prototxt").write_text(NET, encoding="utf-8")
    (folder / "solver.prototxt").write_text(SOLVER.format(iters=iters, every=every, form=form, kind=kind))


# Kills


@main.command()
@click.option("--times", default=200, show_default=True, help="How many kills for each format.")
@click.option("--seed", default=1, show_default=True, help="Where the random moments start.")
@click.option("--forms", default="BINARYPROTO,HDF5", show_default=True, help="Which formats.")
@click.option("--seconds", default=86400.0, help="End after so long, with fewer kills, for each format.")
@click.option("--slow", default=0.0, help="Seconds more that each file takes, as on a slow network's disk.")
def kills(times: int, seed: int, forms: str, seconds: float, slow: float) -> None:
    """Kill a training at random moments, and resume it each time.

    After each kill the newest snapshot must be complete, no older than the one before, and, byte for byte, what an
    undisturbed run has at that iteration.
    """
    bad = 0
    if slow:
        _slow_files(slow)
    for form in forms.split(","):
        kind = "Adam" if form == "HDF5" else "SGD"
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            bad += _kill(Path(name), times, random.Random(seed), form, kind, seconds)
    sys.exit(1 if bad else 0)


def _slow_files(seconds: float) -> None:
    """Let half the time pass before a written file is safe, half before it takes its place."""
    flush, replace = os.fsync, os.replace

    def slow_flush(handle: int) -> None:
        time.sleep(seconds / 2)
        flush(handle)

    def slow_replace(*paths: Any) -> None:
        time.sleep(seconds / 2)
        replace(*paths)

    os.fsync, os.replace = slow_flush, slow_replace  # type: ignore[assignment]


def _kill(folder: Path, times: int, draw: random.Random, form: str, kind: str, seconds: float) -> int:
    end = time.monotonic() + seconds
    iters, every = 600, 4
    write_run(folder, iters=iters, every=every, form=form, kind=kind)
    if _trained(None) != 0:
        raise SystemExit("the undisturbed run failed")
    wanted = {path.name: path.read_bytes() for path in folder.glob("s_iter_*")}
    counts: Counter[str] = Counter()
    last = 0
    _clear(folder)
    while counts["kills"] < times and time.monotonic() < end:
        status = _trained(draw)
        if status == 0:  # it came to its end
            counts["whole runs"] += 1
            last = 0
            _clear(folder)
            continue
        if os.WIFEXITED(status):
            print(Path("log.txt").read_text(encoding="utf-8")[-2000:], file=sys.stderr)
            raise SystemExit("a resumed run failed by itself")
        counts["kills"] += 1
        counts["while a snapshot was written"] += bool(list(folder.glob(".s_iter_*.tmp")))
        newest = snapshot.newest("s")
        found = int(newest.name.split("_")[-1].split(".")[0]) if newest else 0
        counts["with a file of an incomplete snapshot"] += len(list(folder.glob("s_iter_*"))) % 3 != 0
        counts["LOST SNAPSHOTS"] += found < last
        counts["NOT EXACT"] += newest is not None and not _same(folder, found, form, wanted)
        last = found
    status = _trained(None)
    counts["NOT EXACT"] += status != 0 or not _same(folder, iters, form, wanted)
    left = [p.name for p in folder.iterdir() if p.name.endswith((".tmp", ".lock"))]
    counts["FILES LEFT OVER"] += len(left)
    if left:
        print(*left, file=sys.stderr)
    print(f"{form}, {kind}: " + ", ".join(f"{count} {name}" for name, count in counts.items()), flush=True)
    return counts["LOST SNAPSHOTS"] + counts["NOT EXACT"] + counts["FILES LEFT OVER"]


def _clear(folder: Path) -> None:
    for path in [*folder.glob("s_iter_*"), *folder.glob(".s_iter_*")]:
        path.unlink()


def _trained(draw: random.Random | None) -> int:
    """``caffe train --resume=auto`` in a process of its own, killed at some moment behind a snapshot; its status."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os._exit(train.main(["--solver=solver.prototxt", "--resume=auto", "--nometrics"]))
    if draw is None:
        return os.waitpid(child, 0)[1]
    began = time.monotonic()
    first = _states()
    while _states() == first and time.monotonic() < began + 60:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.001)
    time.sleep(draw.random() * 0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _states() -> int:
    return sum(name.startswith("s_iter_") and ".solverstate" in name for name in os.listdir("."))


def _same(folder: Path, iteration: int, form: str, wanted: dict[str, bytes]) -> bool:
    ending = ".h5" if form == "HDF5" else ""
    for name in (f"s_iter_{iteration}.caffemodel{ending}", f"s_iter_{iteration}.solverstate{ending}"):
        if (folder / name).read_bytes() != wanted[name] and not _equal(folder / name, wanted[name]):
            return False
    return True


def _equal(path: Path, wanted: bytes) -> bool:
    """Whether two HDF5 files hold the same values."""
    import io

    if not path.name.endswith(".h5"):
        return False
    with h5py.File(path) as one, h5py.File(io.BytesIO(wanted)) as other:
        found: list[bool] = []

        def look(name: str, entry: h5py.HLObject) -> None:
            if isinstance(entry, h5py.Dataset):
                found.append(np.array_equal(entry[()], other[name][()]))

        one.visititems(look)
        return bool(found) and all(found)


# Memory and descriptors


@main.command()
@click.option("--scale", default=1.0, show_default=True, help="A share of the counts.")
def flat(scale: float) -> None:
    """Memory and file descriptors over many forwards, inputs, steps and nets; must not grow."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        write_run(folder, iters=10**6, every=0)
        (folder / "deploy.prototxt").write_text(
            'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 6 dim: 3 dim: 9 dim: 9 } } }\n'
            + NET[NET.index('layer { name: "conv"') : NET.index('layer { name: "loss"')]
        )
        (folder / "memory.prototxt").write_text(
            'layer { name: "m" type: "MemoryData" top: "x" top: "label" memory_data_param {'
            " batch_size: 6 channels: 3 height: 9 width: 9 } }\n" + NET[NET.index('layer { name: "conv"') :]
        )
        net = caffe.Net("deploy.prototxt", caffe.TEST)
        image = np.ones((6, 3, 9, 9), np.float32)
        memory = caffe.Net("memory.prototxt", caffe.TEST)
        items, labels = np.ones((60, 3, 9, 9), np.float32), np.zeros(60, np.float32)
        solver = caffe.get_solver("solver.prototxt")

        def set_input() -> None:
            memory.set_input_arrays(items, labels)
            memory.forward()

        def make() -> None:
            made = caffe.Net("net.prototxt", caffe.TRAIN)
            made.forward()
            made.backward()

        print(f"{'what':45} {'times':>7} {'memory, MB':>25} {'descriptors':>15} {'threads':>9}")
        grown = [
            _measured("forward(x=…)", 10_000, scale, lambda: net.forward(x=image)),
            _measured("set_input_arrays and forward", 10_000, scale, set_input),
            _measured("solver steps from LMDB, a test each 10", 2_000, scale, lambda: solver.step(1)),
            _measured("nets from LMDB made, run and dropped", 300, scale, make),
        ]
        sys.exit(1 if any(grown) else 0)


def _measured(what: str, times: int, scale: float, run: Callable[[], object]) -> bool:
    """Run it; show memory and descriptors after a tenth and at the end. Returns whether they grew."""
    times = max(10, int(times * scale))
    for _ in range(times // 10):
        run()
    first = _held()
    for _ in range(times - times // 10):
        run()
    last = _held()
    print(
        f"{what:45} {times:7,} {first[0]:11.1f} → {last[0]:9.1f} {first[1]:6} → {last[1]:4} {last[2]:9}",
        flush=True,
    )
    return last[0] > first[0] + 8 or last[1] > first[1]


def _held() -> tuple[float, int, int]:
    """MB that are resident, open descriptors, threads."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
    )


if __name__ == "__main__":
    main()
