"""The ``caffe`` command: finds its subcommands by their files' names and imports only the one that runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from caffe.cli import gflags

_NOT_COMMANDS = {"__init__", "main", "gflags", "devices", "progress", "train_progress"}
_FILES = {"test": "test_net", "time": "time_net"}
"""Commands whose file has another name."""


class Commands(click.Group):
    """A group whose commands are this folder's files; each has a click command called ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = {v: k for k, v in _FILES.items()}
        stems = (p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in _NOT_COMMANDS)
        return sorted(names.get(s, s) for s in stems if not s.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        name = name.replace("-", "_")
        if name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"caffe.cli.{_FILES.get(name, name)}")
        found: click.Command = module.command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # The original also took its flags before the command: caffe --solver=… train
        names = self.list_commands(ctx)
        for i, arg in enumerate(args):
            if arg.replace("-", "_") in names:
                return super().resolve_command(ctx, [arg, *args[:i], *args[i + 1 :]])
            if not arg.startswith("-"):
                break
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Flags before the command belong to it, not to the group.
        if args and args[0] not in ("--help", "-h", "--version") and args[0].startswith("-"):
            ctx._protected_args, ctx.args = [args[0]], args[1:]
            return args
        return super().parse_args(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["--help", "-h"]})
@click.version_option(package_name="caffe-torch", prog_name="caffe")
def command() -> None:
    """Caffe on PyTorch: train, test and time networks described in prototxt; make and look into databases.

    Flags are written as the original's: --flag=value, --flag value or -flag value.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return gflags.run(command, argv if argv is not None else sys.argv[1:], "caffe")
