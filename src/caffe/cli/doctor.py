"""``caffe doctor``: what in a script or prototxt would not work here, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from caffe.cli import gflags
from caffe.errors import MissingFileError

_LOOKED_AT = (".prototxt", ".py", ".ipynb")


@click.command("doctor", cls=gflags.GflagsCommand)
@click.argument("files", nargs=-1)
@click.option(
    "--install",
    is_flag=True,
    help="Say what is installed (versions, devices, compiler, extras), and whether another caffe is in the way.",
)
def command(files: tuple[str, ...], install: bool) -> int:
    """Look through FILES (scripts, notebooks, prototxts, folders) without running them; or at what is installed.

    Prints problems (Python 2, names and parameters that do not exist, unknown layers, missing files) and
    notes, each with its line and the fix; of a script also what 'caffe run' would translate and which problems
    would remain. The exit status is 1 if there are problems.

    \b
      caffe doctor old_script.py train_val.prototxt
    """
    from caffe.doctor import definitions, old_scripts
    from caffe.doctor.finding import PROBLEM

    if not files and not install:
        raise click.UsageError("Give files to look through, or --install")
    problems = _look_at_installation() if install else 0
    for path in _files(files):
        kinds = {".py": old_scripts.check, ".ipynb": old_scripts.check_notebook}
        findings = kinds.get(path.suffix, definitions.check)(path)
        for finding in findings:
            click.echo(str(finding))
        count = sum(f.kind == PROBLEM for f in findings)
        problems += count
        click.echo(
            f"{path}: {f'{count} problem' + 's' * (count > 1) if count else 'nothing stands in the way'}"
        )
    return 1 if problems else 0


def _files(names: Sequence[str]) -> Iterator[Path]:
    """The files; of folders the scripts, notebooks and prototxts in them and below. Raises MissingFileError."""
    for path in map(Path, names):
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix in _LOOKED_AT and file.is_file())
            if not files:
                raise MissingFileError(
                    f"There are no files of {', '.join(_LOOKED_AT)} in this folder or below", file=path
                )
            yield from files
        elif path.exists():
            yield path
        else:
            raise MissingFileError("This file does not exist", file=path)


def _look_at_installation() -> int:
    """Print what is installed; returns how many problems there are."""
    from caffe.doctor import installation
    from caffe.doctor.finding import PROBLEM

    told = installation.facts()
    width = max(map(len, told))
    for name, what in told.items():
        click.echo(f"{name:{width}}  {what}")
    findings = installation.check(Path.cwd())
    for finding in findings:
        click.echo(str(finding))
    problems = sum(f.kind == PROBLEM for f in findings)
    if not problems:
        click.echo("The installation is whole, and 'import caffe' means this package here")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
