"""Code and output of nets from strangers: refused, named in the log, or kept within folders, as the user says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import caffe
from caffe import errors

INPUT = 'layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }\n'
EVIL = (
    INPUT
    + 'layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "evil" layer: "L" } }'
)
CODE = 'open("ran", "w").close()\nimport caffe\nclass L(caffe.Layer):\n    pass\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    (tmp_path / "evil.py").write_text(CODE)
    (tmp_path / "n.prototxt").write_text(EVIL)
    return tmp_path


def command(*args, **environment):
    return subprocess.run(
        [sys.executable, "-m", "caffe", *args],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def test_refused_by_the_environment(folder, monkeypatch):
    monkeypatch.setenv("CAFFE_NO_PYTHON_LAYERS", "1")
    with pytest.raises(errors.LayerError, match="Python layers are refused") as caught:
        caffe.Net("n.prototxt", caffe.TEST)
    assert caught.value.layer == "p"
    assert not (folder / "ran").exists()


def test_what_is_built_in_goes_on(folder, monkeypatch):
    monkeypatch.setenv("CAFFE_NO_PYTHON_LAYERS", "1")
    (folder / "pad.prototxt").write_text(
        INPUT
        + 'layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "pad" layer: "PadTensor"'
        " param_str: \"{'pad_mode': 'edge', 'pad_l': 1, 'pad_r': 2, 'pad_t': 3, 'pad_b': 1}\" } }"
    )
    assert caffe.Net("pad.prototxt", caffe.TEST).blobs["y"].shape == (2, 3, 13, 11)


@pytest.mark.parametrize("flag", ["--no-python-layers", "-no_python_layers=true"])
def test_refused_by_a_flag(folder, flag):
    done = command("time", "--model=n.prototxt", flag)
    assert done.returncode == 1
    assert "Python layers are refused" in done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["doctor", "lint"])
@pytest.mark.parametrize("module", ["evil", "package.evil"])
def test_looking_at_a_net_runs_nothing(folder, name, module):
    (folder / "package").mkdir()
    (folder / "package/__init__.py").write_text(CODE)
    (folder / "package/evil.py").write_text(CODE)
    (folder / "n.prototxt").write_text(EVIL.replace('"evil"', f'"{module}"'))
    done = command(name, "n.prototxt")
    assert "Traceback" not in done.stderr
    assert not (folder / "ran").exists()


def test_the_first_load_is_logged_with_its_file(folder):
    (folder / "package").mkdir()
    (folder / "package/__init__.py").write_text(CODE)
    (folder / "package/evil.py").write_text(CODE.replace("pass", "def forward(self, bottom, top): pass"))
    text = EVIL.replace('"evil"', '"package.evil"')
    (folder / "n.prototxt").write_text(
        text + text.replace(INPUT, "").replace('"y"', '"z"').replace('"p"', '"q"')
    )
    program = "import caffe; caffe.Net('n.prototxt', caffe.TEST)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "GLOG_minloglevel": "0"},
    )
    assert (folder / "ran").exists(), done.stderr
    place = folder / "package" / "evil.py"
    assert done.stderr.count(f"Python layers of the module 'package.evil' run the code of {place}") == 1


def output(name):
    what = f'hdf5_output_param {{ file_name: "{name}" }}'
    return INPUT + f'layer {{ name: "o" type: "HDF5Output" bottom: "x" bottom: "t" {what} }}'


@pytest.mark.parametrize("name", ["../out.h5", "/tmp/out-of-a-stranger.h5", "link/out.h5"])
def test_nets_write_within_the_folders_that_the_user_names(folder, monkeypatch, name):
    inside = folder / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(folder)
    monkeypatch.chdir(inside)
    monkeypatch.setenv("CAFFE_OUTPUT_FOLDERS", str(inside))
    (inside / "n.prototxt").write_text(output(name))
    with pytest.raises(errors.LayerError, match=r"must write within .* --allow-outside"):
        caffe.Net("n.prototxt", caffe.TEST)
    (inside / "m.prototxt").write_text(output("here.h5"))
    caffe.Net("m.prototxt", caffe.TEST).forward()
    assert (inside / "here.h5").exists()
