"""caffe models: the catalogue of known models; definitions written, weights downloaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import Bar, bar
from caffe.errors import InputError
from caffe.models.catalogue import Entry, entries, entry
from caffe.models.definitions import DEFINITIONS, definition


@click.group("models")
def command() -> None:
    """Known models: what was published where, definitions to write, weights to download."""


@command.command("list", cls=GflagsCommand)
@click.argument("words", nargs=-1)
@click.option("--long/--nolong", default=False, help="Also paper, page, files and digests.")
def list_models(words: tuple[str, ...], long: bool) -> None:
    """List the models whose name, task, fork or licence has all WORDS: name, task, fork, licence.

    W: caffe models write knows its definition. D: caffe models download knows its files and their digests.

    \b
      caffe models list ssd detection
    """
    chosen = [e for e in entries().values() if all(w.lower() in _searched(e) for w in words)]
    if not chosen:
        raise InputError(f"No model of the catalogue has {' and '.join(words)}", fix="See: caffe models list")
    name, task, fork = (max(len(str(getattr(e, key))) for e in chosen) for key in ("name", "task", "fork"))
    click.echo(
        "W can be written: caffe models write NAME · D can be downloaded: caffe models download NAME",
        err=True,
    )
    for e in chosen:
        marks = ("W" if e.is_written else " ") + ("D" if e.files else " ")
        click.echo(f"{marks}  {e.name:{name}}  {e.task:{task}}  {e.fork:{fork}}  {e.licence}")
        if long:
            _details(e)


def _searched(e: Entry) -> str:
    return f"{e.name} {e.task} {e.fork} {e.licence}".lower()


def _details(e: Entry) -> None:
    for line in filter(None, (e.paper, e.page, e.note)):
        click.echo(f"      {line}")
    if e.is_written:
        click.echo(f"      writes {e.folder}: {', '.join(definition(e.name).files)}")
    for remote in e.files:
        click.echo(f"      {remote.name}  {remote.digest}")


@command.command("write", cls=GflagsCommand)
@click.argument("names", nargs=-1, required=True)
@click.option("--folder", help="Where to write; by default each model's place in Caffe's tree.")
@click.option("--root", default=".", show_default=True, help="The folder of that tree, where Caffe is run.")
def write(names: tuple[str, ...], folder: str | None, root: str) -> None:
    """Write the definitions NAMES: nets to train and to deploy, solvers; 'all' writes every one.

    \b
      caffe models write lenet
    """
    for name in DEFINITIONS if names == ("all",) else names:
        for path in definition(name).write(folder, root=root):
            click.echo(str(path))


@command.command("download", cls=GflagsCommand)
@click.argument("names", nargs=-1, required=True)
@click.option("--folder", help="Where to put the files; by default each model's place in Caffe's tree.")
@click.option("--from", "source", help="A folder that holds the files already: copy and check, no network.")
@click.option("--mirror", "mirrors", multiple=True, help="An address to try first; may be repeated.")
def download(
    names: tuple[str, ...], folder: str | None, source: str | None, mirrors: tuple[str, ...]
) -> None:
    """Download the files of the models NAMES and check them. What is there is kept, what broke off goes on.

    \b
      caffe models download squeezenet_v1.0
    """
    for name in names:
        with bar(f"downloading {name}", None, of_bytes=True) as progress:
            files = entry(name).download(folder, source=source, mirrors=mirrors, progress=shown(progress))
        for path in files:
            click.echo(str(path))


def shown(progress: Bar) -> Callable[[str, int, int | None], None]:
    """What moves a bar while a download goes on."""

    def more(name: str, count: int, total: int | None) -> None:
        progress.advance(count)

    return more


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv, "caffe models")


if __name__ == "__main__":
    sys.exit(main())
