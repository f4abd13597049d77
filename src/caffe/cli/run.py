"""caffe run: an old script or notebook as it is."""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe.cli import gflags
from caffe.errors import FileAccessError, InputError, MissingFileError

if TYPE_CHECKING:
    from caffe.legacy.translate import Translation


class RunCommand(gflags.GflagsCommand):
    """Flags up to the script are ours, those behind it the script's; behind a notebook they are ours, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, values = self._flags()
        ours = self._are_flags(args, values)
        if all(ours):
            return super().parse_args(ctx, args)
        at = ours.index(False)
        flags, script, rest = args[:at], args[at], args[at + 1 :]
        if script.endswith(".ipynb"):
            ours = self._are_flags(rest, values)
            flags += [arg for arg, flag in zip(rest, ours) if flag]
            rest = [arg for arg, flag in zip(rest, ours) if not flag]
        return click.Command.parse_args(
            self, ctx, [*(a for a in self.normalize(flags) if a != "--"), "--", script, *rest]
        )

    @staticmethod
    def _are_flags(args: Sequence[str], values: Container[str]) -> list[bool]:
        """Which of these are flags or the value of the flag before."""
        return [
            arg.startswith("-") or (before.startswith("-") and before.lstrip("-").replace("-", "_") in values)
            for before, arg in zip(["", *args], args)
        ]


@click.command("run", cls=RunCommand, context_settings={"allow_interspersed_args": False})
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--explain/--noexplain", help="List each change (line, before, after, why); run nothing.")
@click.option("--write", metavar="DIR", help="Save script and modules as Python 3 in DIR; run nothing.")
@click.option("--python2/--nopython2", default=None, help="Take it for Python 2. [default: found out]")
@click.option("--allow_pickle/--noallow_pickle", help="np.load may read Python objects: they can run code.")
@click.option(
    "--to", type=click.Choice(["notebook", "html"]), default="notebook", help="What a notebook becomes."
)
@click.option("--output", metavar="FILE", help="Where it goes. [default: NAME_run.ipynb or .html]")
@click.option("--overwrite/--nooverwrite", help="Replace OUTPUT, or files in DIR.")
def command(
    script: str,
    arguments: tuple[str, ...],
    explain: bool,
    write: str | None,
    python2: bool | None,
    allow_pickle: bool,
    to: str,
    output: str | None,
    overwrite: bool,
) -> int:
    """Run SCRIPT (.py or .ipynb) with its ARGUMENTS, unchanged, however old it is.

    Python 2 and the libraries of 2014 to 2018 are translated in memory: the script and the modules beside it, nothing
    that is installed. Files stay as they are. Errors show the script's own lines.

    \b
      caffe run classify_photo.py cat.jpg
      caffe run --explain classify_photo.py
      caffe run 00-classification.ipynb --to=html
    """
    path = Path(script)
    if not path.is_file():
        raise MissingFileError("This script does not exist", file=script)
    if path.suffix == ".ipynb":
        from caffe.legacy import notebooks

        if arguments:
            raise InputError(f"A notebook takes no arguments; got {' '.join(arguments)}")
        if explain or write:
            return _explain(notebooks.translations(path))
        target = Path(output or path.with_name(f"{path.stem}_run.{'html' if to == 'html' else 'ipynb'}"))
        return notebooks.execute(
            path, target, to=to, python2=python2, allow_pickle=allow_pickle, overwrite=overwrite
        )
    from caffe.legacy import arrays, running, sources

    sources.python2 = python2
    if write:
        return _write(path, Path(write), overwrite)
    if explain:
        return _explain([(str(p), found) for p, found in sources.with_modules(script).items()])
    arrays.allow_pickle = allow_pickle
    return running.run(script, arguments)


def _explain(found: Sequence[tuple[str, Translation]]) -> int:
    total = 0
    for name, translation in found:
        total += len(translation.changes)
        for change in translation.changes:
            click.echo(f"{name}: {change}")
    click.echo(f"{total} line{'s' * (total != 1)} would be changed" if total else "Nothing would be changed")
    return 0


def _write(script: Path, folder: Path, overwrite: bool) -> int:
    from caffe.formats.atomic import replacing
    from caffe.legacy import sources

    top = script.resolve().parent
    translations = {p: t for p, t in sources.with_modules(script).items() if p.is_relative_to(top)}
    targets = {source: folder / source.relative_to(top) for source in translations}
    for source, target in targets.items():
        if target.exists() and (not overwrite or target.resolve() == source):
            raise FileAccessError(
                "exists already", file=target, fix="Name another folder, or say --overwrite"
            )
    for source, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            Path(partial).write_text(translations[source].standing_alone(), encoding="utf-8")
        click.echo(f"wrote {target}, {len(translations[source].changes)} lines changed")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv, "caffe run")


if __name__ == "__main__":
    sys.exit(main())
