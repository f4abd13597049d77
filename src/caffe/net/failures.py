"""What a layer raised while the net ran, with its place in the net."""

from __future__ import annotations

import os
import traceback

import torch

from caffe.errors import CaffeError, DeviceError, LayerError
from caffe.layer_factory import is_of_user
from caffe.net.step import Step


def explained(error: Exception, file: str | None, step: Step, doing: str) -> Exception:
    """The error with its layer's place, or one of ours for torch's own."""
    place = {"file": file, "line": step.line, "layer": step.name, "type": step.layer.type}
    if isinstance(error, CaffeError):
        return error.located(**place)  # type: ignore[arg-type]
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error):
        wanted = DeviceError(
            f"the device has not enough memory for {doing}",
            fix="Use a smaller batch_size (with iter_size to keep the effective batch), --amp=bf16,"
            " or --checkpoint-activations",
            **place,  # type: ignore[arg-type]
        )
        wanted.__cause__ = error
        return wanted
    if _raised_by_torch(error) or not is_of_user(step.layer.type):
        shapes = ", ".join(f"{n} {list(b.shape)}" for n, b in zip(step.bottom_names, step.bottom))
        wrapped = LayerError(f"{doing} failed on bottoms {shapes}: {error or type(error).__name__}", **place)  # type: ignore[arg-type]
        wrapped.__cause__ = error
        return wrapped
    return error


def _raised_by_torch(error: Exception) -> bool:
    """Whether torch itself raised (rather than a user's Python layer)."""
    if not isinstance(error, (RuntimeError, IndexError, ValueError, TypeError)):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1].filename.replace(os.sep, "/") if frames else ""
    ours = ("/caffe/tensor_layer.py", "/caffe/gradients.py")
    return "/torch/" in last or "/caffe/layers/" in last or last.endswith(ours)
