"""caffe doctor --install: versions, devices, extras, and other packages that are called caffe."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import caffe
from caffe.cli.doctor import main
from caffe.doctor import installation
from caffe.doctor.finding import NOTE, PROBLEM


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder, and nothing else where Python looks for modules but this package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not Path(p or ".", "caffe").exists()])
    sys.path.append(str(Path(caffe.__file__).parents[1]))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


def package(folder: Path) -> Path:
    (folder / "caffe").mkdir(parents=True)
    file = folder / "caffe" / "__init__.py"
    file.write_text("", encoding="utf-8")
    return file


def test_what_is_installed(place, capsys):
    assert main(["--install"]) == 0
    told = capsys.readouterr().out
    assert f"{caffe.__version__} in {Path(caffe.__file__).parent}" in told
    for name in ("torch", "numpy", "protobuf"):
        assert metadata.version(name) in told
    assert "C++ compiler" in told and "CPU, " in told and "is whole" in told


@pytest.mark.parametrize("name", ["caffe.py", "caffe/__init__.py"])
def test_the_folder_has_a_caffe_of_its_own(place, name, capsys):
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("", encoding="utf-8")
    assert main(["--install"]) == 1
    assert "in this folder import this instead" in capsys.readouterr().out
    # which is so
    run = [sys.executable, "-c", "import caffe; print(caffe.__file__)"]
    imported = subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ).stdout.strip()
    assert Path(imported) == place / name


def test_a_checkout_of_caffe_does_no_harm_by_itself(place):
    file = package(place / "caffe" / "python")
    (found,) = installation.check(place)
    assert (found.kind, found.file) == (NOTE, str(file))
    (found,) = installation.check(place / "caffe")
    assert (found.kind, found.file) == (NOTE, str(file))


def test_another_package_on_the_path(place, monkeypatch):
    file = package(place / "old" / "python")
    monkeypatch.setenv("PYTHONPATH", str(place / "old" / "python"))
    (found,) = installation.check(place, [str(place / "old" / "python"), *sys.path])
    assert (found.kind, found.file) == (PROBLEM, str(file))
    assert found.fix == f"Take {place / 'old' / 'python'} out of PYTHONPATH"


def test_another_package_that_pip_installed(place, monkeypatch):
    package(place / "site")
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"caffe": ["caffe-torch", "caffe-old"]})
    (found,) = installation.check(place, [str(place / "site")])
    assert found.fix == "pip uninstall caffe-old"


def test_a_requirement_is_absent(place, monkeypatch):
    version = metadata.version
    absent = {"lmdb", "opencv-python-headless"}

    def without(name):
        if name in absent:
            raise metadata.PackageNotFoundError(name)
        return "5.1" if name == "opencv-python" else version(name)

    monkeypatch.setattr(metadata, "version", without)
    (found,) = installation.check(place)
    assert (found.kind, found.message) == (PROBLEM, "lmdb is not installed")  # another OpenCV is there
    assert installation.facts()["opencv-python-headless"] == "5.1"


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert installation.facts()["C++ compiler"].startswith("none: --compile needs one")


def test_nothing_to_look_at(capsys):
    assert main([]) == 2
    assert "--install" in capsys.readouterr().err
