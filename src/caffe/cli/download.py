"""caffe download: public data sets and weights by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import Bar, bar
from caffe.data.downloads import CATALOGUE, download, find

NAMES = ", ".join(CATALOGUE)


@click.command(
    "download",
    cls=GflagsCommand,
    epilog=f"Names: {NAMES}; or the folder of a model whose readme.md names its weights.",
)
@click.argument("names", nargs=-1)
@click.option(
    "--folder", help="Where to put the files; by default as in Caffe's tree, data/NAME or models/NAME."
)
@click.option("--from", "source", help="A folder that holds the files already: copy and check, no network.")
@click.option("--mirror", "mirrors", multiple=True, help="An address to try first; may be repeated.")
def command(names: tuple[str, ...], folder: str | None, source: str | None, mirrors: tuple[str, ...]) -> int:
    """Download NAMES, check them, unpack them. What is there already is kept, what broke off goes on.

    \b
      caffe download mnist
    """
    if not names:
        click.echo(f"Name what to download: {NAMES}", err=True)
        return 2
    for name in names:
        collection = find(name)
        with bar(f"downloading {name}", None, of_bytes=True) as progress:
            files = download(collection, folder, source=source, mirrors=mirrors, progress=_show(progress))
        for path in files:
            click.echo(str(path))
    return 0


def _show(progress: Bar) -> Callable[[str, int, int | None], None]:
    def more(name: str, count: int, total: int | None) -> None:
        progress.advance(count)

    return more


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
