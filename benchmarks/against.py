"""This version against another one: the same work in turns in two processes, one with each version's package.

    python -m benchmarks.against OTHER/src [--nets caffenet,googlenet] [--tasks inference,training,memory] [--rounds 15]

OTHER is a checkout of another commit (``git worktree add OTHER COMMIT``). Tasks: ``build`` (caffe.Net of a
NetParameter), ``inference`` (set_inference), ``forward`` (all blobs kept), ``training`` (an iteration of the solver),
``compiled``, and ``memory``: the largest resident size of a process of its own that forwards, with all blobs and in
inference mode. What is compared is processor time, of all threads, so that others who use the machine count less; turns
are short and many, and of both the shortest turn's ratio and the median over rounds of the turns' ratio are shown.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

HERE = Path(__file__).resolve().parents[1] / "src"
TASKS = ("build", "inference", "forward", "training", "compiled")
LEAST_SECONDS = 0.05


class Worker:
    """A process with one version's package that does one task when asked."""

    def __init__(self, source: Path, task: str, net: str, batch: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.against", str(source), "--work", task, net, str(batch)],
            env={**os.environ, "PYTHONPATH": str(source)},
            cwd=HERE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.turn()

    def turn(self) -> float:
        """Milliseconds of processor time of a step, in one turn."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("no pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def step_of(task: str, name: str, batch: int) -> Callable[[], object]:
    """What is timed, ready to run."""
    import caffe
    from benchmarks.contenders import ours, ours_training
    from benchmarks.nets import definition

    if task == "build":
        param = definition(name, batch, training=True)
        return lambda: caffe.Net(param, caffe.TRAIN)
    if task == "training":
        return ours_training(name, batch)
    if task == "forward":
        net = caffe.Net(definition(name, batch, training=False), caffe.TEST)
        net.blobs["data"].data[...] = 1
        return net.forward_loss
    return ours(name, batch, compiled=task == "compiled")


def work(task: str, name: str, batch: int) -> None:
    """Run a turn for each line of standard input, until it ends."""
    step = step_of(task, name, batch)
    repeats = 0
    for _ in sys.stdin:
        step()  # not counted: warms what the other process has cooled
        if not repeats:
            start = time.process_time()
            step()
            repeats = max(1, round(LEAST_SECONDS / max(time.process_time() - start, 1e-6)))
        start = time.process_time()
        for _ in range(repeats):
            step()
        print((time.process_time() - start) * 1e3 / repeats, flush=True)


def compare(other: Path, task: str, name: str, batch: int, rounds: int) -> None:
    """Print one row: milliseconds of both, and this version's time as a part of the other's."""
    workers = {source: Worker(source, task, name, batch) for source in (other, HERE)}
    times: dict[Path, list[float]] = {source: [] for source in workers}
    for i in range(rounds):
        for source in (list(workers), list(workers)[::-1])[i % 2]:
            times[source].append(workers[source].turn())
    for worker in workers.values():
        worker.close()
    before, now = times[other], times[HERE]
    median = statistics.median(b / a for a, b in zip(before, now))
    shortest = min(now) / min(before)
    print(
        f"| {task} | {name} ({batch}) | {min(before):.2f} | {min(now):.2f} | {shortest:.3f} | {median:.3f} |",
        flush=True,
    )


def peak(source: Path, name: str, batch: int, mode: str) -> float:
    """The largest resident size in MB, above that of the imports, of a process that forwards three times."""
    program = (
        "import re, torch, caffe\n"
        "from benchmarks.nets import definition\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "caffe.Net(caffe.NetSpec(), caffe.TEST)\n"
        "before = peak()\n"
        f"net = caffe.Net(definition({name!r}, {batch}, training=False), caffe.TEST)\n"
        "net.blobs['data'].data[...] = 1\n"
        f"{mode}\n"
        "for _ in range(3): net.forward()\n"
        "print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(re.findall(r"[\d.]+", done.stdout)[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, help="the src folder of the other version")
    parser.add_argument("--nets", default="lenet,caffenet,googlenet,resnet50,squeezenet,mobilenet")
    parser.add_argument("--tasks", default="build,inference,training")
    parser.add_argument("--batch", type=int, default=0, help="10, for LeNet 64, where left out")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work[:2], int(options.work[2]))
        return
    other = options.other.resolve()
    print("| task | net (batch) | other, ms | this, ms | shortest turns' ratio | median ratio |")
    print("|---|---|---|---|---|---|")
    tasks = options.tasks.split(",")
    for name in options.nets.split(","):
        batch = options.batch or (64 if name == "lenet" else 10)
        for task in tasks:
            if task in TASKS:
                compare(other, task, name, batch, options.rounds)
        if "memory" in tasks:
            for mode in ("", "net.set_inference()"):
                sizes = [peak(source, name, batch, mode) for source in (other, HERE)]
                print(
                    f"| memory, MB {mode} | {name} ({batch}) | {sizes[0]:.0f} | {sizes[1]:.0f} | | |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
