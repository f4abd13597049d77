"""caffe convert_imageset: a list of image files as a database."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from caffe import logs, systems
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.conversion import entry_key, image_datum, in_order, place_of
from caffe.data.image_files import Entry, read_list
from caffe.data.sources.database import BACKENDS, create
from caffe.errors import CaffeError, DataError, InputError, MissingFileError
from caffe.formats.datum import Datum


@click.command("convert_imageset", cls=GflagsCommand)
@click.argument("root")
@click.argument("list_file", metavar="LIST")
@click.argument("database")
@click.option("--gray/--nogray", help="Read images as gray ones.")
@click.option("--shuffle/--noshuffle", help="Put the images in random order first.")
@click.option(
    "--backend", type=click.Choice(BACKENDS), default="lmdb", show_default=True, help="Kind of database."
)
@click.option("--resize_width", type=int, default=0, help="Width to resize to.")
@click.option("--resize_height", type=int, default=0, help="Height to resize to.")
@click.option("--check_size/--nocheck_size", help="Check that all records hold as many values.")
@click.option("--encoded/--noencoded", help="Keep images encoded (a file as it is, if nothing changes it).")
@click.option("--encode_type", default="", help="Encode images as jpg, png …")
@click.option("--seed", type=int, help="Makes --shuffle give the same order each time.")
@click.option("--labels", type=int, default=1, show_default=True, help="How many labels end a line.")
@click.option("--skip_damaged/--noskip_damaged", help="Leave out images that cannot be read, and count them.")
@click.option("--overwrite/--nooverwrite", help="Replace the database if it exists.")
@click.option("--resume/--noresume", help="Go on with an interrupted conversion of the same list and flags.")
@click.option("--threads", type=int, default=0, help="Threads that read and decode; 0: one a processor.")
def command(root: str, list_file: str, database: str, **flags: Any) -> int:
    """Write the images that LIST names, "file label" a line, below the folder ROOT to DATABASE.

    ROOT is put before each name as it is: end it with a slash. Keys are place and name, 00000000_file.jpg.

    \b
      caffe convert_imageset --resize_height=256 --resize_width=256 images/ list.txt train_lmdb
    """
    for flag in ("resize_width", "resize_height"):
        if flags[flag] < 0:
            raise click.BadParameter(f"must be at least 1; got {flags[flag]}", param_hint=f"--{flag}")
    if bool(flags["resize_width"]) != bool(flags["resize_height"]):
        raise click.UsageError("--resize_width and --resize_height must be given together")
    if flags["labels"] < 1:
        raise click.BadParameter(f"must be at least 1; got {flags['labels']}", param_hint="--labels")
    entries = read_list(list_file, flags["labels"])
    seed = flags["seed"] if flags["seed"] is not None else int.from_bytes(os.urandom(4), "little")
    if flags["shuffle"]:
        if flags["resume"] and flags["seed"] is None:
            raise click.UsageError("--resume with --shuffle needs the --seed of the interrupted run")
        logs.info("Shuffling data")
        entries = [entries[i] for i in np.random.default_rng(seed).permutation(len(entries))]
    if not os.path.exists(root + entries[0].name) and os.path.exists(os.path.join(root, entries[0].name)):
        raise MissingFileError(
            "the image does not exist", file=root + entries[0].name, fix=f"End ROOT with a slash: {root}/"
        )
    logs.info(f"A total of {len(entries)} images.")
    description = {
        **flags,
        "resume": True,
        "overwrite": False,
        "root": root,
        "list": [e.name for e in entries],
    }
    with create(database, flags["backend"], overwrite=flags["overwrite"], resume=description) as writer:
        skipped = _convert(entries, root, flags, writer)
        if not writer.count():
            raise DataError(f"None of the {len(entries)} images can be read")
    if skipped:
        logs.warning(f"Skipped {skipped} images that cannot be read.")
    return 0


def _convert(entries: list[Entry], root: str, flags: dict[str, Any], writer: Any) -> int:
    def read(entry: Entry) -> Datum:
        encoding = flags["encode_type"]
        if flags["encoded"] and not encoding:
            encoding = os.path.splitext(entry.name)[1].lstrip(".").lower()
            if not encoding:
                raise InputError(
                    f"The encoding of '{entry.name}' must be told by its ending", fix="Set --encode_type"
                )
        return image_datum(
            root + entry.name,
            entry.labels,
            height=flags["resize_height"],
            width=flags["resize_width"],
            color=not flags["gray"],
            encoding=encoding,
        )

    start = place_of(writer.last_key()) + 1 if flags["resume"] else 0
    skipped, size = 0, None
    todo = entries[start:]
    done = in_order(read, todo, flags["threads"] or systems.processors())
    for number, (entry, datum) in enumerate(track(done, "converting", len(entries), start), start):
        if isinstance(datum, CaffeError):
            if not flags["skip_damaged"]:
                raise datum.located(file=root + entry.name)
            logs.error(f"Could not open or find file {root + entry.name}: {datum.message}")
            skipped += 1
            continue
        if flags["check_size"] and not datum.encoded:
            size = size or len(datum.data)
            if len(datum.data) != size:
                raise DataError(
                    f"Every record must hold {size} values as the first; got {len(datum.data)}",
                    file=root + entry.name,
                    fix="Set --resize_width and --resize_height",
                )
        writer.put(entry_key(number, entry), datum.serialize())
        if (number + 1) % 1000 == 0:
            logs.info(f"Processed {number + 1} files.")
    if len(entries) % 1000:
        logs.info(f"Processed {len(entries)} files.")
    return skipped


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
