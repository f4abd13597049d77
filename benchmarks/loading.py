"""Loading CaffeNet's 244 MB, and the memory that GoogLeNet needs.

    python -m benchmarks.loading

Time: ``caffe.Net(prototxt, caffemodel)`` against ``torch.load`` of the same tensors, in turns. Every weight is read
once after either, so that neither leaves the work for later. Memory: the largest resident size of a process above what
it had with this package and torch imported: for loading CaffeNet; for a forward of GoogLeNet with a batch of 10, with
all blobs kept and in inference mode. (It is read from /proc, on Linux.)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import torch

import caffe
from benchmarks.nets import definition

ROUNDS = 9
PEAK = """
import re, numpy, torch, caffe

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

caffe.Net(caffe.NetSpec(), caffe.TEST)
before = peak()
{what}
print(peak() - before)
"""
FORWARD = """
net = caffe.Net({path!r}, caffe.TEST)
net.blobs["data"].data[...] = 1
{mode}
for _ in range(3):
    net.forward()
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        text, weights, tensors = folder / "net.prototxt", folder / "net.caffemodel", folder / "net.pt"
        text.write_text(str(definition("caffenet", 10, training=False)))
        net = caffe.Net(str(text), caffe.TEST)
        net.save(str(weights))
        torch.save([torch.from_numpy(b.data.copy()) for blobs in net.params.values() for b in blobs], tensors)
        size = weights.stat().st_size / 2**20
        times = [(load(text, weights), load_tensors(tensors)) for _ in range(ROUNDS)]
        ratio = statistics.median(ours / theirs for ours, theirs in times)
        print(f"caffe.Net, {size:.0f} MB: {ratio:.2f} of torch.load's time")
        above = peak(f"caffe.Net({str(text)!r}, {str(weights)!r}, caffe.TEST)") - size
        print(f"its peak above the weights: {above:.0f} MB, {above / size:.2f} of their size")

        path = folder / "googlenet.prototxt"
        path.write_text(str(definition("googlenet", 10, training=False)))
        everything = peak(FORWARD.format(path=str(path), mode=""))
        inference = peak(FORWARD.format(path=str(path), mode="net.set_inference()"))
        print(f"GoogLeNet: {everything:.0f} MB with all blobs, {inference:.0f} MB in inference mode")


def load(text: Path, weights: Path) -> float:
    """Seconds to make the net and read its weights."""
    start = time.perf_counter()
    net = caffe.Net(str(text), str(weights), caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data.sum()
    return time.perf_counter() - start


def load_tensors(path: Path) -> float:
    """Seconds to load the tensors and read them."""
    start = time.perf_counter()
    for tensor in torch.load(path):
        tensor.numpy().sum()
    return time.perf_counter() - start


def peak(what: str) -> float:
    """The largest resident size in MB, above that of the imports, of a process that does this."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK.format(what=what)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
