"""The table of commands, and the help that shows it."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import caffe.cli
from caffe.cli.commands import COMMANDS, GROUPS, load
from caffe.cli.main import main

Capture = pytest.CaptureFixture[str]


def every_command() -> list[list[str]]:
    """Each command's words, those within groups, too."""
    found = [[]]
    for name in COMMANDS:
        loaded = load(name)
        found.append([name])
        if isinstance(loaded, click.Group):
            found += [[name, sub] for sub in loaded.commands]
    return found


def test_the_table_is_whole() -> None:
    """Each module here with a command at its top is in it, once."""
    folder = Path(caffe.cli.__file__).parent
    modules = [
        path.stem
        for path in folder.glob("*.py")
        if path.stem != "main"
        and any(
            isinstance(n, ast.FunctionDef) and n.name == "command" for n in ast.parse(path.read_text()).body
        )
    ]
    listed = [entry.module or entry.name for entries in GROUPS.values() for entry in entries]
    assert sorted(listed) == sorted(modules)
    for entry in COMMANDS.values():
        assert 10 <= len(entry.help) <= 50 and not entry.help.endswith(".")


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help(words: list[str], capsys: Capture) -> None:
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {' '.join(['caffe', *words])}")
    assert "--help" in shown


@pytest.mark.parametrize("words", every_command()[1:], ids=" ".join)
def test_help_has_an_example_that_is_understood(
    words: list[str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = load(words[0])
    if isinstance(command, click.Group):
        if len(words) == 1:  # its commands have examples
            return
        command = command.commands[words[1]]
    assert main([*words, "--help"]) == 0
    before = (
        capsys.readouterr().out.split("\nOptions:")[0].replace("    caffe", "  caffe").replace("\\\n", "")
    )
    lines = [shlex.split(line, comments=True) for line in before.splitlines() if line.startswith("  caffe ")]
    examples = [line[1 + len(words) :] for line in lines if line[: 1 + len(words)] == ["caffe", *words]]
    assert examples
    monkeypatch.chdir(tmp_path)
    for example in examples:
        for word in example:  # some flags want a file or folder that is there
            file = Path(word.rpartition("=")[2])
            if not file.is_absolute():
                (file.parent if file.suffix else file).mkdir(parents=True, exist_ok=True)
            if file.suffix and not file.is_absolute():
                file.touch()
        with command.make_context(" ".join(words), list(example)):
            pass


@pytest.mark.parametrize("words", [[], ["help"], ["-help"], ["-h"]], ids=str)
def test_help_of_all(words: list[str], capsys: Capture) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    for group, entries in GROUPS.items():
        assert f"{group}:\n" in shown
        for entry in entries:
            assert f"  {entry.name} " in shown and entry.help in shown


def test_help_of_one(capsys: Capture) -> None:
    assert main(["help", "train"]) == 0
    assert capsys.readouterr().out.startswith("Usage: caffe train")


@pytest.mark.parametrize("word", ["version", "--version", "-version"])
def test_version(word: str, capsys: Capture) -> None:
    assert main([word]) == 0
    assert caffe.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tarin"], r"There is no command 'tarin'. Did you mean 'train' or 'trainval'\?"),
        (["help", "plott"], r"There is no command 'plott'. Did you mean 'plot'\?"),
        (
            ["-solver", "x.prototxt", "trian"],
            r"There is no command 'trian'. Did you mean 'train' or 'trainval'\?",
        ),
        (["zzz"], r"There is no command 'zzz'. 'caffe --help' lists them"),
        (["--solver=x.prototxt"], r"A command is missing. 'caffe --help' lists them"),
    ],
)
def test_unknown_commands(words: list[str], said: str, capsys: Capture) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert re.search(said, shown.err)


@pytest.mark.parametrize("flag", [["--solver=nowhere.prototxt"], ["-solver", "nowhere.prototxt"]], ids=str)
def test_flags_before_the_command(flag: list[str], capsys: Capture) -> None:
    assert main([*flag, "train"]) == 1
    assert "nowhere.prototxt" in capsys.readouterr().err


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from caffe.cli.main import main; sys.exit(main())", *words],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.parametrize("words", [[], ["--help"], ["tarin"]], ids=str)
def test_no_command_is_imported_for_help(words: list[str]) -> None:
    code = (
        "import sys; from caffe.cli.main import main; main(sys.argv[1:])\n"
        "print(sorted(m for m in sys.modules if m in ('torch', 'numpy', 'google.protobuf')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "completed"),
    [("caffe tra", "train"), ("caffe train --solv", "--solver"), ("caffe db ver", "verify")],
)
def test_completion(words: str, completed: str) -> None:
    done = run(_CAFFE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
    assert completed in [line.split(",")[-1] for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = run(_CAFFE_COMPLETE=f"{shell}_source")
    assert "_CAFFE_COMPLETE" in done.stdout, done.stderr
