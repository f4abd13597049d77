"""How data-parallel trainings end: ``python -m benchmarks.worker_ends --times=20 --load=2``.

Two workers are started, and ended in one way: one has another net (``refused``), a Python layer raises in one
(``error``), one is killed (``lost``), both get SIGINT (``interrupted``). Each must end by itself, with the message that
belongs to it and, where it had trained, a snapshot that can be restored. docs/distributed.md has the figures. Linux.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click

import caffe
from caffe.parallel.launch import meeting
from caffe.parallel.place import MEETING
from caffe.solvers import snapshot

NET = """layer {{ name: "data" type: "DummyData" top: "x" top: "t"
  dummy_data_param {{ shape {{ dim: 4 dim: 3 }} shape {{ dim: 4 dim: 2 }} data_filler {{ type: "gaussian" }} }} }}
layer {{ name: "step" type: "Python" bottom: "x" top: "y" python_param {{ module: "step" layer: "Step" }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "y" top: "z" inner_product_param {{ num_output: {outputs} }} }}
layer {{ name: "out" type: "InnerProduct" bottom: "z" top: "o" inner_product_param {{ num_output: 2 }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "o" bottom: "t" top: "loss" }}
"""
STEP = """import os, time
import caffe
class Step(caffe.Layer):
    def setup(self, bottom, top): self.steps = 0
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        self.steps += 1
        time.sleep(0.01)
        open(f"step-{caffe.solver_rank()}", "w").write(str(self.steps))
        if os.environ.get("RAISES") == str(caffe.solver_rank()) and self.steps == 9: raise KeyError("as asked")
        top[0].data[...] = bottom[0].data
    def backward(self, top, down, bottom): bottom[0].diff[...] = top[0].diff
"""
SOLVER = """net: "net-{rank}.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: 100000 display: 1
snapshot_prefix: "s" random_seed: 3 solver_mode: CPU
"""
SAID = {
    "refused": (r"Worker 1 .* has another net or solver than worker 0: it has 'num_output: 6'",) * 2,
    "error": (r"Worker 1 .* stopped: .*as asked.*training stopped in iteration", "as asked"),
    "lost": (r"Worker 1 .* was lost", ""),
    "interrupted": ("Optimization stopped early", ""),
}
"""What workers 0 and 1 must say."""
STATUS = {"refused": (1, 1), "error": (1, 1), "lost": (1, -signal.SIGKILL), "interrupted": (0, 0)}
LONGEST = 120.0
"""Seconds that a training may take to come to its first steps, and to end."""


@click.command()
@click.option("--times", default=20, show_default=True, help="How many trainings for each way to end.")
@click.option("--load", default=2, show_default=True, help="How many busy processes beside them.")
@click.option("--ways", default=",".join(SAID), show_default=True, help="Which ways.")
@click.option("--seconds", default=86400.0, help="End after so long, with fewer trainings, for each way.")
def main(times: int, load: int, ways: str, seconds: float) -> None:
    """Start trainings of two workers and end them in each way."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        bad = sum(_ended(way, times, time.monotonic() + seconds) for way in ways.split(","))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    sys.exit(1 if bad else 0)


def _ended(way: str, times: int, until: float) -> int:
    """Trainings that ended in one way; prints and returns how many did not as they should."""
    wrong: Counter[str] = Counter()
    took = []
    while len(took) < times and time.monotonic() < until:
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            seconds, faults = _run(way, Path(name))
        took.append(seconds)
        wrong.update(faults)
    print(
        f"{way}: {len(took)} trainings, ended within {median(took):.1f} s (median), {max(took):.1f} s (longest); "
        + (", ".join(f"{count} {fault}" for fault, count in wrong.items()) or "all as they should"),
        flush=True,
    )
    return wrong.total()


def _run(way: str, folder: Path) -> tuple[float, list[str]]:
    """One training: seconds from its cause to the end of both workers, and what was wrong with it."""
    (folder / "step.py").write_text(STEP, encoding="utf-8")
    for rank in range(2):
        outputs = 6 if way == "refused" and rank else 5
        (folder / f"net-{rank}.prototxt").write_text(NET.format(outputs=outputs), encoding="utf-8")
        (folder / f"solver-{rank}.prototxt").write_text(SOLVER.format(rank=rank), encoding="utf-8")
    workers = [_start(folder, rank, way) for rank in range(2)]
    try:
        began = _bring_about(way, folder, workers)
        for worker in workers:
            worker.wait(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return LONGEST, ["STOOD STILL"]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return time.monotonic() - began, _faults(way, folder, workers)


def _start(folder: Path, rank: int, way: str) -> subprocess.Popen[bytes]:
    place = {MEETING: meeting(folder), "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    place |= {"LOCAL_WORLD_SIZE": "2", "RAISES": "1" if way == "error" else ""}
    with open(folder / f"said-{rank}", "wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "caffe", "train", f"--solver=solver-{rank}.prototxt", "--nometrics"],
            env=os.environ | place | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def _bring_about(way: str, folder: Path, workers: list[subprocess.Popen[bytes]]) -> float:
    """Wait for the training's cause of ending, or be it; when that was."""
    began = time.monotonic()
    while not (way != "refused" and _steps(folder) >= 9) and all(worker.poll() is None for worker in workers):
        if time.monotonic() > began + LONGEST:
            raise subprocess.TimeoutExpired("caffe train", LONGEST)
        time.sleep(0.005)
    began = time.monotonic()
    if way == "lost":
        workers[1].kill()
    elif way == "interrupted":
        for worker in workers:
            worker.send_signal(signal.SIGINT)
    return began


def _steps(folder: Path) -> int:
    """Forwards that both workers have begun."""
    found = [folder / f"step-{rank}" for rank in range(2)]
    return min(int(path.read_text() or 0) if path.exists() else 0 for path in found)


def _faults(way: str, folder: Path, workers: list[subprocess.Popen[bytes]]) -> list[str]:
    faults = []
    for rank, (worker, status, said) in enumerate(zip(workers, STATUS[way], SAID[way])):
        output = (folder / f"said-{rank}").read_text(encoding="utf-8", errors="replace")
        if worker.returncode != status:
            faults.append(f"ended with {worker.returncode}")
        if not re.search(said, output):
            faults.append("without its message")
            print(f"{way}, worker {rank}: {output[-2000:]}", file=sys.stderr)
    if way != "refused" and not _restores():
        faults.append("WITHOUT A SNAPSHOT")
    return faults


def _restores() -> bool:
    """Whether there is a snapshot that a solver goes on from."""
    found = snapshot.newest("s")
    if found is None:
        return False
    sys.path.insert(0, ".")
    try:
        solver = caffe.get_solver("solver-0.prototxt")
        solver.restore(str(found))
    finally:
        sys.path.remove(".")
    return solver.iter > 0


if __name__ == "__main__":
    main()
