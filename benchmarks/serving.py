"""Requests a second and waiting times of caffe serve, against onnxruntime behind plain FastAPI, and LitServe.

    python -m benchmarks.serving deploy.prototxt net.caffemodel photo.jpg --seconds=10 --rounds=3
    python -m benchmarks.serving … --ways=caffe --clients=32 --seconds=600 --rounds=1   # memory over ten minutes

Each server runs alone; the servers take turns. Clients are threads of one more process, each with a connection that
stays; all of it shares the machine's cores. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WAYS = ("caffe", "caffe --compile", "fastapi")
START_SECONDS = 300  # a net is compiled first


@dataclass
class Found:
    """One turn of a server."""

    rate: float
    p50: float
    p99: float
    statuses: dict[int, int]


def clients(
    port: int, body: bytes, count: int, seconds: float, answer: multiprocessing.Queue[object]
) -> None:
    """A process: ``count`` threads that ask one after the other; puts the times and statuses."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    def ask() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        line.connect()
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < end:
            began = time.perf_counter()
            line.request("POST", "/classify", body, {"content-type": "image/jpeg"})
            got = line.getresponse()
            got.read()
            times.append(time.perf_counter() - began)
            statuses[got.status] += 1

    threads = [threading.Thread(target=ask) for _ in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer.put((times, dict(statuses), time.perf_counter() - began))


def load(port: int, body: bytes, count: int, seconds: float) -> Found:
    """Ask for some seconds."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=clients, args=(port, body, count, seconds, answer))
    process.start()
    times, statuses, spent = answer.get()
    process.join()
    ordered = np.sort(times) * 1e3
    return Found(
        len(times) / spent, float(np.percentile(ordered, 50)), float(np.percentile(ordered, 99)), statuses
    )


class Server:
    """A server as a process of its own."""

    def __init__(self, way: str, args: argparse.Namespace, onnx: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        python = args.python or sys.executable
        if way.startswith("caffe"):
            command = [sys.executable, "-m", "caffe", "serve", args.net, args.weights, f"--port={self.port}"]
            command += way.split()[1:]
        else:
            model = f"{args.net},{args.weights}" if way == "litserve-caffe" else onnx
            command = [python, "-m", "benchmarks.serving_peers", way, str(self.port), model]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                line.request("POST", "/classify", args.body, {"content-type": "image/jpeg"})
                if line.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.3)
        self.stop()
        raise SystemExit(f"{way} did not start")

    def memory(self) -> float:
        """MiB of the process and its children."""
        import psutil

        all_ = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(p.memory_info().rss for p in all_) / 2**20

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("weights")
    parser.add_argument("photo")
    parser.add_argument("--ways", default=",".join(WAYS), help="also litserve, litserve-caffe")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--python", default="", help="for the peers, where LitServe is in another environment"
    )
    parser.add_argument("--onnx", default="serving_bench.onnx", help="made where it is not there")
    args = parser.parse_args()
    args.body = Path(args.photo).read_bytes()
    if not Path(args.onnx).exists():
        import caffe
        from caffe.export import to_onnx

        to_onnx(caffe.Net(args.net, caffe.TEST, weights=args.weights), args.onnx)
    found: dict[tuple[str, int], list[Found]] = {}
    for round_ in range(args.rounds):
        for way in args.ways.split(","):
            server = Server(way, args, args.onnx)
            try:
                load(server.port, args.body, 8, 2)
                before = server.memory()
                for count in map(int, args.clients.split(",")):
                    one = load(server.port, args.body, count, args.seconds)
                    found.setdefault((way, count), []).append(one)
                    print(f"{round_} {way:16} {count:3} clients: {one}", file=sys.stderr)
                print(f"  memory {before:.0f} → {server.memory():.0f} MiB", file=sys.stderr)
            finally:
                server.stop()
    print("| server | clients | requests/s | p50 ms | p99 ms | answers |\n|---|---|---|---|---|---|")
    for (way, count), turns in found.items():
        middle = [statistics.median(getattr(t, name) for t in turns) for name in ("rate", "p50", "p99")]
        statuses: Counter[int] = sum((Counter(t.statuses) for t in turns), Counter())
        print(f"| {way} | {count} | {' | '.join(f'{v:.1f}' for v in middle)} | {json.dumps(statuses)} |")


if __name__ == "__main__":
    main()
