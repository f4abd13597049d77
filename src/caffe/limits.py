"""What a file may ask of this machine: sizes, depths, amounts of work, memory.

Files come from strangers, so every reader asks here before it allocates, recurses or goes on: :func:`shape`
for dimensions, a :class:`Budget` for items and depth, :func:`check_memory` for bytes, and :func:`guarding`
around all of it, so that nothing but an error of this package, with its file, comes out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from operator import index
from typing import Any

from caffe.errors import CaffeError

Shape = tuple[int, ...]

MOST_AXES = 32
"""As in the original."""
LARGEST_COUNT = (1 << 60) - 1
"""How many values an array may have, so that their bytes still are a number of 64 bits."""
MOST_ITEMS = 2_000_000
"""Fields of a binary file, groups of an HDF5 file; real ones have thousands."""
DEEPEST = 100
"""Groups within groups, messages within messages; real ones have five."""
LARGEST_TEXT = 64 << 20
"""Bytes of a text file: the largest that are known have 2 MB."""


class LimitError(ValueError):
    """A file asks for more than a file may; readers make an error of this package of it."""

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.fix = fix


def shape(dims: Iterable[Any]) -> Shape:
    """Dimensions that an array can have. Raises LimitError.

    None is negative, there are at most 32, and the bytes of the values can be counted, even where one of the
    dimensions is 0.
    """
    checked = tuple(index(dim) for dim in dims)
    if len(checked) > MOST_AXES:
        raise LimitError(f"must have at most {MOST_AXES} axes; got {len(checked)}")
    if any(dim < 0 for dim in checked):
        raise LimitError(f"must have a shape of sizes that are not negative; got {list(checked)}")
    if prod(dim for dim in checked if dim) > LARGEST_COUNT:
        raise LimitError(f"must have a shape whose values can be counted; got {list(checked)}")
    return checked


class Budget:
    """What one file may still ask for; handed from reader to reader. Raises LimitError when it is spent."""

    __slots__ = ("items",)

    def __init__(self, items: int = MOST_ITEMS) -> None:
        self.items = items

    def spend(self, items: int) -> None:
        """Count work done, in units of about a microsecond."""
        self.items -= items
        if self.items < 0:
            raise LimitError(f"must be made of at most {MOST_ITEMS:,} items; got more")

    def deeper(self, depth: int) -> int:
        """One level further down."""
        if depth >= DEEPEST:
            raise LimitError(f"must be nested at most {DEEPEST} deep; got more")
        return depth + 1


@contextmanager
def guarding(
    kind: type[CaffeError], file: object = None, *, theirs: bool = False, **place: Any
) -> Iterator[None]:
    """Let nothing out but errors of this package: others become ``kind``, with the place and their cause.

    Errors of this package pass, and learn the place where they do not know it. With ``theirs`` all others pass
    as they are: they come from code of the user's.
    """
    try:
        yield
    except CaffeError as error:
        raise error.located(file=file, **place) from error.__cause__
    except Exception as error:
        if theirs:
            raise
        raise _ours(error, kind, file, place) from error


def _ours(error: Exception, kind: type[CaffeError], file: object, place: dict[str, Any]) -> CaffeError:
    if isinstance(error, RecursionError):
        return kind("is nested too deep to be read", file=file, **place)
    if isinstance(error, LimitError):
        return kind(str(error), file=file, fix=error.fix, **place)
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return kind(f"asks for more memory than there is{_detail(error)}", file=file, **place)
    return kind(f"cannot be used: {_said(error)}", file=file, **place)


def _detail(error: BaseException) -> str:
    text = _said(error)
    return f": {text}" if str(error) else ""


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split("\nException raised from")[0].split())[:500]
    return f"{text} ({type(error).__name__})" if text else type(error).__name__


def path(value: str | os.PathLike[str]) -> str:
    """A path as a string. Raises LimitError for one that no file can have."""
    name = os.fspath(value)
    if "\0" in name:
        raise LimitError(f"must be the name of a file; got one with a zero byte: {name[:80]!r}")
    return name


# What nets may do besides computing


def refuses_python_layers() -> bool:
    """Whether the user wants no code of nets' Python layers to run: ``CAFFE_NO_PYTHON_LAYERS``."""
    return os.environ.get("CAFFE_NO_PYTHON_LAYERS", "") not in ("", "0")


def check_output(file: str | os.PathLike[str]) -> None:
    """Raise LimitError for a file that a net wants to write outside the folders of ``CAFFE_OUTPUT_FOLDERS``.

    Without that variable nets write where their files say, as the original's do.
    """
    name = path(file)
    folders = os.environ.get("CAFFE_OUTPUT_FOLDERS", "")
    if not folders.strip(os.pathsep):
        return
    real = os.path.realpath(name)
    for folder in filter(None, folders.split(os.pathsep)):
        if os.path.commonpath([real, os.path.realpath(folder)]) == os.path.realpath(folder):
            return
    raise LimitError(
        f"must write within {folders}; got {real!r}", "If you trust the net, say so with --allow-outside"
    )


# Memory


def memory() -> int:
    """How many bytes nets and files may take: ``CAFFE_MAX_MEMORY``, or what this machine has.

    ``CAFFE_MAX_MEMORY`` is a number of bytes, or with K, M, G or T behind it of 1024 times as many; 0 means
    without limit. An unreadable value counts as not given.
    """
    given = asked_memory()
    return installed_memory() if given is None else given


def asked_memory() -> int | None:
    """What ``CAFFE_MAX_MEMORY`` says, or None."""
    text = os.environ.get("CAFFE_MAX_MEMORY", "")
    return _bytes(text) if text else None


def _bytes(text: str) -> int | None:
    text = text.strip().upper().removesuffix("B").removesuffix("I")
    scale = 1
    if text and text[-1] in "KMGT":
        scale, text = 1 << 10 * ("KMGT".index(text[-1]) + 1), text[:-1]
    try:
        count = int(float(text) * scale)
    except (ValueError, OverflowError):
        return None
    return count if count > 0 else 1 << 62


@cache
def installed_memory() -> int:
    """Bytes of memory of this machine, or of the container this process runs in."""
    limits = []
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(file, encoding="utf-8") as source:
                limits.append(int(source.read()))
        except (OSError, ValueError):
            continue
    try:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        limits.append(_windows_memory())
    return min(n for n in limits if n > 0)


def _windows_memory() -> int:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32)] + [
            (name, ctypes.c_uint64) for name in ("total", *"bcdefg")
        ]

    status = Status(length=ctypes.sizeof(Status))
    kernel = getattr(ctypes, "windll", None)
    if kernel is None or not kernel.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return 1 << 62
    return int(status.total)


def check_memory(count: int, what: str, fix: str | None = None) -> None:
    """Raise LimitError where ``what`` needs more bytes than there may be."""
    most = memory()
    if count > most:
        raise LimitError(f"{what} needs {readable(count)} of memory; {readable(most)} {where_from()}", fix)


def where_from() -> str:
    """Whose limit holds, for messages."""
    return "are allowed by CAFFE_MAX_MEMORY" if asked_memory() is not None else "is all this machine has"


def readable(count: float) -> str:
    """Bytes in words: ``40.2 GB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.4g} TB"
