"""What data-parallel training would take on n workers: the model of docs/distributed.md, for real nets.

    python -m benchmarks.planning                                  # the tables of docs/distributed.md
    python -m benchmarks.planning --seconds 0.09 --gbits 25 --nets resnet50 --batch 64

Backward is walked layer by layer: a layer's time is its share of the net's multiply-adds, once for forward and twice
for backward. Each bucket of gradients, packed as training packs them, leaves when its last layer is done and the
bucket before it has arrived. A bucket of S bytes takes

    2 (n - 1) / n · 8 S / (efficiency · bandwidth) + 2 ⌈log2 n⌉ · latency

the first part being what a ring must send through each host's link, the second the steps of a tree. The time of an
iteration is that of forward, and of backward or the last bucket, whichever is later, and of the update.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import caffe
from benchmarks import nets
from caffe import layers as L
from caffe import params as P
from caffe.display import multiply_adds
from caffe.parallel.gradients import pack
from caffe.proto import caffe_pb2

BATCHES = {"caffenet": 256, "resnet50": 64, "vgg16": 64}
WORKERS = (2, 8, 32, 128, 512)


@dataclass
class Link:
    """What joins the hosts."""

    gbits: float
    efficiency: float
    latency: float

    def seconds(self, size: float, workers: int) -> float:
        """How long a bucket of so many bytes is on its way."""
        through = 2 * (workers - 1) / workers * 8 * size / (self.efficiency * self.gbits * 1e9)
        return through + 2 * math.ceil(math.log2(workers)) * self.latency


@dataclass
class Shape:
    """A net as the model sees it: each layer's share of the compute, and when which bucket may leave."""

    shares: list[float]
    multiply_adds: int
    buckets: list[tuple[int, int]]
    """(ready after the backward of this layer, bytes)"""

    @property
    def size(self) -> int:
        """Bytes of all gradients."""
        return sum(size for _, size in self.buckets)


def vgg16() -> Any:
    """VGG-16 (configuration D) at batch 1."""
    n = caffe.NetSpec()
    n.data, n.label = L.Input(shape=dict(dim=[1, 3, 224, 224])), L.Input(shape=dict(dim=[1]))
    x = n.data
    for block, (count, outputs) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for i in range(1, count + 1):
            x = n[f"conv{block}_{i}"] = L.Convolution(x, num_output=outputs, kernel_size=3, pad=1)
            x = n[f"relu{block}_{i}"] = L.ReLU(x, in_place=True)
        x = n[f"pool{block}"] = L.Pooling(x, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    for name, outputs in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        x = n[name] = L.InnerProduct(x, num_output=outputs)
    n.loss = L.SoftmaxWithLoss(x, n.label)
    return n.to_proto()


def shape_of(name: str, bucket_bytes: int) -> Shape:
    """The net's shape, from its definition."""
    param = caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed")
    param.net_param.CopyFrom(vgg16() if name == "vgg16" else nets.definition(name, 1, True))
    solver = caffe.SGDSolver(param)
    counts = [multiply_adds(step) for step in solver.net.steps]
    total = sum(counts)
    return Shape(
        [count / total for count in counts],
        total,
        [(bucket.ready_at, 4 * bucket.count) for bucket in pack(solver, bucket_bytes)],
    )


def iteration(
    net: Shape, compute: float, link: Link, workers: int, *, layer_wise: bool = True, shrink: float = 1
) -> float:
    """Seconds of an iteration whose compute alone takes ``compute``."""
    forward, backward = compute / 3, compute * 2 / 3
    done = forward + backward
    clock, free = forward, 0.0
    waiting = list(net.buckets)
    for layer in reversed(range(len(net.shares))):
        clock += backward * net.shares[layer]
        while waiting and waiting[0][0] >= layer:
            size = waiting.pop(0)[1] / shrink
            free = max(clock if layer_wise else done, free) + link.seconds(size, workers)
    return max(done, free)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", default=list(BATCHES))
    parser.add_argument("--batch", type=int, default=0, help="items a worker (256, 64, 64)")
    parser.add_argument("--tflops", type=float, nargs="+", default=[10, 60], help="what a worker sustains")
    parser.add_argument(
        "--seconds", type=float, default=0, help="measured seconds a step instead (caffe time)"
    )
    parser.add_argument("--gbits", type=float, nargs="+", default=[10, 100])
    parser.add_argument("--efficiency", type=float, default=0.8, help="of the nominal bandwidth")
    parser.add_argument("--latency", type=float, default=20e-6, help="seconds, of a step of the tree")
    parser.add_argument("--bucket_mb", type=float, default=25)
    options = parser.parse_args()
    caffe.init_log(2)
    for name in options.nets:
        net = shape_of(name, int(options.bucket_mb * 2**20))
        batch = options.batch or BATCHES[name]
        print(f"\n{name}: {net.size / 1e6:.0f} MB of gradients in {len(net.buckets)} buckets,"
              f" {net.multiply_adds / 1e9:.2f} G multiply-adds an item, {batch} items a worker")  # fmt: skip
        print(
            "| a worker alone | link | "
            + " | ".join(f"{n} workers" for n in WORKERS)
            + " | at end, 32 | bf16, 32 |"
        )
        print("|---|---|" + "---:|" * (len(WORKERS) + 2))
        operations = 6e-12 * net.multiply_adds * batch
        times = [options.seconds] if options.seconds else [operations / t for t in options.tflops]
        for compute in times:
            for gbits in options.gbits:
                link = Link(gbits, options.efficiency, options.latency)
                cells = [iteration(net, compute, link, n) for n in WORKERS]
                cells.append(iteration(net, compute, link, 32, layer_wise=False))
                cells.append(iteration(net, compute, link, 32, shrink=2))
                row = " | ".join(f"{1e3 * t:.0f} ms ({compute / t:.0%})" for t in cells)
                print(f"| {batch / compute:.0f} items/s, {1e3 * compute:.0f} ms | {gbits:g} Gbit/s | {row} |")


if __name__ == "__main__":
    main()
