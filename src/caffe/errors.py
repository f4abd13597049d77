"""Every exception of the package, in one tree.

::

    CaffeError
    ├── ParseError (ValueError)            a prototxt or binary message that cannot be read
    ├── NetError (ValueError)              layers that cannot be wired into a net
    ├── LayerError (ValueError)            a layer whose parameters, bottoms or data cannot be
    │   ├── ShapeError                     shapes that cannot be
    │   └── UnknownLayerError              a layer type nobody registered
    ├── WeightsError (ValueError)          a weights file that does not fit the net
    ├── SolverError (ValueError)           a solver definition or state that cannot be
    │   └── SnapshotError                  a snapshot that cannot be written or restored
    ├── DataError (ValueError)             a record, image or database that cannot be used
    │   └── CorruptDataError               bytes that are damaged
    ├── InputError (ValueError)            arguments of a call that do not fit
    │   └── InputTypeError (TypeError)     … because of their type
    ├── UnknownNameError (KeyError)        a blob, layer or parameter that does not exist
    ├── MissingFileError (FileNotFoundError)
    ├── FileAccessError (OSError)          a file or folder that cannot be read or written
    ├── DeviceError (RuntimeError)         no such device, or the device failed
    ├── StateError (RuntimeError)          a call at a time it cannot be made
    ├── DistributedError (RuntimeError)    a worker was lost, or does not match the others
    └── MissingPackageError (ImportError)  an optional package is not installed

    CaffeWarning (UserWarning)

Each also derives from the builtin in parentheses. A message says where (file, line, layer, field),
what was found, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar


class CaffeWarning(UserWarning):
    """Something works differently from what was asked for."""


class CaffeError(Exception):
    """Base of all errors of this package.

    ``message`` says what was found and expected, ``fix`` what to do; the rest says where. Places that
    learn more of the where as the error passes through them add it with :meth:`located`.
    """

    def __init__(
        self,
        message: str,
        *,
        file: object = None,
        line: int | None = None,
        layer: str | None = None,
        type: str | None = None,
        field: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.layer = layer
        self.type = type
        self.field = field
        self.fix = fix
        super().__init__(message)

    def located(
        self,
        *,
        file: object = None,
        line: int | None = None,
        layer: str | None = None,
        type: str | None = None,
        field: str | None = None,
    ) -> CaffeError:
        """Fill in the places that are not known yet; returns the error itself."""
        if self.file is None and file is not None:
            self.file = str(file)
            self.line = self.line if self.line is not None else line
        self.layer = self.layer or layer
        self.type = self.type or type
        self.field = self.field or field
        return self

    def __str__(self) -> str:
        where = []
        if self.file is not None:
            where.append(self.file if self.line is None else f"{self.file}:{self.line}")
        elif self.line is not None:
            where.append(f"line {self.line}")
        if self.layer is not None:
            where.append(f"layer '{self.layer}'" + (f" ({self.type})" if self.type else ""))
        elif self.type is not None:
            where.append(f"layer type {self.type}")
        if self.field is not None:
            where.append(f"field '{self.field}'")
        text = ": ".join([*where, self.message])
        if self.fix:
            text = text.rstrip(".") + ". " + self.fix
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


_E = TypeVar("_E", bound=CaffeError)


def _rebuild(kind: type[_E], state: dict[str, object]) -> _E:
    error = kind(str(state.get("message", "")))
    error.__dict__.update(state)
    return error


class ParseError(CaffeError, ValueError):
    """A prototxt or binary message cannot be read."""


class NetError(CaffeError, ValueError):
    """Layers cannot be wired into a net."""


class LayerError(CaffeError, ValueError):
    """A layer's parameters, bottoms, tops or data cannot be."""


class ShapeError(LayerError):
    """Shapes that cannot be."""


class UnknownLayerError(LayerError):
    """A layer type that nobody registered."""


class WeightsError(CaffeError, ValueError):
    """A weights file does not fit the net."""


class SolverError(CaffeError, ValueError):
    """A solver definition or state cannot be."""


class SnapshotError(SolverError):
    """A snapshot cannot be written or restored."""


class DataError(CaffeError, ValueError):
    """A record, image or database cannot be used."""


class CorruptDataError(DataError):
    """A record, image or database is damaged."""


class InputError(CaffeError, ValueError):
    """Arguments of a call do not fit."""


class InputTypeError(InputError, TypeError):
    """An argument has the wrong type."""


class UnknownNameError(CaffeError, KeyError):
    """A blob, layer or parameter of that name does not exist."""


class MissingFileError(CaffeError, FileNotFoundError):
    """A file or folder does not exist."""


class FileAccessError(CaffeError, OSError):
    """A file or folder cannot be read or written."""


class DeviceError(CaffeError, RuntimeError):
    """No such device, or the device failed."""


class StateError(CaffeError, RuntimeError):
    """A call at a time it cannot be made."""


class DistributedError(CaffeError, RuntimeError):
    """A worker was lost, or does not match the others."""


class MissingPackageError(CaffeError, ImportError):
    """An optional package is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingPackageError:
        """The error for ``purpose`` needing ``package``, which the extra ``extra`` brings."""
        return cls(
            f"{purpose} needs the package '{package}', which is not installed",
            fix=how_to_install(extra),
        )


def how_to_install(extra: str) -> str:
    """How the packages of an extra come in: from a checkout, or from a wheel."""
    return (
        f"Install the extra '{extra}': pip install -e '.[{extra}]' in the checkout, or pip install "
        f"'caffe_torch-….whl[{extra}]' from the wheel"
    )


def listed(names: Iterable[str], most: int = 8) -> str:
    """``a, b, c``, of long lists the last names and how many there are, or ``none``."""
    names = list(names)
    some = ", ".join(names[-most:]) or "none"
    return f"{len(names)}, at last {some}" if len(names) > most else some


def close_names(name: str, known: Iterable[str], most: int = 4) -> str:
    """`` Did you mean 'a' or 'b'?`` for a name that is not among ``known``, or an empty string."""
    known = list(dict.fromkeys(known))
    folded = {k.lower(): k for k in known}
    names = [folded[m] for m in difflib.get_close_matches(name.lower(), folded, n=most, cutoff=0.6)]
    if not names:
        return ""
    return "Did you mean " + " or ".join(f"'{f}'" for f in names) + "?"
