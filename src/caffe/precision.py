"""Mixed precision: autocast as ``caffe.set_amp`` says, and the scaled losses that float16 needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from caffe import logs, runtime
from caffe.memory import Memory
from caffe.torch_private import foreach_mul_, foreach_norm

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context that a layer's operations run in."""
    name = runtime.amp()
    if not name:
        return nullcontext()
    return torch.autocast(device.type, _TYPES[name], cache_enabled=False)


def widened(x: torch.Tensor) -> torch.Tensor:
    """x in float32 where it is in a shorter float."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def shortened(x: torch.Tensor) -> torch.Tensor:
    """x in the short float that products are made in, where there is one."""
    name = runtime.amp()
    return x.to(_TYPES[name]) if name else x


def low_precision(memory: Memory, device: torch.device, layout: torch.memory_format) -> torch.Tensor:
    """A parameter in the short float that autocast would make it; biases and statistics as they are."""
    values = memory.on(device)
    if values.dim() < 2 or values.dtype != torch.float32:
        return values
    return memory.converted(device, _TYPES[runtime.amp()], layout)


class LossScale:
    """The factor of losses, and so of all gradients, that keeps small ones from vanishing in float16.

    Halved when a gradient is not finite (that update is left out), doubled after 2000 good updates
    (Micikevicius et al. 2018).
    """

    def __init__(self, value: float = 65536.0, good: int = 0) -> None:
        self.value = value
        self.good = good
        """Updates since the factor last changed."""

    def unscale(self, grads: Sequence[torch.Tensor]) -> bool:
        """Divide the gradients by the factor; False where one is not finite, which changes the factor."""
        norms = torch.stack(foreach_norm(list(grads)))
        if not bool(norms.isfinite().all()):
            self.value, self.good = max(self.value / 2, 1.0), 0
            logs.info(f"A gradient is not finite: update left out, loss scale now {self.value:g}")
            return False
        foreach_mul_(list(grads), 1 / self.value)
        self.good += 1
        if self.good == 2000:
            self.value, self.good = self.value * 2, 0
        return True
