"""The ``caffe`` command: shows the table of commands and imports only the one that runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe import __version__
from caffe.cli import completion, gflags
from caffe.cli.commands import COMMANDS, GROUPS, load
from caffe.errors import close_names


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return load(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for group, entries in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(entry.name.ljust(width), entry.help) for entry in entries])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else "--help"
        if first.lstrip("-") in ("help", "helpshort", "h", "version"):
            # caffe help, caffe help train, caffe version; glog's tools took one dash, too
            return super().parse_args(ctx, ["--version"] if "version" in first else [*args[1:2], "--help"])
        if first.lstrip("-").replace("_", "-").startswith("install-completion"):
            shell = first.partition("=")[2] or next(iter(args[1:2]), "auto")
            return super().parse_args(ctx, [f"--install-completion={shell}"])
        if first.startswith("-"):
            # The original also took its flags before the command: caffe --solver=… train
            place = next((i for i, arg in enumerate(args) if arg.replace("-", "_") in COMMANDS), None)
            if place is None:
                ctx.fail(self._no_command(args))
            args = [args[place], *args[:place], *args[place + 1 :]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].replace("-", "_") not in COMMANDS and not ctx.resilient_parsing:
            ctx.fail(self._no_command(args[:1]))
        return super().resolve_command(ctx, args)

    def _no_command(self, args: Sequence[str]) -> str:
        hints = {arg: close_names(arg, COMMANDS) for arg in args if not arg.startswith("-")}
        name = next((arg for arg, hint in hints.items() if hint), args[0])
        known = "A command is missing." if name.startswith("-") else f"There is no command '{name}'."
        return " ".join(filter(None, [known, hints.get(name, ""), "'caffe --help' lists them."]))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["--help", "-h"]},
    options_metavar="",
    subcommand_metavar="COMMAND [FLAGS]…",
)
@completion.option
@click.version_option(__version__, prog_name="caffe")
def command() -> None:
    """Caffe on PyTorch: train, test and time nets described in prototxt; make and look into databases.

    Flags are written as the original's: --flag=value, --flag value or -flag value.

    \b
      caffe train --solver=solver.prototxt
      caffe train --help

    Commands that build nets also take --no-python-layers, which refuses layers that would run code, and
    --allow-outside, which lets the nets of caffe serve and caffe view write outside of the present folder.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return gflags.run(command, argv if argv is not None else sys.argv[1:], "caffe")
