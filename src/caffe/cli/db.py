"""caffe db: look into databases, check them, put them together, take them apart."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import click
import numpy as np

from caffe.cli import paths
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.sources.database import BACKENDS, backend_of, create, open_database
from caffe.data.sources.keyed import Database, key_text
from caffe.data.transform import decode, planes
from caffe.errors import CaffeError, DataError, InputError
from caffe.formats.datum import Datum, parse


@click.group("db")
def command() -> None:
    """Look into LMDB and LevelDB databases of Datum records."""


def _describe(datum: Datum) -> str:
    labels = " ".join(f"{v:g}" for v in datum.labels[:8])
    if datum.encoded:
        return f"encoded, {len(datum.data):,} bytes, label {labels}"
    kind = "uint8" if len(datum.data) else "float"
    return f"{datum.channels}×{datum.height}×{datum.width} {kind}, label {labels}"


def _image(datum: Datum) -> Any:
    """A record's pixels, channels × height × width. Raises DataError."""
    return planes(decode(datum.data)) if datum.encoded else datum.pixels()


@command.command("ls", cls=GflagsCommand)
@click.argument("folders", nargs=-1)
def ls(folders: tuple[str, ...]) -> None:
    """List the databases in FOLDERS (or here), with their kind, number of records and size.

    \b
      caffe db ls data/
    """
    listed = 0
    for folder in folders or (".",):
        paths.must_exist(folder)
        places = (
            [folder] if _is_database(folder) else sorted(e.path for e in os.scandir(folder) if e.is_dir())
        )
        for place in places:
            if _is_database(place):
                listed += 1
                database = open_database(place)
                size = sum(e.stat().st_size for e in os.scandir(place))
                click.echo(f"{place}  {backend_of(place)}  {len(database):,} records  {size / 1e6:,.1f} MB")
                database.close()
    if not listed:
        click.echo(f"There is no LMDB or LevelDB in {' or '.join(folders) or 'this folder'}.", err=True)


def _is_database(path: str) -> bool:
    return os.path.exists(os.path.join(path, "data.mdb")) or os.path.exists(os.path.join(path, "CURRENT"))


@command.command("head", cls=GflagsCommand)
@click.argument("path")
@click.option("--count", type=int, default=10, show_default=True, help="How many records.")
@click.option("--picture", help="Also write these images side by side into this file.")
def head(path: str, count: int, picture: str | None) -> None:
    """Show the first records of a database: key, shape, label; as a contact sheet with --picture.

    \b
      caffe db head train_lmdb --count=5 --picture=first.png
    """
    database = open_database(path)
    tiles = []
    for key, record in islice(database.items(), count):
        datum = parse(record)
        click.echo(f"{key_text(key)}  {_describe(datum)}")
        if picture:
            tiles.append((_image(datum), datum.label))
    database.close()
    if picture:
        _contact_sheet(tiles, picture)
        click.echo(f"Wrote {picture}")


