"""caffe compute_image_mean: the mean image of a database."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from caffe import logs, systems
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import bar
from caffe.data.conversion import in_order
from caffe.data.sources.database import BACKENDS, open_database
from caffe.data.sources.keyed import Database, key_text
from caffe.data.transform import decode, planes
from caffe.errors import CaffeError, DataError
from caffe.formats.atomic import replacing
from caffe.formats.datum import parse
from caffe.proto import caffe_pb2

Sum = npt.NDArray[np.float64]
"""Of images, channels × height × width."""
_AT_ONCE = 16  # records that a thread adds up before it takes others
_NOTED_EVERY = 10_000  # records between two notes of how far the work has come


@click.command("compute_image_mean", cls=GflagsCommand)
@click.argument("database")
@click.argument("mean_file", required=False)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="Kind of database. [default: what it is]",
)
@click.option(
    "--skip_damaged/--noskip_damaged", help="Leave out records that cannot be read, and count them."
)
@click.option("--resume/--noresume", help="Go on with an interrupted run of the same database.")
@click.option("--threads", type=int, default=0, help="Threads that decode and add; 0: one a processor.")
def command(
    database: str, mean_file: str | None, backend: str | None, skip_damaged: bool, resume: bool, threads: int
) -> None:
    """Compute the mean of all images of DATABASE, write it to MEAN_FILE (.binaryproto), print it by
    channel.

    \b
      caffe compute_image_mean train_lmdb mean.binaryproto
    """
    source = open_database(database, backend)
    note = Path(mean_file).with_name(f".{Path(mean_file).name}.partial.npz") if mean_file else None
    total, count, skipped = _added_up(
        source, database, skip_damaged, resume, threads or systems.processors(), note
    )
    source.close()
    if not count or total is None:
        raise DataError(f"No record of '{database}' can be read")
    if count % _NOTED_EVERY:
        logs.info(f"Processed {count} files.")
    if skipped:
        logs.warning(f"Skipped {skipped} records that cannot be read.")
    mean = (total / count).astype(np.float32)
    if mean_file:
        channels, height, width = mean.shape
        blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
        blob.data.extend(mean.ravel().tolist())
        logs.info(f"Write to {mean_file}")
        with replacing(mean_file) as path:
            path.write_bytes(blob.SerializeToString())
    if note is not None:
        note.unlink(missing_ok=True)
    logs.info(f"Number of channels: {len(mean)}")
    for channel, value in enumerate(mean.mean(axis=(1, 2), dtype=np.float64)):
        logs.info(f"mean_value channel [{channel}]: {value:g}")


def _added_up(
    source: Database, database: str, skip_damaged: bool, resume: bool, threads: int, note: Path | None
) -> tuple[Sum | None, int, int]:
    """The sum of all images, how many they are, and how many were skipped.

    Notes beside the mean's file how far it came, and with ``resume`` goes on from there.
    """
    size = len(source)
    done, total, count, skipped, last = (
        _noted(note, size) if resume and note is not None else (0, None, 0, 0, b"")
    )
    shape = _shape(source)
    if shape is None:
        raise DataError(f"No record of '{database}' can be read")
    cursor = source.cursor()
    cursor.seek_after(last)

    def chunks() -> Iterator[_Chunk]:
        for first in range(done, size, _AT_ONCE):
            items = cursor.take(min(_AT_ONCE, size - first))
            yield _Chunk([(bytes(key), bytes(value)) for key, value in items], cursor.last_key(), shape)

    with bar("adding up", size, start=done) as shown:
        for chunk, part in in_order(_sum, chunks(), threads, 2 * threads):
            if isinstance(part, CaffeError):
                raise part
            for key, error in part.errors:
                error.message = f"Record '{key_text(key)}' of '{database}': {error.message}"
                if not skip_damaged:
                    raise error
                logs.error(str(error))
            total = part.total if total is None else total + part.total
            before, count, skipped = count, count + part.count, skipped + len(part.errors)
            done += len(chunk.records)
            shown.advance(len(chunk.records))
            if count // _NOTED_EVERY > before // _NOTED_EVERY:
                logs.info(f"Processed {count - count % _NOTED_EVERY} files.")
                if note is not None:
                    numbers = np.array([size, done, count, skipped])
                    with replacing(note) as path, path.open("wb") as file:
                        np.savez(
                            file, total=total, numbers=numbers, last=np.frombuffer(chunk.place, np.uint8)
                        )
    cursor.close()
    return total, count, skipped


def _noted(note: Path, size: int) -> tuple[int, Sum | None, int, int, bytes]:
    """How far an interrupted run came; the beginning where nothing is noted, or of another database."""
    try:
        with np.load(note, allow_pickle=False) as found:
            of, done, count, skipped = (int(value) for value in found["numbers"])
            if of == size:
                logs.info(f"Going on behind {done} records.")
                return done, np.asarray(found["total"], np.float64), count, skipped, found["last"].tobytes()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass
    logs.info("There is nothing to go on with: starting from the beginning.")
    return 0, None, 0, 0, b""


def _shape(source: Database) -> tuple[int, ...] | None:
    """That of the first record that can be read."""
    for _, record in source.items():
        try:
            return _image(record).shape
        except CaffeError:
            continue
    return None


@dataclass
class _Chunk:
    """Some records, where a cursor is behind them, and the shape that their images must have."""

    records: list[tuple[bytes, bytes]]
    place: bytes
    shape: tuple[int, ...]


@dataclass
class _Part:
    """The sum of a chunk, of how many images, and what could not be added."""

    total: Sum
    count: int = 0
    errors: list[tuple[bytes, CaffeError]] = field(default_factory=list)


def _sum(chunk: _Chunk) -> _Part:
    part = _Part(np.zeros(chunk.shape, np.float64))
    for key, record in chunk.records:
        try:
            image = _image(record)
            if image.shape != chunk.shape:
                raise DataError(
                    f"it must have the shape {list(chunk.shape)} of the first; got {list(image.shape)}",
                    fix="Resize with caffe convert_imageset --resize_width --resize_height",
                )
            part.total += image
            part.count += 1
        except CaffeError as error:
            part.errors.append((key, error))
    return part


def _image(record: bytes) -> npt.NDArray[Any]:
    """Channels × height × width."""
    datum = parse(record)
    return planes(decode(datum.data)) if datum.encoded else datum.pixels()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
