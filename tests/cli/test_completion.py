"""The Tab key in real shells, and what ``caffe --install-completion`` writes."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffe.cli.main import main

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
START = {"bash": ["--rcfile", ".bashrc", "-i"], "zsh": ["-i"]}
LINES = [
    ("caffe tim", "caffe time "),
    ("caffe train --solv", "caffe train --solver "),
    ("caffe train -solv", "caffe train --solver "),
    ("caffe train --solver=sol", "caffe train --solver=solver_of_mine.prototxt "),
    ("caffe train --solver sol", "caffe train --solver solver_of_mine.prototxt "),
    ("caffe convert_imageset --backend=lm", "caffe convert_imageset --backend=lmdb "),
    ("caffe db ver", "caffe db verify "),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the user's home, with a solver in it, and ``caffe`` in the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    caffe = programs / "caffe"
    caffe.write_text(
        f"#!{sys.executable}\nimport sys\nfrom caffe.cli.main import main\nsys.exit(main())\n",
        encoding="utf-8",
    )
    caffe.chmod(0o755)
    (tmp_path / "solver_of_mine.prototxt").touch()
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def installed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.mark.parametrize("shell", START)
def test_tab(shell: str, home: Path) -> None:
    """Each line, its Tab and its end, typed into an interactive shell: the words are what the shell then has."""
    program = installed(shell)
    assert main(["--install-completion", shell]) == 0
    with (home / f".{shell}rc").open("a", encoding="utf-8") as file:
        file.write("PS1=\n")
    child, terminal = pty.fork()
    if child == 0:
        os.execv(program, [shell, *START[shell]])
    try:
        show(terminal, b"echo READ''Y\n", b"READY")
        for typed, completed in LINES:
            seen = show(terminal, typed.encode() + b"\t", completed.encode())
            assert completed in seen, f"{typed!r} and Tab became {seen!r}"
            os.write(terminal, b"\x15")  # forget the line
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)


def show(terminal: int, keys: bytes, until: bytes) -> str:
    """Type keys; what the terminal shows until some text has come, or for a minute."""
    os.write(terminal, keys)
    seen, end = b"", time.monotonic() + 60
    while until not in plain(seen) and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536)
    return plain(seen).decode(errors="replace")


def plain(seen: bytes) -> bytes:
    """The text without the terminal's control sequences; what is backed over is gone."""
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x07|\r", b"", seen)
    while b"\x08" in text:
        text = re.sub(rb"(?:[^\x08]|^)\x08", b"", text, count=1)
    return text


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_fish(typed: str, completed: str, home: Path) -> None:
    program = installed("fish")
    assert main(["--install-completion=fish"]) == 0
    done = subprocess.run(
        [program, "-c", f"complete -C '{typed}'"], capture_output=True, text=True, timeout=120, check=True
    )
    assert completed.split()[-1] in [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_a_line_is_added_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = home / ".bashrc"
    start.write_bytes(b"alias x=y # \xff")
    for _ in range(2):
        assert main(["--install-completion=bash"]) == 0
    lines = start.read_bytes().splitlines()
    assert lines[0] == b"alias x=y # \xff"
    assert len(lines) == 2 and lines[1].startswith(b"source ")
    assert "reads it already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "shell", "said"),
    [
        (["--install-completion"], "/bin/ksh", "say --install-completion=bash"),
        (["--install-completion=tcsh"], "/bin/bash", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_other_shells(
    words: list[str],
    shell: str,
    said: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not (home / ".bashrc").exists()
