"""The tutorial's 200 LeNet iterations with 8 full tests on MNIST: ours, from LMDB, against a hand-written torch loop.

    python benchmarks/lenet_tutorial.py MNIST_FOLDER

Both run in turns of 25 iterations and one test pass over 10,000 digits, in one process, so that a noisy machine
treats them alike. The hand-written loop has all data in memory, runs channels_last and updates with torch's own SGD;
it does not keep scores or gradients of blobs for anyone to look at. The original took 36.6 s for the same work on two
cores of this kind (OpenBLAS).
"""

from __future__ import annotations

import gzip
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np
import torch
import torch.nn.functional as F

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.cli.convert_mnist_data import main as convert

ORIGINAL_SECONDS = 36.6
ROUNDS, ITERATIONS = 8, 25


def lenet(lmdb: str, batch_size: int) -> str:
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size, backend=P.Data.LMDB, source=lmdb, transform_param=dict(scale=1.0 / 255), ntop=2
    )
    xavier = dict(type="xavier")
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=xavier)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=xavier)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=xavier)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=xavier)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return str(n.to_proto())


class Ours:
    """What the tutorial does."""

    def __init__(self, mnist: Path, folder: Path) -> None:
        for part, name, batch in (("train", "train", 64), ("t10k", "test", 100)):
            files = [str(next(mnist.glob(f"{part}-{kind}*"))) for kind in ("images", "labels")]
            convert([*files, str(folder / name)])
            (folder / f"{name}.prototxt").write_text(lenet(str(folder / name), batch))
        (folder / "solver.prototxt").write_text(
            f'train_net: "{folder}/train.prototxt" test_net: "{folder}/test.prototxt" test_iter: 100\n'
            "test_interval: 500 base_lr: 0.01 momentum: 0.9 weight_decay: 5e-4 lr_policy: 'inv'\n"
            "gamma: 0.0001 power: 0.75 max_iter: 10000 solver_mode: CPU random_seed: 1 test_initialization: false\n"
        )
        self.solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
        self.net = self.solver.test_nets[0]
        self.net.forward()

    def train(self) -> None:
        for _ in range(ITERATIONS):
            self.solver.step(1)
            self.net.forward(start="conv1")

    def test(self) -> float:
        correct = 0
        for _ in range(100):
            self.net.forward()
            correct += (self.net.blobs["score"].data.argmax(1) == self.net.blobs["label"].data).sum()
        return correct / 1e4


class HandWritten:
    """The same work in plain torch."""

    def __init__(self, mnist: Path) -> None:
        def read(name: str, skip: int) -> np.ndarray:
            return np.frombuffer(gzip.open(next(mnist.glob(name))).read()[skip:], np.uint8)

        def images(name: str) -> torch.Tensor:
            return torch.from_numpy(read(name, 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255)

        self.x, self.tx = images("train-images*"), images("t10k-images*")
        self.y, self.ty = (
            torch.from_numpy(read(n, 8).astype(np.int64)) for n in ("train-labels*", "t10k-labels*")
        )
        nn = torch.nn
        self.model = nn.Sequential(
            *(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
        ).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.at = 0

    def train(self) -> None:
        for _ in range(ITERATIONS):
            part = slice(self.at, self.at + 64)
            self.at += 64
            x = self.x[part].contiguous(memory_format=torch.channels_last)
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.model(x), self.y[part]).backward()
            self.optimizer.step()
            with torch.no_grad():
                self.model(self.tx[:100].contiguous(memory_format=torch.channels_last))

    def test(self) -> float:
        with torch.no_grad():
            found = [
                self.model(self.tx[i : i + 100].contiguous(memory_format=torch.channels_last)).argmax(1)
                for i in range(0, 10000, 100)
            ]
        return float((torch.cat(found) == self.ty).float().mean())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    mnist = Path(sys.argv[1] if len(sys.argv) > 1 else "data/mnist")
    with tempfile.TemporaryDirectory() as folder:
        ours, peer = Ours(mnist, Path(folder)), HandWritten(mnist)
        times: dict[str, list[float]] = {
            k: [] for k in ("ours train", "torch train", "ours test", "torch test")
        }
        ours.train(), peer.train()  # warm
        for _ in range(ROUNDS):
            times["ours train"].append(seconds(ours.train))
            times["torch train"].append(seconds(peer.train))
            times["ours test"].append(seconds(ours.test))
            times["torch test"].append(seconds(peer.test))
        accuracy = ours.test(), peer.test()
    whole = {w: sum(times[f"{w} train"]) + sum(times[f"{w} test"]) for w in ("ours", "torch")}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; medians of {ROUNDS} turns")
    for part in ("train", "test"):
        a, b = (statistics.median(times[f"{w} {part}"]) for w in ("ours", "torch"))
        print(
            f"{part:5}: ours {a * 1e3:7.1f} ms, hand-written {b * 1e3:7.1f} ms, ratio ours/hand-written {a / b:.2f}"
        )
    print(f"all of it: ours {whole['ours']:.1f} s, hand-written {whole['torch']:.1f} s, the original 36.6 s")
    print(
        f"  hand-written is {1 - whole['torch'] / whole['ours']:+.1%} faster; ours takes"
        f" {whole['ours'] / ORIGINAL_SECONDS:.2f} of the original's time"
    )
    print(f"  accuracies {accuracy[0]:.4f} and {accuracy[1]:.4f}")


if __name__ == "__main__":
    main()
