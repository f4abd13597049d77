"""What of torch is no public interface of it, all in one place: where a new version breaks something, it is here."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

# Operations on lists of tensors at once, and SGD's whole update as one: what torch.optim is made of

foreach_add = torch._foreach_add
foreach_add_ = torch._foreach_add_
foreach_addcmul_ = torch._foreach_addcmul_
foreach_copy_ = torch._foreach_copy_
foreach_div_ = torch._foreach_div_
foreach_lerp_ = torch._foreach_lerp_
foreach_mul_ = torch._foreach_mul_
foreach_norm = torch._foreach_norm
foreach_sign = torch._foreach_sign
foreach_sqrt = torch._foreach_sqrt
foreach_sqrt_ = torch._foreach_sqrt_
foreach_sub_ = torch._foreach_sub_
fused_sgd_ = torch._fused_sgd_

# oneDNN's convolution with weights in its own order

Window = tuple[Sequence[int], Sequence[int], Sequence[int], int]
"""Pad, stride, dilation, groups."""


def packed_weight(weight: torch.Tensor, window: Window, shape: Sequence[int] | None) -> torch.Tensor:
    """A convolution's weights in the order that oneDNN wants for inputs of a shape."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, *window, shape)
    return packed


def packed_convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window, relu: bool
) -> torch.Tensor:
    """A convolution with packed weights, and a ReLU behind it."""
    after = "relu" if relu else "none"
    y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *window, after, [], "")
    return y


# Compiling


def load_cpp(source: str, flags: Sequence[str]) -> ctypes.CDLL:
    """A library made of C++, from inductor's cache where it is there. Raises whatever the compiler's driver raises."""
    from torch._inductor.codecache import CppCodeCache

    library: ctypes.CDLL = CppCodeCache.load(source, extra_flags=flags)
    return library


def freezing(on: bool) -> AbstractContextManager[None]:
    """Whether inductor takes parameters as constants."""
    from torch._inductor import config

    patch: AbstractContextManager[None] = config.patch(freezing=on)
    return patch


# Tracing, for ONNX


def tracing() -> bool:
    """Whether torch.jit's tracer is at work."""
    return torch._C._get_tracing_state() is not None


@contextmanager
def known_shapes(free_batch: bool) -> Iterator[None]:
    """For a time, ``x.shape`` gives the tracer numbers; with ``free_batch`` all but the first.

    It would write down every size as something to be found out, and all that is reckoned with it, too.
    """
    real: Any = torch._C.TensorBase.shape
    tracer: Any = torch._C

    def shape(x: torch.Tensor) -> tuple[int, ...]:
        traced = real.__get__(x)
        state = tracer._get_tracing_state()
        if state is None:
            return tuple(traced)
        tracer._set_tracing_state(None)
        try:
            known = tuple(real.__get__(x))
        finally:
            tracer._set_tracing_state(state)
        return (*traced[:1], *known[1:]) if free_batch else known

    torch.Tensor.shape = property(shape)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del torch.Tensor.shape


def silence_onnx() -> None:
    """No lines of the exporter's own log."""
    torch._C._jit_set_onnx_log_enabled(False)


# Graphs of torch.export

OpOverload = torch._ops.OpOverload


def schema(operator: Any) -> Any:
    """An operator's arguments and results."""
    return operator._schema


def same_overload(packet: Any, operator: Any) -> Any:
    """Of the operators of one name, the one whose overload is this one's; ``operator`` itself where there is none."""
    return getattr(packet, operator._overloadname, operator)


def without_guards(program: torch.export.ExportedProgram) -> None:
    """Leave out the checks of inputs that came with a program as Python source."""
    program._guards_code = []


def leaves(tree: Any) -> list[Any]:
    """What nested lists, tuples and dicts hold, in order."""
    return torch.utils._pytree.tree_leaves(tree)


def while_loop(
    goes_on: Callable[..., torch.Tensor], step: Callable[..., Any], state: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    """A loop that an exported graph can hold."""
    from torch._higher_order_ops.while_loop import while_loop as loop

    last: tuple[torch.Tensor, ...] = loop(goes_on, step, state)
    return last
