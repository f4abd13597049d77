# needs: nothing
"""A Caffe net learns another task in a plain PyTorch loop, and goes back to Caffe.

    python examples/finetune_in_pytorch.py

The net learns with Caffe's solver to tell four shapes apart. Then it shall tell their sizes, small from large: as a
torch module, with a new last layer and Adam. What it has learned is saved as a caffemodel that the original reads.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import caffe

NET = """
name: "shapes"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 32 dim: 1 dim: 20 dim: 20 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 32 } } include { phase: TRAIN } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 12 kernel_size: 5 stride: 2 weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "LAST" type: "InnerProduct" bottom: "conv1" top: "LAST"
  inner_product_param { num_output: COUNT weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "LAST" bottom: "label" top: "loss" include { phase: TRAIN } }
"""
SOLVER = 'net: "{}" base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" max_iter: 1000'


def images(count, random):
    """Noisy squares, discs, crosses and frames, with what they are and whether they are large."""
    made, kinds = np.zeros((count, 1, 20, 20), np.float32), random.randint(0, 4, count)
    large = random.randint(0, 2, count)
    y, x = np.mgrid[:20, :20]
    for image, kind, size in zip(made, kinds, 3 + 3 * large):
        row, column = random.randint(size, 20 - size, 2)
        far, near = np.maximum(abs(y - row), abs(x - column)), np.minimum(abs(y - row), abs(x - column))
        image[0] = (
            far <= size,
            (y - row) ** 2 + (x - column) ** 2 <= size**2,
            (far <= size) & (near < 2),
            far == size,
        )[kind]
    return made + random.normal(0, 0.2, made.shape).astype(np.float32), kinds, large


def write(folder, last, count):
    """The net's prototxt with a last layer for ``count`` classes."""
    path = folder / f"{last}.prototxt"
    path.write_text(NET.replace("LAST", last).replace("COUNT", str(count)))
    return str(path)


def train_in_caffe(folder, random, steps=150):
    """What shapes are, by Caffe's solver; the path of the weights."""
    (folder / "solver.prototxt").write_text(SOLVER.format(write(folder, "shape", 4)))
    solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
    for _ in range(steps):
        data, kinds, _ = images(32, random)
        solver.net.blobs["data"].data[...] = data
        solver.net.blobs["label"].data[...] = kinds
        solver.step(1)
    solver.net.save(str(folder / "shape.caffemodel"))
    return str(folder / "shape.caffemodel")


def tune_in_torch(net, random, steps=100):
    """How large shapes are, in a plain loop; what has been learned is brought back into the net."""
    module = net.to_torch()  # a torch.nn.Module: module.conv1 is an nn.Conv2d
    module.train()
    optimizer = torch.optim.Adam(
        [{"params": module.size.parameters()}, {"params": module.conv1.parameters(), "lr": 3e-4}], lr=3e-3
    )
    for step in range(steps):
        data, _, large = images(32, random)
        loss = F.cross_entropy(module(torch.from_numpy(data)), torch.from_numpy(large))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    net.copy_from(module)


def accuracy(net, random, count=256):
    """The share of new images whose size the net tells."""
    data, _, large = images(count, random)
    net.blobs["data"].reshape(*data.shape)
    return float((net.forward(data=data)["size"].argmax(1) == large).mean())


def main():
    """Train, tune, save, and read again."""
    caffe.set_random_seed(1)
    torch.manual_seed(1)
    random, folder = np.random.RandomState(1), Path(tempfile.mkdtemp())
    weights = train_in_caffe(folder, random)
    definition = write(folder, "size", 2)
    net = caffe.Net(
        definition, caffe.TEST, weights=weights
    )  # the last layer has another name: it starts anew
    print(f"before: {accuracy(net, random):.0%} of sizes right")
    tune_in_torch(net, random)
    net.save(str(folder / "size.caffemodel"))
    again = caffe.Net(definition, str(folder / "size.caffemodel"), caffe.TEST)
    found = accuracy(again, random)
    print(f"after: {found:.0%} of sizes right; saved as {folder / 'size.caffemodel'}")
    return found


if __name__ == "__main__":
    main()
