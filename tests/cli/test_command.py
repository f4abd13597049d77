"""The installed commands where PYTHONPATH names the checkout of another Caffe."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import caffe_command

ROOT = Path(__file__).resolve().parents[2]
START = "import sys; from caffe_command import {0} as command; sys.argv[0] = '{0}'; sys.exit(command())"


def entries() -> dict[str, str]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(r"^\[project.scripts\]\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert found
    return dict(re.findall(r'^(\w+) = "(.*)"$', found[1], re.MULTILINE))


def start(name: str, *args: str, place: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(place), str(Path(caffe_command.__file__).parent)])
    return subprocess.run(
        [sys.executable, "-c", START.format(name), *args],
        cwd=place.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "old" / "caffe").mkdir(parents=True)
    (tmp_path / "old" / "caffe" / "__init__.py").write_text("from ._caffe import Net\n")
    return tmp_path / "old"


def test_each_entry_is_a_command() -> None:
    assert len(entries()) > 5
    for name, entry in entries().items():
        module, _, function = entry.partition(":")
        assert module == "caffe_command" and name in (function, "caffe")
        assert callable(getattr(caffe_command, function))


def test_an_unbuilt_checkout_on_pythonpath(checkout: Path) -> None:
    done = start("main", "doctor", "--install", place=checkout)
    assert done.returncode == 1, done.stderr
    assert f"{checkout / 'caffe' / '__init__.py'}: problem: " in done.stdout
    assert f"Take {checkout} out of PYTHONPATH" in done.stdout
    # child processes mean this package, too
    (checkout / "old.py").write_text(
        "import caffe, subprocess, sys\nprint caffe.Net.__module__\nsys.stdout.flush()\n"
        "subprocess.call([sys.executable, '-c', 'import caffe; print(caffe.__file__)'])\n"
    )
    done = start("main", "run", "old/old.py", place=checkout)
    own = str(Path(caffe_command.__file__).parent / "caffe" / "__init__.py")
    assert done.stdout.split() == ["caffe.net.net", own], done.stderr
    assert done.stderr.count("holds an unbuilt Caffe") == 1


def test_the_tools_by_their_own_names(checkout: Path) -> None:
    done = start("compute_image_mean", "--help", place=checkout)
    assert done.returncode == 0 and "compute_image_mean" in done.stdout, done.stderr
