"""Layer-wise reduction against reduction at the end, over slow links between workers on this machine.

    python benchmarks/overlap.py                     # two workers, 0.5, 1 and 2 Gbit/s
    python benchmarks/overlap.py --gbits 1 --workers 2 3 4 --batch 8 --json overlap.json

With root rights (Linux, iproute2) each worker lives in a network namespace of its own, on a switch whose every port
is throttled with tc's token bucket, in both directions. Without, each reduction waits as long as the links would
take, in a thread beside it; that is a stand-in, and it is printed. The net is a stack of InnerProduct layers with
large gradients (--width, --layers).

Each run is compared with the model of docs/distributed.md: t = forward + backward + update + the part of the
communication that does not fit beside backward.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

SWITCH = f"caffe{os.getpid()}switch"


def name_of(rank: int) -> str:
    """A worker's namespace."""
    return f"caffe{os.getpid()}w{rank}"


def net_text(width: int, layers: int, batch: int) -> str:
    text = f"""
layer {{ name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {{
  shape {{ dim: {batch} dim: {width} }} shape {{ dim: {batch} dim: {width} }}
  data_filler {{ type: "gaussian" }} }} }}"""
    bottom = "x"
    for i in range(layers):
        text += f"""
layer {{ name: "ip{i}" type: "InnerProduct" bottom: "{bottom}" top: "y{i}"
  inner_product_param {{ num_output: {width} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "tanh{i}" type: "TanH" bottom: "y{i}" top: "y{i}" }}"""
        bottom = f"y{i}"
    return (
        text + f'\nlayer {{ name: "loss" type: "EuclideanLoss" bottom: "{bottom}" bottom: "t" top: "loss" }}'
    )


class _Slow:
    """Stands in for a throttled link: reductions end one after the other, each after its bytes' time."""

    def __init__(self, group: Any, gbits: float) -> None:
        self._group, self._reduce = group, group.reduce
        self._bytes_a_second = gbits * 1e9 / 8
        self._waiting: queue.Queue[tuple[Any, Any, float]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()
        group.reduce = self.reduce
        group.wait = lambda done: done.wait()

    def reduce(self, tensor: Any) -> threading.Event:
        done = threading.Event()
        # a ring of n workers sends 2 (n - 1) / n of the bytes
        count = self._group.count
        size = tensor.numel() * tensor.element_size() * 2 * (count - 1) / count
        self._waiting.put((self._reduce(tensor), done, size / self._bytes_a_second))
        return done

    def _run(self) -> None:
        while True:
            work, done, seconds = self._waiting.get()
            time.sleep(seconds)
            work.wait()
            done.set()


def work(options: argparse.Namespace) -> None:
    """What a worker does: time iterations both ways; the root prints them as a line of JSON."""
    import caffe
    from caffe.parallel import place, training
    from caffe.parallel.group import Group
    from caffe.solvers.callbacks import Callback

    here = place.from_environment()
    if here is None:
        raise SystemExit("not a worker")
    training.become(here)
    caffe.init_log(2)
    folder = Path(tempfile.mkdtemp())
    (folder / "net.prototxt").write_text(net_text(options.width, options.layers, options.batch))

    class Clock(Callback):
        """When forward and backward are over: the rest of a step is communication that is left, and update."""

        at = 0.0

        def on_gradients_ready(self, solver: Any) -> None:
            self.at = time.perf_counter()

    group = Group(here, 300)
    if options.stand_in:
        _Slow(group, options.gbits)
    found: dict[str, Any] = {}
    solvers = {}
    for name, layer_wise in (("at_end", "false"), ("layer_wise", "true")):
        path = folder / f"{name}.prototxt"
        path.write_text(
            f'net: "{folder}/net.prototxt" base_lr: 1e-6 lr_policy: "fixed" random_seed: 1 max_iter: 1'
            f" snapshot_after_train: false layer_wise_reduce: {layer_wise}"
        )
        solvers[name] = caffe.get_solver(str(path))
        clock = Clock()
        solvers[name].add_callback(clock)  # before the reducer's
        training.start_together(group, solvers[name], "", "", int(options.bucket_mb * 2**20))
        solvers[name].step(1)
        found[name] = []
        found[name + "_compute"] = []
        solvers[name].clock = clock
    for _ in range(options.iters):  # in turns, so that both see the same machine
        for name, solver in solvers.items():
            group.follow(False)
            began = time.perf_counter()
            solver.step(1)
            ended = time.perf_counter()
            found[name].append(ended - began)
            found[name + "_compute"].append(solver.clock.at - began)
    shutil.rmtree(folder)
    if here.rank == 0:
        net = solvers["at_end"].net
        found["megabytes"] = sum(p.blob.count for p in net.learnable) * 4 / 1e6
        print("RESULT " + json.dumps(found), flush=True)
    group.close()


class Switch:
    """A network namespace for each worker, on a switch with throttled ports."""

    def __init__(self, count: int, gbits: float) -> None:
        self.count = count
        self.bucket = ["tbf", "rate", f"{gbits * 1000:.0f}mbit", "burst", "512kb", "latency", "100ms"]

    def __enter__(self) -> Switch:
        self.run("ip", "netns", "add", SWITCH)
        self.run("ip", "-n", SWITCH, "link", "add", "bridge", "type", "bridge")
        self.run("ip", "-n", SWITCH, "link", "set", "bridge", "up")
        for rank in range(self.count):
            name, port = name_of(rank), f"port{rank}"
            self.run("ip", "netns", "add", name)
            pair = ["type", "veth", "peer", "name", port, "netns", SWITCH]
            self.run("ip", "link", "add", "cable", "netns", name, *pair)
            self.run("ip", "-n", SWITCH, "link", "set", port, "master", "bridge", "up")
            self.run("ip", "-n", name, "addr", "add", f"10.78.0.{rank + 1}/24", "dev", "cable")
            for device in ("cable", "lo"):
                self.run("ip", "-n", name, "link", "set", device, "up")
            for host, device in ((name, "cable"), (SWITCH, port)):
                self.run("tc", "-n", host, "qdisc", "replace", "dev", device, "root", *self.bucket)
        return self

    def __exit__(self, *args: object) -> None:
        for name in (*map(name_of, range(self.count)), SWITCH):
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=30, capture_output=True)

    @staticmethod
    def run(*command: str) -> None:
        subprocess.run(command, check=True, timeout=30)


