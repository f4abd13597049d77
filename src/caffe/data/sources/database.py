"""How databases of records by key are opened and made: LMDB and LevelDB.

:func:`create` makes a database beside its place and moves it there when it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caffe.data.sources.keyed import Database, Writer
from caffe.data.sources.sharded import ShardedDatabase
from caffe.errors import CaffeError, DataError, FileAccessError, InputError, MissingFileError, close_names

BACKENDS = ("lmdb", "leveldb")


def shards_of(path: str | os.PathLike[str]) -> list[str]:
    """The databases that a source stands for: those that it names with ``,`` between, those in a folder of databases by
    name, else itself.
    """
    place, text = Path(path), os.fspath(path)
    if "," in text and not place.exists():
        return [part.strip() for part in text.split(",") if part.strip()]
    if place.is_dir() and not _is_database(place):
        return [
            str(inner) for inner in sorted(place.iterdir()) if inner.is_dir() and _is_database(inner)
        ] or [text]
    return [text]


def _is_database(folder: Path) -> bool:
    return (folder / "data.mdb").exists() or (folder / "CURRENT").exists()


def backend_of(path: str | os.PathLike[str]) -> str:
    """``lmdb`` or ``leveldb``, by what lies at ``path`` (of several databases the first's).

    Raises MissingFileError, DataError.
    """
    path = shards_of(path)[0]
    place = Path(path)
    if not place.exists():
        siblings = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
        raise MissingFileError(
            f"The database '{path}' does not exist (looked from {os.getcwd()})",
            fix=close_names(place.name, siblings)
            or "Make it with caffe convert_imageset, or correct the path",
        )
    if place.is_file() or (place / "data.mdb").exists():
        return "lmdb"
    if (place / "CURRENT").exists():
        return "leveldb"
    raise DataError(
        f"'{path}' must be an LMDB (with data.mdb) or a LevelDB (with CURRENT), or a folder of these; it holds none"
    )


def open_database(path: str | os.PathLike[str], backend: str | None = None) -> Database:
    """Open a database for reading, or several as one (:func:`shards_of`); without ``backend`` it is found out.

    Raises MissingFileError, DataError (not such a database, or empty), CorruptDataError, MissingPackageError.
    """
    shards = shards_of(path)
    if shards != [os.fspath(path)]:
        return ShardedDatabase(os.fspath(path), [open_database(shard, backend) for shard in shards])
    actual = backend_of(path)
    if backend is not None and actual != backend.lower():
        raise DataError(
            f"The database '{path}' must be of the backend {backend.upper()}; it is of {actual.upper()}",
            fix=f"Set backend: {actual.upper()}",
        )
    if actual == "lmdb":
        from caffe.data.sources.lmdb import LmdbDatabase

        return LmdbDatabase(os.fspath(path))
    from caffe.data.sources.leveldb import LevelDatabase

    return LevelDatabase(os.fspath(path))


def open_writer(path: str | os.PathLike[str], backend: str) -> Writer:
    """Open a database for writing, made where it is missing. Most callers want :func:`create`."""
    if backend not in BACKENDS:
        raise InputError(f"The backend of a database must be one of {', '.join(BACKENDS)}; got '{backend}'")
    try:
        if backend == "lmdb":
            from caffe.data.sources.lmdb import LmdbWriter

            return LmdbWriter(os.fspath(path))
        from caffe.data.sources.leveldb import LevelWriter

        return LevelWriter(os.fspath(path))
    except OSError as error:
        if isinstance(error, CaffeError):
            raise
        raise FileAccessError(f"The database '{path}' cannot be made: {error}") from error


@contextmanager
def create(
    path: str | os.PathLike[str],
    backend: str,
    *,
    overwrite: bool = False,
    resume: dict[str, Any] | None = None,
) -> Iterator[Writer]:
    """A writer for a new database, which appears at ``path`` only when the block ends without an error.

    With ``resume``, which must describe the work, what an interrupted earlier run of the same description
    wrote is kept: ``writer.count()`` says how far it came. Raises FileAccessError when ``path`` exists
    (unless ``overwrite``), or cannot be written.
    """
    place = Path(path)
    if place.exists() and not overwrite:
        raise FileAccessError(
            f"'{place}' exists already", fix="Choose another name, remove it, or say --overwrite"
        )
    if not place.absolute().parent.is_dir():
        raise MissingFileError(
            f"The folder '{place.absolute().parent}' to make '{place.name}' in does not exist"
        )
    partial = place.absolute().with_name(f".{place.name}.partial")
    note = partial.with_name(partial.name + ".json")
    if not (resume is not None and partial.exists() and _read_note(note) == resume):
        shutil.rmtree(partial, ignore_errors=True)
    try:
        if resume is not None:
            note.write_text(json.dumps(resume), encoding="utf-8")
        writer = open_writer(partial, backend)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        note.unlink(missing_ok=True)
        if isinstance(error, CaffeError):
            raise
        raise FileAccessError(f"'{place}' cannot be written: {error}") from error
    try:
        yield writer
        writer.close()
    except BaseException as error:
        keep = resume is not None and isinstance(error, KeyboardInterrupt)
        _close_quietly(writer)
        if not keep:
            shutil.rmtree(partial, ignore_errors=True)
            note.unlink(missing_ok=True)
        raise
    _move_into_place(partial, place)
    note.unlink(missing_ok=True)


def _read_note(note: Path) -> object:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _close_quietly(writer: Writer) -> None:
    try:
        writer.close()
    except (CaffeError, OSError):
        return  # the error that led here is the one to report


def _move_into_place(partial: Path, place: Path) -> None:
    old = None
    if place.exists():
        old = place.absolute().with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    partial.rename(place)
    if old is not None:
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink()
