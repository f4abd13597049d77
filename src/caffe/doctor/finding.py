"""One thing that a check found."""

from __future__ import annotations

from dataclasses import dataclass

from caffe.errors import CaffeError

PROBLEM, NOTE = "problem", "note"


@dataclass(frozen=True, order=True)
class Finding:
    """Where, what, and what to do. A problem stops the script or net; a note is worth knowing."""

    file: str
    line: int
    kind: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.kind}: {self.message}" + (f"\n    {self.fix}" if self.fix else "")


def of_error(error: CaffeError, file: str, line: int = 0) -> Finding:
    """A problem, from the error that it would raise."""
    told = str(error)
    place = f"{error.file}:{error.line}" if error.line is not None else str(error.file)
    if error.file is not None and told.startswith(place):
        told = told[len(place) :].lstrip(": ")
        file, line = error.file, error.line or line
    if error.fix and told.endswith(error.fix):
        told = told.removesuffix(error.fix).rstrip(" .")
    return Finding(file, line, PROBLEM, told, error.fix or "")
