"""How many nets come back the same from ONNX and torch.export.

    python -m benchmarks.convert_round MODELS [--ways=onnx,pt2] [--names=a,b]

MODELS holds folders with deploy.prototxt and weights.caffemodel. Each net is exported, converted back in the
first dialect that takes it (bvlc, ssd, caffe-torch), and compared with itself on random inputs. Images of more than
480 × 480 are made that size: it is a matter of time only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import caffe
from caffe import export
from caffe.errors import CaffeError, InputError
from caffe.importing import check, conversion
from caffe.importing.sources import convert_source

DIALECTS = ("bvlc", "ssd", "caffe-torch")
_SIDE = 480


def loaded(definition: Path) -> caffe.Net:
    """The net, its inputs not above 480 × 480. Raises CaffeError where it does not run at its own sizes."""
    net = caffe.Net(str(definition), str(definition.parent / "weights.caffemodel"), caffe.TEST)
    for name in net.inputs:
        shape = net.blobs[name].shape
        if len(shape) == 4 and max(shape[2:]) > _SIDE:
            net.blobs[name].reshape(*shape[:2], _SIDE, _SIDE)
    net.reshape()
    return net


def back(file: Path, net: caffe.Net, inputs: list[str]) -> conversion.Conversion:
    """The net of a file in the first dialect that takes it."""
    onnx = file.suffix == ".onnx"
    shapes = {n if onnx else f"inputs_{i}": net.blobs[n].shape for i, n in enumerate(inputs)}
    for dialect in DIALECTS[:-1]:
        try:
            return convert_source(str(file), dialect=dialect, shapes=shapes, runs=1)
        except InputError:
            continue
    return convert_source(str(file), dialect=DIALECTS[-1], shapes=shapes, runs=1)


def difference(net: caffe.Net, module: Any, done: conversion.Conversion) -> float:
    """The largest error of an output, over its largest value."""
    rng = np.random.RandomState(0)
    for name, theirs in zip(module.input_names, done.net.inputs):
        values = (rng.uniform(-1, 1, net.blobs[name].shape) * 60).astype(np.float32)
        net.blobs[name].data[...] = values
        done.net.blobs[theirs].data[...] = values
    net.forward()
    done.net.forward()
    if len(module.output_names) != len(done.outputs):
        return float("inf")
    pairs = zip(module.output_names, done.outputs.values())
    return max(
        check.relative_error(*map(np.asarray, (done.net.blobs[b].data, net.blobs[a].data))) for a, b in pairs
    )


def main() -> None:
    """Try all models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--ways", default="onnx,pt2")
    parser.add_argument("--names", default="")
    given = parser.parse_args()
    torch.set_num_threads(1)
    wanted = {n for n in given.names.split(",") if n}
    counts = {way: [0, 0] for way in given.ways.split(",")}
    for definition in sorted(given.models.glob("*/deploy.prototxt")):
        folder = definition.parent
        if wanted and folder.name not in wanted:
            continue
        try:
            loaded(definition)
        except CaffeError as error:
            print(f"{folder.name} left out: {error}", flush=True)
            continue
        for way, count in counts.items():
            count[1] += 1
            start = time.perf_counter()
            try:
                net = loaded(definition)
                module = net.to_torch()  # without the inputs that no output needs
                with tempfile.TemporaryDirectory() as temporary:
                    file = Path(temporary) / f"m.{way}"
                    write = export.to_onnx if way == "onnx" else export.to_pt2
                    write(net, file, check_it=False)
                    done = back(file, net, module.input_names)
                error = difference(net, module, done)
                count[0] += error <= check.TOLERANCE
                said = f"{done.dialect} {error:.1e} batches {done.checked.batches if done.checked else []}"
            except CaffeError as error:
                said = f"{type(error).__name__}: {error}"
            print(f"{folder.name} {way}: {said} ({time.perf_counter() - start:.1f} s)", flush=True)
    for way, (right, tried) in counts.items():
        print(f"{way}: {right} of {tried} to {check.TOLERANCE:g}")


if __name__ == "__main__":
    main()
