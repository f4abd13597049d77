"""Who runs: this package (eager, compiled, bf16), torch written by hand, ONNX Runtime, OpenVINO, original Caffe."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import caffe
from benchmarks.measure import Step
from benchmarks.nets import INPUTS, classes, definition
from benchmarks.peers import PEERS, Loop
from caffe import runtime
from caffe.proto import caffe_pb2

Factory = Callable[[str, int], Step]


class NotHere(Exception):
    """A contender that cannot run on this machine, and why."""


def _data(name: str, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, *INPUTS[name], generator=generator)
    return x, torch.randint(0, classes(name), (batch,), generator=generator)


def _place(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(runtime.device())


# This package


def ours(name: str, batch: int, amp: str | None = None, compiled: bool = False) -> Step:
    """Forward of the net in inference mode."""
    net = caffe.Net(definition(name, batch, training=False), caffe.TEST)
    net.blobs["data"].data[...] = _data(name, batch)[0].numpy()
    if compiled:
        net.compile()
    else:
        net.set_inference()
    return _in_precision(amp, lambda: net.forward_loss())


def ours_training_solver(name: str, batch: int) -> caffe.SGDSolver:
    """An SGD solver of the net, its inputs filled."""
    param = caffe_pb2.SolverParameter(
        base_lr=1e-4, lr_policy="fixed", momentum=0.9, weight_decay=5e-4, max_iter=2**30, random_seed=1
    )
    param.net_param.CopyFrom(definition(name, batch, training=True))
    solver = caffe.SGDSolver(param)
    for blob, values in zip(("data", "label"), _data(name, batch)):
        solver.net.blobs[blob].data[...] = values.numpy()
    return solver


def ours_training(name: str, batch: int, amp: str | None = None) -> Step:
    """One iteration of the solver."""
    solver = ours_training_solver(name, batch)
    return _in_precision(amp, lambda: solver.step(1))


def _in_precision(amp: str | None, step: Step) -> Step:
    def run() -> None:
        caffe.set_amp(amp)
        step()
        _wait()
        caffe.set_amp(None)

    return run


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# torch by hand


def _peer(name: str, last: bool) -> tuple[nn.Module, torch.memory_format]:
    torch.manual_seed(1)
    layout = torch.channels_last if last else torch.contiguous_format
    return _place(PEERS[name]()).to(memory_format=layout), layout  # type: ignore[arg-type]


def by_hand(name: str, batch: int, last: bool = True, compiled: bool = False, amp: bool = False) -> Step:
    """Forward of the torch module in torch.inference_mode."""
    net, layout = _peer(name, last)
    x = _place(_data(name, batch)[0]).contiguous(memory_format=layout)
    run = torch.compile(net.eval(), dynamic=False) if compiled else net.eval()

    def step() -> None:
        with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16, enabled=amp):
            run(x)
        _wait()

    return step


def by_hand_training(
    name: str, batch: int, last: bool = True, compiled: bool = False, amp: bool = False
) -> Step:
    """A training step of the torch module."""
    net, layout = _peer(name, last)
    x, labels = map(_place, _data(name, batch))
    loop = Loop(net, x.contiguous(memory_format=layout), labels, amp)  # type: ignore[arg-type]
    if compiled:
        loop.forward = torch.compile(net, dynamic=False)  # type: ignore[assignment]

    def step() -> None:
        loop.step()
        _wait()

    return step


# Inference engines, on the torch module as ONNX


class _LRN(torch.autograd.Function):
    """LocalResponseNorm as the one operation that ONNX has for it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        return nn.functional.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def symbolic(g: Any, x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
        return g.op("LRN", x, size_i=size, alpha_f=alpha, beta_f=beta, bias_f=k)


class _OneLRN(nn.Module):
    def __init__(self, norm: nn.LocalResponseNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = self.norm
        found: torch.Tensor = _LRN.apply(x, n.size, n.alpha, n.beta, n.k)
        return found


def onnx_file(name: str, batch: int) -> Path:
    """A file of the net by hand, written by torch."""
    net = PEERS[name]().eval()
    for module in list(net.modules()):
        for child, norm in list(module.named_children()):
            if isinstance(norm, nn.LocalResponseNorm):
                setattr(module, child, _OneLRN(norm))
    path = Path(tempfile.mkdtemp()) / f"{name}.onnx"
    with torch.no_grad():
        torch.onnx.export(net, (_data(name, batch)[0],), str(path), dynamo=False, opset_version=17)
    return path


def onnx_runtime(name: str, batch: int) -> Step:
    """ONNX Runtime on the CPU."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise NotHere(f"not installed: {error.name}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        str(onnx_file(name, batch)), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: _data(name, batch)[0].numpy()}
    return lambda: session.run(None, feed)


def openvino(name: str, batch: int, precision: str = "f32") -> Step:
    """OpenVINO on the CPU."""
    try:
        import onnx  # noqa: F401
        import openvino as ov
    except ImportError as error:
        raise NotHere(f"not installed: {error.name}") from None
    core = ov.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(core.read_model(str(onnx_file(name, batch))), "CPU", settings)
    request = model.create_infer_request()
    x = _data(name, batch)[0].numpy()
    return lambda: request.infer([x])


# The original


def original(binary: str, name: str, batch: int, training: bool) -> Callable[[], float]:
    """Runs ``caffe time`` of a build of the original; the function returns its milliseconds."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "net.prototxt"
    path.write_text(str(definition(name, batch, training)))
    line = "Average Forward-Backward" if training else "Average Forward pass"

    def run() -> float:
        done = subprocess.run(
            [binary, "time", f"--model={path}", "--iterations=3"], capture_output=True, text=True, check=False
        )
        found = re.search(rf"{line}: ([0-9.e+]+) ms", done.stderr + done.stdout)
        if found is None:
            raise NotHere(f"{binary} time printed no '{line}': {done.stderr[-300:]}")
        return float(found.group(1))

    return run


INFERENCE: dict[str, Factory] = {
    "torch channels_last": by_hand,
    "torch NCHW": lambda n, b: by_hand(n, b, last=False),
    "torch.compile": lambda n, b: by_hand(n, b, compiled=True),
    "torch bf16": lambda n, b: by_hand(n, b, amp=True),
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "OpenVINO bf16": lambda n, b: openvino(n, b, "bf16"),
    "caffe": ours,
    "caffe bf16": lambda n, b: ours(n, b, "bf16"),
    "caffe compiled": lambda n, b: ours(n, b, compiled=True),
    "caffe compiled bf16": lambda n, b: ours(n, b, "bf16", compiled=True),
}
TRAINING: dict[str, Factory] = {
    "torch channels_last": by_hand_training,
    "torch NCHW": lambda n, b: by_hand_training(n, b, last=False),
    "torch.compile": lambda n, b: by_hand_training(n, b, compiled=True),
    "torch bf16": lambda n, b: by_hand_training(n, b, amp=True),
    "caffe": ours_training,
    "caffe bf16": lambda n, b: ours_training(n, b, "bf16"),
}
REFERENCE = "torch channels_last"
