"""Commands that take their flags as the original's did (gflags), on top of click.

``--flag=value``, ``--flag value``, ``-flag value``, ``--a_flag`` or ``--a-flag``; switches as ``--shuffle``,
``--shuffle=true``, ``--noshuffle``. A switch is declared ``@click.option("--shuffle/--noshuffle")``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.utils import PacifyFlushWrapper

from caffe.errors import CaffeError, CaffeWarning

TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")

_GLOG_SWITCHES = (
    "logtostderr",
    "alsologtostderr",
    "colorlogtostderr",
    "log_prefix",
    "stop_logging_if_full_disk",
)
_GLOG_VALUES = ("minloglevel", "v", "stderrthreshold", "log_dir", "logbufsecs", "max_log_size", "vmodule")
_EVERYWHERE = {
    "no_python_layers": ("CAFFE_NO_PYTHON_LAYERS", "1"),
    "allow_outside": ("CAFFE_OUTPUT_FOLDERS", os.pathsep),
    "quiet": ("CAFFE_PROGRESS", "0"),
}
"""Flags of all commands: the variable, and what it is set to. (Of folders without names every one is allowed.)"""
_ENVIRONMENT = {"minloglevel": "GLOG_minloglevel", "v": "GLOG_v"}


class GflagsCommand(click.Command):
    """A click command whose arguments may be written as gflags takes them.

    glog's own flags (``--logtostderr``, ``--minloglevel=2`` …) are taken too; those that mean something to
    :mod:`caffe.logs` hold, the others change nothing.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # while a line is completed, its last flag has no value yet
        return super().parse_args(ctx, args if ctx.resilient_parsing else self.normalize(args))

    def normalize(self, args: Sequence[str]) -> list[str]:
        """The arguments in click's form. Raises click.UsageError for a switch that is neither true nor
        false.
        """
        switches, values = self._flags()
        normal: list[str] = []
        rest = list(args)
        while rest:
            token = rest.pop(0)
            if token == "--":
                return [*normal, token, *rest]
            if not token.startswith("-") or token == "-":
                normal.append(token)
                continue
            name, equals, value = token.lstrip("-").partition("=")
            key = _fold(name)
            if key in values:
                if not equals:
                    if not rest:
                        raise click.BadOptionUsage(key, f"The flag {values[key]} needs a value")
                    value = rest.pop(0)
                normal.append(f"{values[key]}={value}")
            elif key in switches:
                normal += filter(None, [switches[key][0 if _truth(name, value if equals else "true") else 1]])
            elif key in _EVERYWHERE:
                name_of, when = _EVERYWHERE[key]
                os.environ[name_of] = when if _truth(name, value if equals else "true") else ""
            elif key in _GLOG_SWITCHES or (key.startswith("no") and key[2:] in _GLOG_SWITCHES):
                continue
            elif key in _GLOG_VALUES:
                value = value if equals else (rest.pop(0) if rest else "")
                if key in _ENVIRONMENT:
                    os.environ[_ENVIRONMENT[key]] = value
            elif key in ("help", "h", "helpshort"):
                normal.append("--help")
            else:
                normal.append("--" + token.lstrip("-"))
        return normal

    def _flags(self) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """Folded name → (spelling for yes, for no) of switches, and → spelling of flags with a value."""
        switches: dict[str, tuple[str, str]] = {}
        values: dict[str, str] = {}
        for param in self.params:
            if not isinstance(param, click.Option):
                continue
            yes = _longest(param.opts)
            if param.is_flag:
                no = _longest(param.secondary_opts) if param.secondary_opts else ""
                for spelling in param.opts:
                    switches[_fold(spelling)] = (yes, no)
                for spelling in param.secondary_opts:
                    switches[_fold(spelling)] = (no, yes)
                if param.secondary_opts:
                    switches["no_" + _fold(yes)] = switches["no" + _fold(yes)] = (no, yes)
            else:
                for spelling in param.opts:
                    values[_fold(spelling)] = yes
        return switches, values


def dialect_option(function: Any) -> Any:
    """The ``--dialect`` flag of a command that builds nets."""

    def use(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value:
            from caffe import runtime

            runtime.set_dialect(value)

    return click.option(
        "--dialect",
        metavar="NAME",
        callback=use,
        expose_value=False,
        help="The fork whose layers are meant, where several have one of the same name.",
    )(function)


def run(command: click.Command, argv: Sequence[str] | None = None, name: str | None = None) -> int:
    """Run a command; returns the exit status. Errors are printed on standard error, as one message.

    What its flags set in the environment (for its worker processes, too) holds until it ends.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    environment = dict(os.environ)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _as_line(warnings.showwarning)
            return _run(command, args, name)
    finally:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def _as_line(show: Callable[..., None]) -> Callable[..., None]:
    """Our warnings as a line, without the place in the code, which is click's here."""

    def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, CaffeWarning):
            click.echo(f"Warning: {message}", err=True)
        else:
            show(message, category, *place, **more)

    return shown


def _run(command: click.Command, args: list[str], name: str | None) -> int:
    try:
        result: Any = command.main(args=args, prog_name=name or command.name, standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        error.show()
        return int(error.exit_code)
    except CaffeError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        if type(sys.stdout) is PacifyFlushWrapper:  # click's way of saying that nobody reads on: … | head
            return 0
        return stop.code if isinstance(stop.code, int) else 1
    return result if isinstance(result, int) else 0


def _fold(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _longest(spellings: Sequence[str]) -> str:
    return max(spellings, key=len)


def _truth(name: str, value: str) -> bool:
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise click.BadOptionUsage(name, f"The flag --{name} must be true or false; got '{value}'")
