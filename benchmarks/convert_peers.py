"""The same models of torchvision through this package and through the converters that people find.

    python -m benchmarks.convert peers --peers=FOLDER --out=peers.jsonl

FOLDER holds checkouts of xxradon/PytorchToCaffe, inisis/brocolli, MTlab/onnx2caffe and longcw/pytorch2caffe, which are
never changed. Those that need a built Caffe find this package as ``caffe``; PytorchToCaffe's generated schema, which
protobuf of today does not load, is replaced by this package's. What each wrote is loaded here and compared with the
module on another input. Seconds are those of a conversion, of ours with what it checks; medians over the models that a
tool has right.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

import caffe
from benchmarks import convert_models
from caffe.importing import check
from caffe.importing.from_torch import judge_of

MODELS = (
    "alexnet",
    "convnext_tiny",
    "deeplabv3_mobilenet_v3_large",
    "densenet121",
    "efficientnet_b0",
    "fcn_resnet50",
    "googlenet",
    "inception_v3",
    "lraspp_mobilenet_v3_large",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "vgg11_bn",
)
"""One or two of each family."""

Convert = Callable[[Path, torch.nn.Module, torch.Tensor, Path], None]


def ours(_folder: Path, module: torch.nn.Module, example: torch.Tensor, stem: Path) -> None:
    """caffe.from_torch, in BVLC's dialect."""
    caffe.from_torch(module, example, stem)


def pytorch_to_caffe(folder: Path, module: torch.nn.Module, example: torch.Tensor, stem: Path) -> None:
    """xxradon/PytorchToCaffe: functions of torch replaced by ones that take notes."""
    from caffe.proto import caffe_pb2

    sys.path.insert(0, str(folder / "PytorchToCaffe"))
    import Caffe  # type: ignore[import-not-found]

    Caffe.caffe_pb2 = sys.modules["Caffe.caffe_pb2"] = caffe_pb2
    import pytorch_to_caffe as tool  # type: ignore[import-not-found]

    with torch.no_grad():
        tool.trans_net(module, example, stem.name)
    tool.save_prototxt(f"{stem}.prototxt")
    tool.save_caffemodel(f"{stem}.caffemodel")


def brocolli(folder: Path, module: torch.nn.Module, example: torch.Tensor, stem: Path) -> None:
    """inisis/brocolli: by torch.fx."""
    sys.path.insert(0, str(folder / "brocolli"))
    from brocolli.converter.pytorch_caffe_parser import (  # type: ignore[import-not-found]
        PytorchCaffeParser,
    )

    parser = PytorchCaffeParser(module, example)
    parser.convert()
    parser.save(str(stem))


def onnx2caffe(folder: Path, module: torch.nn.Module, example: torch.Tensor, stem: Path) -> None:
    """MTlab/onnx2caffe, from torch's own ONNX exporter of the time."""
    sys.path.insert(0, str(folder / "onnx2caffe"))
    import convertCaffe as tool  # type: ignore[import-not-found]

    file = f"{stem}.onnx"
    torch.onnx.export(module, (example,), file, opset_version=9, dynamo=False)
    tool.convertToCaffe(tool.getGraph(file), f"{stem}.prototxt", f"{stem}.caffemodel")


def pytorch2caffe(folder: Path, module: torch.nn.Module, example: torch.Tensor, stem: Path) -> None:
    """longcw/pytorch2caffe: by the names of autograd's functions."""
    sys.path.insert(0, str(folder / "pytorch2caffe"))
    import pytorch2caffe as tool  # type: ignore[import-not-found]

    found = module(example)
    output = found if isinstance(found, torch.Tensor) else next(iter(found.values()))
    tool.pytorch2caffe(example, output, f"{stem}.prototxt", f"{stem}.caffemodel")


TOOLS: dict[str, Convert] = {
    "caffe-torch": ours,
    "PytorchToCaffe": pytorch_to_caffe,
    "brocolli": brocolli,
    "onnx2caffe": onnx2caffe,
    "pytorch2caffe": pytorch2caffe,
}


def listed(folder: Path) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """Model by model, each tool's attempt: its name, the tool, and what to run."""
    for name, _, build in convert_models.torchvision():
        if name in MODELS:
            for tool, convert in TOOLS.items():
                yield f"{name} {tool}", tool, partial(attempt, convert, folder, build)


def attempt(convert: Convert, folder: Path, build: convert_models.Builder) -> dict[str, Any]:
    """One model by one tool: seconds, and the error of what it wrote, or what it failed with."""
    from benchmarks.convert import lively

    torch.manual_seed(0)
    module, shape = build()
    lively(module)
    example, probe = torch.randn(*shape), torch.randn(*shape)
    wanted = judge_of(module, 99)([probe])  # before a tool puts its own functions into torch
    with tempfile.TemporaryDirectory() as temporary:
        stem = Path(temporary) / "net"
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), torch_as_it_is():
            convert(folder, module, example, stem)
        found: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 1)}
        try:
            found["error"] = difference(stem, probe, wanted)
        except Exception as error:
            found["unusable"] = f"{type(error).__name__}: {error}"[:600]
    return found


@contextlib.contextmanager
def torch_as_it_is() -> Iterator[None]:
    """Undo, at the end, what a tool put into torch for good."""
    owners: tuple[Any, ...] = (torch, torch.nn.functional, torch.Tensor)
    kept = [dict(vars(owner)) for owner in owners]
    try:
        yield
    finally:
        for owner, before in zip(owners, kept):
            for name in [n for n, value in vars(owner).items() if before.get(n) is not value]:
                delattr(owner, name)
                if name in before:
                    setattr(owner, name, before[name])


def difference(stem: Path, probe: torch.Tensor, wanted: list[torch.Tensor]) -> float:
    """The largest error of the module's outputs in the net's best-fitting ones, over their largest value."""
    net = caffe.Net(f"{stem}.prototxt", f"{stem}.caffemodel", caffe.TEST)
    net.blobs[net.inputs[0]].reshape(*probe.shape)
    net.blobs[net.inputs[0]].data[...] = probe.numpy()
    got = list(net.forward().values())
    errors = [
        min(
            (check.relative_error(g.reshape(w.shape), w.numpy()) for g in got if g.size == w.numel()),
            default=float("inf"),
        )
        for w in wanted
    ]
    return max(errors)


def table(rows: list[dict[str, Any]]) -> str:
    """Each tool's models: converted, right to 1e-4, seconds."""
    lines = ["| tool | models | converted | right | seconds a model |", "|---|---|---|---|---|"]
    for tool in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == tool]
        right = [row for row in mine if row.get("error", 1.0) <= check.TOLERANCE]
        seconds = f"{statistics.median(row['seconds'] for row in right):.1f}" if right else "–"
        converted = sum("seconds" in row for row in mine)
        lines.append(f"| {tool} | {len(mine)} | {converted} | {len(right)} | {seconds} |")
    return "\n".join(lines)
