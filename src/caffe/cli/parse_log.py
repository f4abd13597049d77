"""``caffe parse_log``: a training log as two CSV files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TextIO

import click

from caffe.cli import gflags, paths
from caffe.errors import FileAccessError


@click.command("parse_log", cls=gflags.GflagsCommand)
@click.argument("logfile", type=paths.FILE)
@click.argument("output_dir", default=".")
@click.option("--delimiter", default=",", show_default=True, help="What separates columns.")
@click.option("--verbose/--noverbose", default=False, help="Say what was written.")
def command(logfile: str, output_dir: str, delimiter: str, verbose: bool) -> int:
    """Write LOGFILE's iterations to OUTPUT_DIR/LOGFILE.train and its tests to OUTPUT_DIR/LOGFILE.test, as CSV.

    Reads logs of the original, of this package, and metrics.jsonl.

    \b
      caffe parse_log train.log logs/
    """
    from caffe import training_log

    log = training_log.read(logfile)
    tables = {"train": log.train, "test": log.test}
    tables.update({f"test{i}": rows for i, rows in log.other_tests.items()})
    for kind, rows in tables.items():
        path = Path(output_dir) / f"{Path(logfile).name}.{kind}"
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with _created(path) as file:
            writer = csv.DictWriter(file, columns, delimiter=delimiter, restval="")
            writer.writeheader()
            writer.writerows(rows)
        if verbose:
            click.echo(f"Wrote {len(rows)} rows to {path}")
    return 0


def _created(path: Path) -> TextIO:
    """The file, open for writing. Raises FileAccessError."""
    try:
        return path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise FileAccessError(
            f"cannot be written: {error.strerror}",
            file=path,
            fix=f"Make the folder: mkdir -p '{path.parent}'",
        ) from None


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