def run(options: argparse.Namespace, count: int, gbits: float, stand_in: bool) -> dict[str, Any]:
    """Both ways over a link of so many Gbit/s; returns the root's times."""
    meeting = Path(tempfile.mkdtemp())
    flags = [f"--{n}={getattr(options, n)}" for n in ("width", "layers", "batch", "iters", "bucket_mb")]
    processes = []
    for rank in range(count):
        environment = os.environ | {
            "CAFFE_WORKERS_MEET_AT": f"file://{meeting}/meeting",
            "RANK": str(rank),
            "WORLD_SIZE": str(count),
            "OMP_NUM_THREADS": "1",
        }
        prefix = []
        if not stand_in:
            environment["GLOO_SOCKET_IFNAME"] = "cable"
            prefix = ["ip", "netns", "exec", name_of(rank)]
        command = [*prefix, sys.executable, __file__, "--work", f"--gbits={gbits}", *flags]
        command += ["--stand-in"] if stand_in else []
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        outputs = [process.communicate(timeout=900)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(meeting, ignore_errors=True)
    line = next(line for line in outputs[0].splitlines() if line.startswith("RESULT "))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gbits", type=float, nargs="+", default=[0.5, 1, 2])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--iters", type=int, default=7)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--bucket-mb", "--bucket_mb", type=float, default=8, dest="bucket_mb")
    parser.add_argument("--json", default="", help="write the results there too")
    parser.add_argument("--stand-in", action="store_true", help="no namespaces: a pause for each reduction")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        options.gbits = options.gbits[0]
        work(options)
        return
    stand_in = options.stand_in or os.geteuid() != 0 or not shutil.which("tc")
    results = []
    print("Links:", "a pause for each reduction (stand-in)" if stand_in else "network namespaces, tc tbf")
    print(f"{'workers':>7} {'Gbit/s':>7} {'MB':>6} {'compute':>8} {'links':>7} {'at end':>8} {'layer-wise':>10}"
          f" {'faster':>7} {'model: at end':>14} {'layer-wise':>10}")  # fmt: skip
    for count in options.workers:
        for gbits in options.gbits:
            with contextlib.nullcontext() if stand_in else Switch(count, gbits):
                found = run(options, count, gbits, stand_in)
            compute = median(found["at_end_compute"])
            link = 2 * (count - 1) / count * found["megabytes"] * 1e6 * 8 / (gbits * 1e9)
            end, layer_wise = median(found["at_end"]), median(found["layer_wise"])
            beside = 2 / 3 * compute  # backward, which takes about twice as long as forward
            model = compute + link, compute + max(0.0, link - beside)
            print(
                f"{count:7} {gbits:7.2f} {found['megabytes']:6.1f} {compute:7.3f}s {link:6.3f}s {end:7.3f}s"
                f" {layer_wise:9.3f}s {end / layer_wise:6.2f}x {model[0]:13.3f}s {model[1]:9.3f}s",
                flush=True,
            )
            results.append({"workers": count, "gbits": gbits, "compute": compute, "link": link, **found})
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
