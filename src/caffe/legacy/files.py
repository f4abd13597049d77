"""Files, pickles and databases as Python 2 took them: text where bytes are meant, and bytes where text is."""

from __future__ import annotations

import builtins
import io
import os
import re
from typing import Any


class Mixed(io.BufferedRandom):
    """A file that text and bytes may be written to, as Python 2's."""

    def write(self, data: Any) -> int:
        return super().write(data.encode() if isinstance(data, str) else data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def open(name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
    """A file as Python 2 opened it: without ``b``, what is no text is read as bytes, and bytes may be written."""
    if "b" in mode or kwargs or not isinstance(name, (str, bytes, os.PathLike)):
        return builtins.open(name, mode, *args, **kwargs)
    if mode[:1] in ("w", "a"):
        return Mixed(io.FileIO(name, mode.replace("U", "").replace("t", "").rstrip("+") + "+"))
    with builtins.open(name, "rb") as file:
        start = file.read(1 << 16)
    if b"\0" in start or not _is_text(start):
        return builtins.open(name, "rb")
    return builtins.open(
        name, "r+" if "+" in mode else "r", encoding="utf-8", errors="surrogateescape", newline=None
    )


def _is_text(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and len(start) == 1 << 16
    return not re.search(rb"[\x01-\x06\x0e-\x1a\x7f]", start)


class _Pickled:
    """pickle for files of Python 2: their text is Latin-1, and a file may have been opened as text."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def load(self, file: Any, **kwargs: Any) -> Any:
        content = file.read()
        if isinstance(content, str):
            content = content.encode("latin-1", "surrogateescape")
        return self.loads(content, **kwargs)

    def loads(self, content: Any, **kwargs: Any) -> Any:
        return self._module.loads(content, **{"encoding": "latin-1", **kwargs})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def pickled(module: Any) -> Any:
    """The pickle module, for pickles that Python 2 wrote."""
    return _Pickled(module)


class _Keyed:
    """A database whose text keys and values are encoded."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._of, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return method(*map(_bytes, args), **{k: _bytes(v) for k, v in kwargs.items()})

        return call


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def keyed(of: Any) -> Any:
    """LMDB's and LevelDB's objects take text for keys and values; others are left alone."""
    module = type(of).__module__.split(".")[0]
    return _Keyed(of) if module in ("lmdb", "leveldb", "plyvel", "cpython", "_plyvel") or _is_lmdb(of) else of


def _is_lmdb(of: Any) -> bool:
    return type(of).__name__ in ("Transaction", "Cursor") and hasattr(of, "put") and hasattr(of, "delete")


def temporary(file: Any) -> Any:
    """A temporary file that takes text, too."""
    write = file.file.write
    file.write = lambda data: write(data.encode() if isinstance(data, str) else data)
    return file
