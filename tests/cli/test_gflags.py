"""Flags as gflags took them."""

from __future__ import annotations

import os
import warnings
from typing import Any

import click
import pytest

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.errors import CaffeWarning, DataError


@pytest.fixture
def seen() -> dict[str, Any]:
    return {}


@pytest.fixture
def command(seen: dict[str, Any]) -> click.Command:
    @click.command("tool", cls=GflagsCommand)
    @click.argument("names", nargs=-1)
    @click.option("--resize_height", type=int, default=0)
    @click.option("--backend", type=click.Choice(["lmdb", "leveldb"]), default="lmdb")
    @click.option("--rate", type=float, default=0.5)
    @click.option("--shuffle/--noshuffle", default=False)
    @click.option("--check_size/--nocheck_size", default=True)
    @click.option("--plain", is_flag=True)
    def tool(**values: Any) -> int:
        seen.update(values, levels=(logs.minimum_level(), logs.verbosity()), environment=dict(os.environ))
        return 0

    return tool


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--resize_height=3"], {"resize_height": 3}),
        (["--resize_height", "3"], {"resize_height": 3}),
        (["-resize_height", "3"], {"resize_height": 3}),
        (["-resize_height=3"], {"resize_height": 3}),
        (["--resize-height=3", "a", "b"], {"resize_height": 3, "names": ("a", "b")}),
        (["a", "-backend", "leveldb", "b"], {"backend": "leveldb", "names": ("a", "b")}),
        (["--rate", "-1.5"], {"rate": -1.5}),
        (["--rate=-1e-3"], {"rate": -1e-3}),
        (["--shuffle"], {"shuffle": True}),
        (["-shuffle=true"], {"shuffle": True}),
        (["--shuffle=1", "--nocheck_size"], {"shuffle": True, "check_size": False}),
        (["--noshuffle", "--check-size=False"], {"shuffle": False, "check_size": False}),
        (["--no-check-size"], {"check_size": False}),
        (["--nocheck_size=false"], {"check_size": True}),
        (["--plain"], {"plain": True}),
        (["--plain=false"], {"plain": False}),
        (["--", "--shuffle"], {"shuffle": False, "names": ("--shuffle",)}),
        (["x", "-"], {"names": ("x", "-")}),
        (["--logtostderr=1", "-alsologtostderr", "--stderrthreshold", "0", "x"], {"names": ("x",)}),
    ],
)
def test_spellings(
    command: click.Command, seen: dict[str, Any], args: list[str], expected: dict[str, Any]
) -> None:
    assert run(command, args) == 0
    assert {key: seen[key] for key in expected} == expected


def test_glog_flags_hold_until_the_command_ends(
    command: click.Command, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setenv("GLOG_v", "0")
    assert run(command, ["--minloglevel=2", "-v", "1"]) == 0
    assert seen["levels"] == (2, 1)
    assert (logs.minimum_level(), logs.verbosity()) == (0, 0)


def test_the_environment_is_as_it_was(command: click.Command, seen: dict[str, Any]) -> None:
    before = dict(os.environ)
    assert run(command, ["--no-python-layers", "--allow-outside"]) == 0
    assert seen["environment"]["CAFFE_NO_PYTHON_LAYERS"] == "1"
    assert seen["environment"]["CAFFE_OUTPUT_FOLDERS"] == os.pathsep
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--resize_hieght=3"], "--resize_height"),
        (["--shuffle=maybe"], "must be true or false; got 'maybe'"),
        (["--resize_height"], "needs a value"),
        (["--resize_height=x"], "not a valid integer"),
        (["--backend=sqlite"], "'lmdb', 'leveldb'"),
    ],
)
def test_mistakes(
    command: click.Command, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    assert run(command, args) == 2
    assert message in capsys.readouterr().err


def test_errors_are_one_message_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command("tool", cls=GflagsCommand)
    def tool() -> None:
        raise DataError("it must be so; got otherwise", file="x.txt", line=3, fix="Do this")

    assert run(tool, []) == 1
    assert capsys.readouterr().err == "Error: x.txt:3: it must be so; got otherwise. Do this\n"


def test_help(command: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    for spelling in ("--help", "-help", "-h"):
        assert run(command, [spelling]) == 0
        assert "--resize_height" in capsys.readouterr().out


def test_our_warnings_are_lines(capsys):
    @click.command()
    def warning() -> None:
        warnings.warn("mind this", CaffeWarning, stacklevel=2)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(warning, []) == 0
    assert capsys.readouterr().err == "Warning: mind this\n"
