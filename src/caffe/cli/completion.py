"""The Tab key: commands, flags and files for bash, zsh and fish, on top of click's completion.

What click does not know is that flags have one dash or two and ``-`` or ``_`` in their names, that values stand
behind ``=``, which shells cut words at in their own ways, and that most values are files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_PROGRAM, _VARIABLE = "caffe", "_CAFFE_COMPLETE"

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line
    COMPREPLY=()
    for line in $(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        if [[ $line == file ]]; then compopt -o default; else COMPREPLY+=("$line"); fi
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local line; local -a values
    local -a answer=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    local flag=""
    [[ $PREFIX == -*=* ]] && flag="${PREFIX%%%%=*}="
    for line in $answer; do
        if [[ $line == file ]]; then compset -P '-*='; _files; else values+=("$flag$line"); fi
    done
    if (( $#values )); then _describe -V %(prog_name)s values -U; fi
}
compdef %(complete_func)s %(prog_name)s
"""

_FISH = """\
function %(complete_func)s
    set -l word (commandline -ct)
    set -l flag (string match -r -- '^-[^=]*=' $word)
    set -lx COMP_WORDS (commandline -cp | string collect)
    set -lx COMP_CWORD "$word"
    set -l answer (env %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
    for line in $answer
        if test "$line" = file
            for path in (__fish_complete_path (string replace -r -- '^-[^=]*=' '' $word))
                echo "$flag$path"
            end
        else
            echo "$flag$line"
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Completion(ShellComplete):
    """What the three shells share."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        incomplete = "" if incomplete == "=" else incomplete
        words = [arg for arg in args if arg != "="]
        known = super().get_completions([_two_dashes(w) for w in words], _two_dashes(incomplete))
        if not known and words and (not incomplete.startswith("-") or "=" in incomplete):
            return [CompletionItem("", type="file")]
        return known


def _two_dashes(word: str) -> str:
    """A flag as it is declared: ``-solver=…`` and ``--dry-run`` are ``--solver=…`` and ``--dry_run``."""
    if not word.startswith("-") or word in ("-", "--", "-h"):
        return word
    name, equals, value = word.lstrip("-").partition("=")
    return "--" + name.replace("-", "_") + equals + value


class Bash(_Completion, BashComplete):
    source_template = _BASH

    def format_completion(self, item: CompletionItem) -> str:
        return "file" if item.type == "file" else str(item.value)


class Zsh(_Completion, ZshComplete):
    source_template = _ZSH

    def format_completion(self, item: CompletionItem) -> str:
        if item.type == "file":
            return "file"
        value = str(item.value).replace(":", r"\:")
        return f"{value}:{_one_line(item.help)}" if item.help else value


class Fish(_Completion, FishComplete):
    source_template = _FISH

    def format_completion(self, item: CompletionItem) -> str:
        if item.type == "file":
            return "file"
        return f"{item.value}\t{_one_line(item.help)}" if item.help else str(item.value)


def _one_line(text: str) -> str:
    return " ".join(text.split())


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}
for _name, _class in SHELLS.items():
    add_completion_class(_class, _name)


def install(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
    """Write a shell's script into the user's folders, and a line that reads it into bash's or zsh's start file.

    A line that is there already is not written again. Raises click.UsageError where the shell is none of the three.
    """
    if not shell or ctx.resilient_parsing:
        return
    if shell == "auto":
        shell = Path(os.environ.get("SHELL", "")).name
        if shell not in SHELLS:
            ctx.fail(f"Your shell ($SHELL) is none of {', '.join(SHELLS)}: say --install-completion=bash")
    from caffe.formats.atomic import replacing

    text = SHELLS[shell](ctx.command, {}, _PROGRAM, _VARIABLE).source()
    home = Path.home()
    if shell == "fish":
        script = _folder("XDG_CONFIG_HOME", home / ".config") / "fish" / "completions" / "caffe.fish"
        start = None
    else:
        script = _folder("XDG_DATA_HOME", home / ".local" / "share") / "caffe" / f"completion.{shell}"
        start = home / ".bashrc" if shell == "bash" else Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
    script.parent.mkdir(parents=True, exist_ok=True)
    with replacing(script) as path:
        path.write_text(text, encoding="utf-8")
    click.echo(f"Wrote {script}")
    if start is not None:
        _add_line(start, f'source "{script}"  # completion of caffe', needs_compinit=shell == "zsh")
    click.echo("It works in shells that are started from now on.")
    ctx.exit()


def _folder(variable: str, otherwise: Path) -> Path:
    return Path(os.environ.get(variable) or otherwise)


def _add_line(start: Path, line: str, needs_compinit: bool) -> None:
    present = start.read_text(encoding="utf-8", errors="surrogateescape") if start.exists() else ""
    if line in present.splitlines():
        click.echo(f"{start} reads it already")
        return
    if needs_compinit and "compinit" not in present:
        line = f"autoload -Uz compinit && compinit\n{line}"
    with start.open("a", encoding="utf-8") as file:
        file.write(("\n" if present and not present.endswith("\n") else "") + line + "\n")
    click.echo(f"Added a line to {start} that reads it; remove that line to undo this")


def option(function: Any) -> Any:
    """The group's ``--install-completion``."""
    return click.option(
        "--install-completion",
        is_flag=False,
        flag_value="auto",
        type=click.Choice([*SHELLS, "auto"]),
        callback=install,
        is_eager=True,
        expose_value=False,
        metavar="[SHELL]",
        help="Let the Tab key complete commands, flags and files in bash, zsh or fish, and exit.",
    )(function)
