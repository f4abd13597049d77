"""``caffe download_model_binary``: the weights that a model's readme.md names, checked by their SHA-1."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from caffe.cli import gflags
from caffe.cli.progress import bar
from caffe.errors import MissingFileError


@click.command("download_model_binary", cls=gflags.GflagsCommand)
@click.argument("dirname", metavar="MODEL_FOLDER")
@click.option("--from", "source", help="A folder that holds the weights already: copy and check, no network.")
def command(dirname: str, source: str | None) -> int:
    """Download the weights of MODEL_FOLDER into it; a broken download goes on where it stopped.

    The head of its readme.md names caffemodel (the file), caffemodel_url and sha1.

    \b
      caffe download_model_binary models/bvlc_reference_caffenet
    """
    from caffe.data.downloads import download, find

    if not Path(dirname, "readme.md").is_file():
        raise MissingFileError("A model's folder must have a readme.md; there is none", file=dirname)
    collection = find(dirname)
    with bar("downloading", None, of_bytes=True) as progress:
        files = download(
            collection, dirname, source=source, progress=lambda name, count, total: progress.advance(count)
        )
    for path in files:
        click.echo(f"{path}: the weights are here and whole")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
