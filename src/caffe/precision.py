"""Mixed precision: autocast as ``caffe.set_amp`` says, and the scale of losses that float16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from caffe import runtime

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context that a layer's operations run in."""
    name = runtime.amp()
    if not name:
        return nullcontext()
    return torch.autocast(device.type, _TYPES[name], cache_enabled=False)
