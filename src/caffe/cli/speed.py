"""The flags that make nets faster or smaller: ``--amp`` and ``--compile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., object])


def amp_flag(command: _F) -> _F:
    """Add ``--amp``."""
    return click.option(
        "--amp",
        type=click.Choice(["none", "tf32", "bf16", "fp16"]),
        default="none",
        help="Compute in a shorter float where it is safe; parameters and losses stay float32. "
        "tf32: only the factors of products, on NVIDIA's GPUs.",
    )(command)


def compile_flag(command: _F) -> _F:
    """Add ``--compile``."""
    return click.option(
        "--compile/--nocompile",
        "compiles",
        default=False,
        help="Compile nets of the TEST phase: minutes at the start, faster from then on.",
    )(command)


def use(amp: str, compiles: bool = False) -> None:
    """Do as the flags say."""
    from caffe import runtime

    runtime.set_amp(None if amp == "none" else amp)
    runtime.set_compile(compiles)
