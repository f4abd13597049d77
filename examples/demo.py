# needs: demo
"""A LeNet, described in prototxt, learns handwritten digits in front of your eyes.

    make demo                      (or: python examples/demo.py --out demo)

Takes MNIST where its four files are given (``--mnist DIR``), else scikit-learn's real handwritten digits, scaled to
28×28. Writes LMDBs, writes the prototxts with NetSpec, trains with ``caffe train``, tests, and leaves pictures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.data.sources.database import create
from caffe.formats.datum import Datum


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits of 43 writers, as uint8 images of 28×28, in their own order."""
    import cv2
    from sklearn.datasets import load_digits

    found = load_digits()
    small = (found.images * 255 / 16).astype(np.float32)
    large = [cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC) for image in small]
    framed = np.zeros((len(large), 28, 28), np.uint8)
    framed[:, 4:24, 4:24] = np.clip(np.stack(large), 0, 255).astype(np.uint8)
    return framed, found.target


def write_lmdb(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """An LMDB of datums, as convert_mnist_data writes it."""
    with create(str(path), "lmdb", overwrite=True) as writer:
        for i, (image, label) in enumerate(zip(images, labels)):
            writer.put(b"%08d" % i, Datum(1, *image.shape, image.tobytes(), int(label)).serialize())


def prepare_data(mnist: Path | None) -> str:
    """Write train_lmdb and test_lmdb into the working folder; says what is in them."""
    if mnist is not None:
        for part, name in (("train", "train"), ("t10k", "test")):
            files = [next(mnist.glob(f"{part}-{kind}*")) for kind in ("images-idx3", "labels-idx1")]
            command("convert_mnist_data", *map(str, files), f"{name}_lmdb", "--overwrite")
        return "MNIST: 60,000 digits to learn from, 10,000 to test with"
    images, labels = digits()
    write_lmdb(Path("train_lmdb"), images[:1400], labels[:1400])
    write_lmdb(Path("test_lmdb"), images[1400:], labels[1400:])
    return "scikit-learn's digits: 1,400 to learn from, 397 (of other writers) to test with"


def lenet(source: str, batch_size: int) -> str:
    """The LeNet of the tutorials, over an LMDB."""
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size,
        backend=P.Data.LMDB,
        source=source,
        transform_param=dict(scale=1.0 / 255),
        ntop=2,
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=dict(type="xavier"))
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.accuracy = L.Accuracy(n.score, n.label, include=dict(phase=caffe.TEST))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return f'name: "LeNet"\n{n.to_proto()}'


SOLVER = """# What `caffe train` reads: the nets, how to learn, what to write.
train_net: "train.prototxt"
test_net: "test.prototxt"
test_iter: {test_iter}
test_interval: 100
type: "SGD"
base_lr: 0.01
momentum: 0.9
weight_decay: 0.0005
lr_policy: "inv"
gamma: 0.0001
power: 0.75
display: 50
max_iter: {iterations}
snapshot: {snapshot}
snapshot_prefix: "snapshots/lenet"
solver_mode: CPU
random_seed: 1
"""


def command(*args: str) -> None:
    """Run ``caffe …`` as a user would."""
    print("$ caffe " + " ".join(args), flush=True)
    subprocess.run([sys.executable, "-m", "caffe", *args], check=True)


def main() -> None:
    """Prepare, train, test, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="demo", help="folder for everything that is made")
    parser.add_argument("--mnist", type=Path, help="folder with the four MNIST files")
    parser.add_argument("--iterations", type=int, help="how long to learn (400; 1,000 with MNIST)")
    args = parser.parse_args()
    mnist = args.mnist.resolve() if args.mnist else None
    iterations = args.iterations or (1000 if mnist else 400)
    out = Path(args.out).resolve()
    (out / "snapshots").mkdir(parents=True, exist_ok=True)
    os.chdir(out)
    for old in Path("snapshots").iterdir():
        old.unlink()

    print(prepare_data(mnist))
    Path("train.prototxt").write_text(lenet("train_lmdb", 64), encoding="utf-8")
    Path("test.prototxt").write_text(lenet("test_lmdb", 100), encoding="utf-8")
    step = max(iterations // 20, 1)
    Path("solver.prototxt").write_text(
        SOLVER.format(test_iter=100 if mnist else 4, iterations=iterations, snapshot=step), encoding="utf-8"
    )
    command("train", "--solver=solver.prototxt")
    weights = f"snapshots/lenet_iter_{iterations}.caffemodel"
    command("test", "--model=test.prototxt", f"--weights={weights}", f"--iterations={100 if mnist else 4}")
    command("plot", "snapshots/lenet_metrics.jsonl", "--out=curves.png")
    draw(step, iterations)
    print(f"\nEverything is in {out}: curves.png, filters.png, predictions.png, scores.png, snapshots/")


def draw(step: int, iterations: int) -> None:
    """First-layer filters, a grid of predictions, and how the scores of 8 test digits evolve."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    snapshots = [f"snapshots/lenet_iter_{i}.caffemodel" for i in range(step, iterations + 1, step)]
    net = caffe.Net("test.prototxt", caffe.TEST)
    net.forward()  # one batch of test digits, kept while the weights change
    evolution = []
    for path in snapshots:
        net.copy_from(path)
        net.forward(start="conv1")
        evolution.append(net.blobs["score"].data[:8].copy())
    images, labels = net.blobs["data"].data[:, 0], net.blobs["label"].data.astype(int)
    predicted = net.blobs["score"].data.argmax(1)

    filters = net.params["conv1"][0].data[:, 0]
    _, axes = plt.subplots(4, 5, figsize=(5, 4.4))
    for ax, kernel in zip(axes.flat, filters):
        ax.imshow(kernel, cmap="gray")
        ax.axis("off")
    plt.suptitle("The 20 filters of conv1")
    plt.savefig("filters.png", dpi=110)
    plt.close()

    _, axes = plt.subplots(5, 12, figsize=(10, 4.8))
    for ax, image, guess, label in zip(axes.flat, images, predicted, labels):
        ax.imshow(image, cmap="gray")
        ax.set_title(str(guess), color="green" if guess == label else "red", fontsize=9)
        ax.axis("off")
    right = int((predicted == labels).sum())
    plt.suptitle(f"Predictions on test digits ({right} of {len(labels)} in this batch right; wrong ones red)")
    plt.savefig("predictions.png", dpi=110)
    plt.close()

    scores = np.exp(evolution - np.max(evolution, axis=2, keepdims=True))
    scores /= scores.sum(axis=2, keepdims=True)
    _, axes = plt.subplots(8, 2, figsize=(7, 10), gridspec_kw={"width_ratios": [1, 5]})
    ticks = range(0, len(snapshots), 5)
    for i, (left, right_ax) in enumerate(axes):
        left.imshow(images[i], cmap="gray")
        left.axis("off")
        right_ax.imshow(scores[:, i].T, aspect="auto", cmap="viridis", vmin=0, vmax=1)
        right_ax.set_yticks([int(labels[i])])
        right_ax.set_xticks(list(ticks) if i == 7 else [])
        right_ax.set_xticklabels([str((t + 1) * step) for t in ticks] if i == 7 else [])
    axes[-1, 1].set_xlabel("iteration")
    plt.suptitle("Probability of each class (rows 0 to 9) for 8 test digits while the net learns")
    plt.savefig("scores.png", dpi=110)
    plt.close()


if __name__ == "__main__":
    main()