def _contact_sheet(tiles: list[tuple[Any, int | None]], path: str) -> None:
    """Images in rows, each with its label, as a picture file."""
    import cv2

    side, margin, text = 128, 6, 18
    columns = min(len(tiles), 8)
    rows = -(-len(tiles) // columns)
    sheet = np.full(
        (rows * (side + text + margin) + margin, columns * (side + margin) + margin, 3), 255, np.uint8
    )
    for i, (image, label) in enumerate(tiles):
        top = margin + i // columns * (side + text + margin)
        left = margin + i % columns * (side + margin)
        pixels = _viewable(image)
        scale = side / max(pixels.shape[:2])
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
        place = (left, top + side + text - 5)
        cv2.putText(sheet, str(label), place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    if not cv2.imwrite(path, sheet):
        raise InputError(
            f"The picture '{path}' cannot be written: its ending must be png or jpg, its folder exist"
        )


def _viewable(image: Any) -> Any:
    """Channels × height × width of anything as height × width × 3 of uint8."""
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    if len(image) != 3:
        image = np.repeat(np.concatenate(list(image), axis=1)[None], 3, axis=0)  # channels side by side
    return np.ascontiguousarray(image.transpose(1, 2, 0))


@command.command("stat", cls=GflagsCommand)
@click.argument("path")
def stat(path: str) -> None:
    """Count records by shape and by label, and show the range and mean of the values.

    \b
      caffe db stat train_lmdb
    """
    shapes: dict[str, int] = {}
    labels: dict[str, int] = {}
    low, high, total, values = np.inf, -np.inf, 0.0, 0
    for _, datum in _records(path, "counting"):
        image = _image(datum)
        kind = f"{'×'.join(map(str, image.shape))} {'encoded' if datum.encoded else image.dtype}"
        shapes[kind] = shapes.get(kind, 0) + 1
        label = (
            " ".join(f"{v:g}" for v in datum.labels)
            if datum.labels.size <= 4
            else f"{datum.labels.size} numbers"
        )
        labels[label] = labels.get(label, 0) + 1
        low, high = min(low, float(image.min())), max(high, float(image.max()))
        total, values = total + float(image.sum(dtype=np.float64)), values + image.size
    click.echo(f"{sum(shapes.values()):,} records of {backend_of(path)}")
    click.echo(f"values from {low:g} to {high:g}, mean {total / values:g}")
    for kind, count in sorted(shapes.items(), key=lambda item: -item[1])[:20]:
        click.echo(f"  {kind}: {count:,}")
    click.echo(f"{len(labels)} different labels")
    for label, count in sorted(labels.items(), key=lambda item: _label_order(item[0]))[:50]:
        click.echo(f"  {label}: {count:,}")


def _label_order(label: str) -> tuple[float, str]:
    try:
        return float(label), ""
    except ValueError:
        return np.inf, label


def _records(path: str, what: str) -> Iterator[tuple[Any, Datum]]:
    database: Database = open_database(path)
    for key, record in track(database.items(), what, len(database)):
        yield key, parse(record)
    database.close()


@command.command("verify", cls=GflagsCommand)
@click.argument("path")
def verify(path: str) -> int:
    """Read and decode every record; names those that are damaged. The exit status is 1 if there are any.

    \b
      caffe db verify train_lmdb
    """
    database = open_database(path)
    count = damaged = 0
    for key, record in track(database.items(), "checking", len(database)):
        count += 1
        try:
            if not _image(parse(record)).size:
                raise DataError("it holds no values")
        except CaffeError as error:
            damaged += 1
            click.echo(f"{key_text(key)}: {error}")
    database.close()
    click.echo(f"{count:,} records, {damaged:,} damaged")
    return 1 if damaged else 0


@command.command("merge", cls=GflagsCommand)
@click.argument("sources", nargs=-1, required=True)
@click.argument("target")
@click.option("--backend", type=click.Choice(BACKENDS), help="Kind of TARGET. [default: as the first source]")
@click.option("--overwrite/--nooverwrite", help="Replace TARGET if it exists.")
def merge(sources: tuple[str, ...], target: str, backend: str | None, overwrite: bool) -> None:
    """Write the records of SOURCES, one after the other, to TARGET; keys get the source's number in front.

    \b
      caffe db merge first_lmdb second_lmdb both_lmdb
    """
    with create(target, backend or backend_of(sources[0]), overwrite=overwrite) as writer:
        digits = len(str(len(sources) - 1))
        for i, source in enumerate(sources):
            database = open_database(source)
            for key, record in track(database.items(), source, len(database)):
                writer.put(b"%0*d_%b" % (digits, i, bytes(key)), bytes(record))
            database.close()
        click.echo(f"{writer.count():,} records")


@command.command("subset", cls=GflagsCommand)
@click.argument("source")
@click.argument("target")
@click.option("--start", type=int, default=0, show_default=True, help="The first record to take, from 0.")
@click.option("--count", type=int, help="How many to take at most.")
@click.option("--every", type=int, default=1, show_default=True, help="Take every n-th.")
@click.option("--labels", help="Take only these labels, with commas between.")
@click.option("--backend", type=click.Choice(BACKENDS), help="Kind of TARGET. [default: as the source]")
@click.option("--overwrite/--nooverwrite", help="Replace TARGET if it exists.")
def subset(source: str, target: str, start: int, count: int | None, every: int, **flags: Any) -> None:
    """Copy some records of SOURCE to TARGET, keys and bytes as they are (also from LMDB to LevelDB and
    back).

    \b
      caffe db subset train_lmdb few_lmdb --count=100
    """
    if start < 0 or every < 1 or (count is not None and count < 1):
        raise InputError("--start must be at least 0, --every and --count at least 1")
    wanted = {int(v) for v in flags["labels"].split(",")} if flags["labels"] else None
    database = open_database(source)
    with create(target, flags["backend"] or backend_of(source), overwrite=flags["overwrite"]) as writer:
        taken = 0
        for key, record in islice(database.items(), start, None, every):
            if wanted is not None and parse(record).label not in wanted:
                continue
            if taken == count:
                break
            writer.put(bytes(key), bytes(record))
            taken += 1
        if not taken:
            raise DataError(f"No record of '{source}' is in the subset")
        click.echo(f"{taken:,} records")
    database.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv, "caffe db")


if __name__ == "__main__":
    sys.exit(main())
