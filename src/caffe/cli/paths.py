"""Flags and arguments that name files which must exist: looked for before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

import click

from caffe.errors import InputError, MissingFileError, close_names


class ExistingFile(click.ParamType):  # type: ignore[type-arg]
    """A file's path; an empty value stands for none. ``several`` are separated by ','."""

    name = "file"

    def __init__(self, several: bool = False) -> None:
        self.several = several

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for part in value.split(",") if self.several else [value]:
            if part.strip():
                must_exist(part.strip())
        return value


FILE = ExistingFile()
FILES = ExistingFile(several=True)


def must_exist(path: str) -> None:
    """Raise MissingFileError, with files of a like name, where there is nothing at this path."""
    place = Path(path).expanduser()
    if place.exists():
        return
    folder = place.parent
    if not folder.is_dir():
        raise MissingFileError("does not exist", file=path, fix=f"There is no folder '{folder}'")
    names = sorted(entry.name for entry in folder.iterdir())
    hint = close_names(place.name, names)
    raise MissingFileError("does not exist", file=path, fix=hint or None)


def must_not_exist(path: str, force: bool) -> None:
    """Raise InputError where there is something at this path already, but for ``force``."""
    if not force and Path(path).expanduser().exists():
        raise InputError(
            "exists already, and is not written over", file=path, fix="Name another file, or say --force"
        )
