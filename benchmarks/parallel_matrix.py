"""LeNet on MNIST by 1, 2 and 4 processes on the CPU, for every solver type: differences after 50 iterations.

    python benchmarks/parallel_matrix.py /path/to/mnist        # the four files, gzip

Losses are compared as they are, weights relative to the largest value of each array; "equal until" says when losses
first differed by more than 1e-6. LeNet takes 240,000 maxima in an iteration. Where two values are so near to each other
that rounding decides, or a unit is so near to the kink of its ReLU, a gradient goes another way, and the runs are apart
by about 1e-4 from there on; one process that splits its batch by iter_size shows the same. --smooth leaves this out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe.data.sources.database import create
from caffe.formats.datum import Datum

SETTINGS = {
    "SGD": 'base_lr: 0.01 momentum: 0.9 lr_policy: "inv" gamma: 0.0001 power: 0.75',
    "Nesterov": 'base_lr: 0.01 momentum: 0.95 lr_policy: "inv" gamma: 0.0001 power: 0.75',
    "AdaGrad": 'base_lr: 0.01 lr_policy: "fixed"',
    "RMSProp": 'base_lr: 0.001 rms_decay: 0.98 lr_policy: "inv" gamma: 0.0001 power: 0.75',
    "AdaDelta": 'base_lr: 1 momentum: 0.95 delta: 1e-6 lr_policy: "fixed"',
    "Adam": 'base_lr: 0.001 momentum: 0.9 momentum2: 0.999 lr_policy: "fixed"',
}
"""As in the tutorials' solver files."""
BATCH = 64


def write_database(mnist: Path, path: Path) -> None:
    """The first images that 50 iterations read."""
    images = gzip.decompress((mnist / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((mnist / "train-labels-idx1-ubyte.gz").read_bytes())
    with create(path, "lmdb") as writer:
        for i in range(50 * BATCH):
            image = images[16 + 784 * i : 16 + 784 * (i + 1)]
            writer.put(b"%08d" % i, Datum(1, 28, 28, image, labels[8 + i]).serialize())


def train(
    folder: Path, kind: str, count: int, seed: int, smooth: bool
) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Losses of all iterations, and weights."""
    from benchmarks.nets import definition

    net = definition("lenet", 1, True)
    del net.layer[:2]
    for layer in net.layer:  # as in the tutorial
        if layer.type in ("Convolution", "InnerProduct"):
            field = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
            field.weight_filler.type = "xavier"
            layer.param.add(lr_mult=1)
            layer.param.add(lr_mult=2)
        if smooth and layer.type == "Pooling":
            layer.pooling_param.pool = caffe.params.Pooling.AVE
        if smooth and layer.type == "ReLU":
            layer.type = "TanH"
    source = caffe.NetSpec()
    source.data, source.label = caffe.layers.Data(
        source=str(folder / "mnist"), batch_size=BATCH // count, backend=1,
        transform_param=dict(scale=1 / 256), ntop=2,
    )  # fmt: skip
    text = str(source.to_proto()) + str(net)
    prefix = folder / f"{kind}{count}"
    Path(f"{prefix}_net.prototxt").write_text(text, encoding="utf-8")
    Path(f"{prefix}.prototxt").write_text(
        f'net: "{prefix}_net.prototxt" type: "{kind}" {SETTINGS[kind]} weight_decay: 0.0005 random_seed: {seed}'
        f' display: 1 max_iter: 50 snapshot_prefix: "{prefix}"',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "caffe", "train", f"--solver={prefix}.prototxt", f"--procs={count}"]
    environment = os.environ | {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, timeout=600, stderr=subprocess.DEVNULL)
    rows = map(json.loads, Path(f"{prefix}_metrics.jsonl").read_text(encoding="utf-8").splitlines())
    losses = np.array([row["loss"] for row in rows if row["kind"] == "train"])
    loaded = caffe.Net(f"{prefix}_net.prototxt", f"{prefix}_iter_50.caffemodel", caffe.TRAIN)
    params = loaded.params.items()
    return losses, {f"{name}/{i}": np.array(b.data) for name, blobs in params for i, b in enumerate(blobs)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--types", nargs="+", default=list(SETTINGS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smooth", action="store_true", help="averages and TanH instead of maxima and ReLU")
    options = parser.parse_args()
    caffe.init_log(2)
    folder = Path(tempfile.mkdtemp())
    write_database(options.mnist, folder / "mnist")
    print("| solver | processes | loss, first to last | equal until | losses differ by | weights differ by |")
    print("|---|---|---|---|---|---|", flush=True)
    for kind in options.types:
        losses, weights = train(folder, kind, 1, options.seed, options.smooth)
        for count in (2, 4):
            found, others = train(folder, kind, count, options.seed, options.smooth)
            worst = max(float(np.abs(others[k] - w).max() / np.abs(w).max()) for k, w in weights.items())
            apart = np.abs(found - losses)
            until = int(np.argmax(apart > 1e-6)) if (apart > 1e-6).any() else len(apart)
            print(f"| {kind} | {count} | {losses[0]:.3f} to {losses[-1]:.3f} | {until} | {apart.max():.1e}"
                  f" | {worst:.1e} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
