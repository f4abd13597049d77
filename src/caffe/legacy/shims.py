"""What translated scripts call: Python 2's division, files, lists and names, and the libraries of then.

Importing this module installs the old names of modules (:mod:`caffe.legacy.libraries`).
"""

from __future__ import annotations

import codecs
import functools
import importlib
import itertools
import math
import os
import re
import subprocess
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe.legacy import commands, files, libraries, roots, sources
from caffe.legacy.meaning import CODECS

cmp_to_key = functools.cmp_to_key
reduce = functools.reduce
open, pickled, keyed, temporary = files.open, files.pickled, files.keyed, files.temporary
root, place = roots.root, roots.place
libraries.install()


def _integral(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iub"
    return isinstance(value, (int, np.integer, np.bool_))


def div(a: Any, b: Any) -> Any:
    """a / b, of integers without the fraction."""
    return a // b if _integral(a) and _integral(b) else a / b


def divided(a: Any, b: Any) -> Any:
    """What ``a /= b`` leaves in ``a``; arrays are divided in place."""
    if isinstance(a, np.ndarray):
        if _integral(a):
            np.floor_divide(a, b, out=a, casting="unsafe")
        else:
            np.divide(a, b, out=a, casting="unsafe")
        return a
    return div(a, b)


def index(value: Any) -> Any:
    """An index or size: whole floats, and arrays of them, as integers, as old NumPy took them; else as it is."""
    if isinstance(value, (float, np.floating)):
        return int(value) if value == int(value) else value
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and (value == np.trunc(value)).all():
        return value.astype(np.int64)
    return value


def bound(value: Any) -> Any:
    """A bound of a slice: floats without their fraction, as old NumPy took them."""
    if isinstance(value, (float, np.floating)) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        return int(value)
    return value


def round(value: Any, digits: int = 0) -> Any:
    """A float, halves away from zero."""
    if isinstance(value, np.ndarray):
        return np.round(value, digits)
    scaled = float(value) * 10.0**digits
    return math.copysign(math.floor(abs(scaled) + 0.5), scaled) / 10.0**digits


def map(function: Any, *sequences: Any) -> list[Any]:
    """A list; sequences of unequal length are filled up with None, without a function they are zipped."""
    if len(sequences) == 1:
        return list(sequences[0]) if function is None else [function(x) for x in sequences[0]]
    rows = itertools.zip_longest(*sequences)
    return list(rows) if function is None else [function(*row) for row in rows]


def filter(function: Any, sequence: Any) -> Any:
    """A list; of text a text, of a tuple a tuple."""
    kept = [x for x in sequence if (function(x) if function is not None else x)]
    if isinstance(sequence, str):
        return "".join(kept)
    return tuple(kept) if isinstance(sequence, tuple) else kept


def decode(value: Any, *args: Any, **kwargs: Any) -> Any:
    """``x.decode(…)``: text is text already; hex and base64 are no codecs of text any more."""
    if isinstance(value, str):
        if args and args[0] in CODECS:
            return codecs.decode(value.encode(), args[0]).decode("latin-1")
        return value
    return value.decode(*args, **kwargs)


def encode(value: Any, codec: str) -> Any:
    """``x.encode('hex')`` and the like."""
    encoder: Any = codecs.getencoder(codec)
    coded: bytes = encoder(value.encode("latin-1") if isinstance(value, str) else value)[0]
    return coded.decode("latin-1")


def cmp(a: Any, b: Any) -> int:
    """-1, 0 or 1."""
    return int(a > b) - int(a < b)


def has_key(mapping: Any, key: Any) -> Any:
    """``mapping.has_key(key)``."""
    return mapping.has_key(key) if hasattr(mapping, "has_key") else key in mapping


def next(iterator: Any) -> Any:
    """``iterator.next()``."""
    return iterator.next() if hasattr(iterator, "next") else iterator.__next__()


def tobytes(array: Any) -> Any:
    """``array.tostring()`` of arrays, and of whatever else has it."""
    name = "tobytes" if hasattr(array, "tobytes") else "tostring"
    return getattr(array, name)()


def apply(function: Callable[..., Any], args: Any = (), kwargs: Any = None) -> Any:
    """``function(*args, **kwargs)``."""
    return function(*args, **(kwargs or {}))


def reload(module: types.ModuleType) -> types.ModuleType:
    """``importlib.reload``, but of sys, which was reloaded for setdefaultencoding only."""
    return module if module.__name__ == "sys" else importlib.reload(module)


def execfile(path: str, names: dict[str, Any]) -> None:
    """Run another script in these names, translated."""
    types.FunctionType(sources.code(os.path.abspath(path)), names)()


def _filled(command: str, *scopes: dict[str, Any]) -> str:
    """A command with IPython's {name} and $name replaced by values."""
    values = {k: v for scope in scopes for k, v in scope.items()}

    def value(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        try:
            return f"{{{name}}}".format(**values)
        except (KeyError, AttributeError, IndexError, ValueError):
            return found.group()

    return re.sub(r"\{(\w[\w.\[\]]*)\}|\$(\w+)", value, command)


def shell(command: str, *scopes: dict[str, Any]) -> int:
    """``!command``: Caffe's tools are ours, the rest is the system's."""
    line = _filled(command, *scopes)
    if line.startswith("cd "):
        os.chdir(os.path.expanduser(line[3:].strip().strip("'\"")))
        return 0
    return subprocess.run(commands.ours(line), shell=True, check=False).returncode


def captured(command: str, *scopes: dict[str, Any]) -> list[str]:
    """``x = !command``: the lines that it prints."""
    line = commands.ours(_filled(command, *scopes))
    return subprocess.run(line, shell=True, check=False, capture_output=True, text=True).stdout.splitlines()
