"""The files that once got through, and some new ones: all are read or refused, in every format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the fuzzer bounds processes as Linux does"
)


def fuzz(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", f"--out={tmp_path / 'found'}", *flags],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_corpus_and_new_cases(tmp_path):
    done = fuzz(tmp_path, "--cases=1920", "--seed=5", "--batch=60")
    assert done.returncode == 0, done.stdout + done.stderr
    count = sum(1 for p in (Path(__file__).parent / "corpus").rglob("*") if p.is_file())
    assert f"all {1920 + count:,}" in done.stdout


def test_what_gets_through_is_kept(tmp_path, monkeypatch):
    """A reader that raises, one that ends the process and one that stands still are told apart."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "fuzz").symlink_to(ROOT / "tests" / "fuzz")
    program = """
import os, sys, time
from tests.fuzz import __main__ as fuzz, formats
def read(path):
    data = path.read_bytes()
    if data[:1] == b"a": raise KeyError("a")
    if data[:1] == b"b": os.abort()
    if data[:1] == b"c": time.sleep(60)
fuzz.FORMATS[:] = [formats.Format("x", "bytes", lambda folder: [b"d"], read)]
fuzz.mutated = lambda *args, cases=iter([b"d", b"a1", b"d", b"b1", b"c1", b"d"]): next(cases)
fuzz.SECONDS = 1
sys.argv = ["fuzz", "--cases=6", "--out=found"]
sys.exit(fuzz.main())
"""
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["all", "6", "3", "0", "1", "1", "1"]
    assert sorted(p.read_bytes() for p in (tmp_path / "found" / "x").iterdir()) == [b"a1", b"b1", b"c1"]
