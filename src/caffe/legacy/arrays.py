"""NumPy as it was: old names, float sizes, text for bytes, pickled arrays with consent only."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def add(module: Any, **names: Any) -> None:
    """Give a module names that it does not have."""
    for name, value in names.items():
        if name not in vars(module):
            setattr(module, name, value)


def _of_whole_sizes(make: Callable[..., Any]) -> Callable[..., Any]:
    """zeros, ones …: sizes may be floats of whole values."""

    @functools.wraps(make)
    def made(shape: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(shape, (float, np.floating)):
            shape = int(shape)
        elif isinstance(shape, (tuple, list)):
            shape = [int(n) if isinstance(n, (float, np.floating)) else n for n in shape]
        return make(shape, *args, **kwargs)

    return made


def install(module: Any) -> None:
    """Put NumPy's old names back, and what its functions took."""
    own = dict(
        float=float, int=int, bool=bool, object=object, str=str, long=int, unicode=str, complex=complex
    )
    add(
        module, **{k: v for k, v in own.items() if k != "bool"}, Inf=module.inf, NaN=module.nan, PINF=module.inf,
        NINF=-module.inf, Infinity=module.inf, float_=module.float64, complex_=module.complex128,
        unicode_=module.str_, string_=module.bytes_, product=module.prod, cumproduct=module.cumprod,
        sometrue=module.any, alltrue=module.all, asscalar=lambda a: a.item(), alen=len, row_stack=module.vstack,
        rank=module.ndim, in1d=lambda a, b, **k: module.isin(module.ravel(a), b, **k),
        trapz=getattr(module, "trapezoid", None),
    )  # fmt: skip
    for name in ("zeros", "ones", "empty", "full"):
        setattr(module, name, _of_whole_sizes(getattr(module, name)))
    from_text, options, load = module.fromstring, module.set_printoptions, module.load

    def fromstring(string: Any, dtype: Any = float, count: int = -1, sep: str = "") -> Any:
        if sep:
            return from_text(string, dtype=dtype, count=count, sep=sep)
        content = string.encode("latin-1") if isinstance(string, str) else string
        return module.frombuffer(content, dtype=dtype, count=count).copy()

    def set_printoptions(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("threshold"), (str, float)):
            kwargs["threshold"] = sys.maxsize
        return options(*args, **kwargs)

    def load_asking(file: Any, *args: Any, **kwargs: Any) -> Any:
        """np.load that says how to allow what may run code."""
        if allow_pickle:
            kwargs = {"encoding": "latin1", "allow_pickle": True, **kwargs}
        try:
            return load(file, *args, **kwargs)
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            raise ValueError(
                f"{file}: holds Python objects, and reading them may run code of whoever wrote the file. If you trust "
                "it: caffe run --allow_pickle SCRIPT"
            ) from None

    from_rows = module.loadtxt

    def loadtxt(
        fname: Any, dtype: Any = float, comments: Any = "#", delimiter: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """np.loadtxt that takes an end of line as a delimiter: each line is a value."""
        if delimiter not in ("\n", "\r\n", b"\n"):
            return from_rows(fname, dtype, comments, delimiter, *args, **kwargs)
        with (
            open(fname, encoding="utf-8")
            if isinstance(fname, (str, os.PathLike))
            else contextlib.nullcontext(fname) as file
        ):
            lines = [
                line.split(comments)[0].rstrip("\r\n") if comments else line.rstrip("\r\n") for line in file
            ]
        return module.array([line for line in lines if line.strip()]).astype(dtype)

    module.loadtxt = loadtxt
    module.fromstring, module.set_printoptions, module.load = fromstring, set_printoptions, load_asking


allow_pickle = False
"""Whether the user allowed to read Python objects from .npy files."""
