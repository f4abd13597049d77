"""caffe run: old scripts as their users run them, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from caffe.cli.run import main

SCRIPT = """\
import sys
caffe_root = '../nowhere/'  # this file is expected to be in {caffe_root}/examples
sys.path.insert(0, caffe_root + 'python')
sys.path.insert(0, './checkout/python')
import caffe
import numpy as np
from helpers import halves

net = caffe.Net('net.prototxt', caffe.TEST)
net.blobs['data'].data[...] = np.arange(6, dtype=np.float).reshape(2, 3)
for name, blob in net.forward().iteritems():
    print name, blob.tolist(), halves(7)
print sys.argv[1:], __name__, sys.argv[0]
def fails(x):
    return x / 0  # what the user wrote
if len(sys.argv) > 2:
    fails(3)
"""
HELPERS = "def halves(n):\n\treturn n / 2\n"
NET = """\
layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 3 } } }
layer { name: 'twice' type: 'Power' bottom: 'data' top: 'twice' power_param { scale: 2 } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "old.py").write_text(SCRIPT)
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "net.prototxt").write_text(NET)
    shadow = tmp_path / "checkout" / "python" / "caffe"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("from .pycaffe import Net\nfrom ._caffe import set_mode_cpu\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CAFFE_ROOT", raising=False)
    return tmp_path


def caffe(*arguments):
    environment = {**os.environ, "GLOG_minloglevel": "2"}
    environment.pop("DISPLAY", None)
    return subprocess.run(
        [sys.executable, "-m", "caffe", *arguments], capture_output=True, text=True, timeout=120, env=environment
    )  # fmt: skip


def test_a_script_runs_and_shows_its_own_lines(folder):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    done = caffe("run", "old.py", "--its-own", "flag")
    assert done.stdout == (
        "twice [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]] 3\n['--its-own', 'flag'] __main__ old.py\n"
    )
    assert done.returncode == 1
    shown = done.stderr.split("Traceback", 1)[1].splitlines()
    assert shown[1:] == [
        f'  File "{folder}/old.py", line 17, in <module>', "    fails(3)",
        f'  File "{folder}/old.py", line 15, in fails', "    return x / 0  # what the user wrote",
        *shown[5:],
    ]  # fmt: skip
    assert shown[-1].startswith("ZeroDivisionError")
    assert "'../nowhere/' is no Caffe checkout" in done.stderr
    assert "./checkout/python holds an unbuilt Caffe; 'import caffe' is this package's" in done.stderr
    assert {p: p.read_bytes() for p in before} == before
    assert not list(folder.rglob("*.pyc"))


def test_explain_lists_and_runs_nothing(folder, capsys):
    (folder / "old.py").write_text(SCRIPT + "open('made', 'w')\n")
    assert main(["--explain", "old.py"]) == 0
    told = capsys.readouterr().out
    assert f"{folder}/old.py: line 12: print is a function\n    - print name, blob" in told
    assert f"{folder}/helpers.py: line 2: / of integers is //" in told
    assert told.endswith("8 lines would be changed\n")
    assert not (folder / "made").exists()


def test_a_script_of_today_is_not_changed(folder, capsys):
    (folder / "today.py").write_text("import caffe\nprint(7 / 2)\n")
    assert main(["--explain", "today.py"]) == 0
    assert capsys.readouterr().out == "Nothing would be changed\n"


def test_write_saves_what_runs_without_us(folder, capsys):
    assert main(["--write=new", "old.py"]) == 0
    (folder / "new" / "net.prototxt").write_text(NET)
    done = subprocess.run([sys.executable, "old.py"], cwd="new", capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("twice [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]] 3\n"), done.stderr
    assert (folder / "old.py").read_text() == SCRIPT
    assert main(["--write=new", "old.py"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["--write=new", "--overwrite", "old.py"]) == 0
    assert main(["--write=.", "--overwrite", "old.py"]) == 1  # never the script itself


def test_exit_statuses(folder):
    (folder / "stops.py").write_text("import sys\nprint 'x'\nsys.exit(int(sys.argv[1]))\n")
    assert caffe("run", "stops.py", "3").returncode == 3
    (folder / "says.py").write_text("import sys\nsys.exit('no ' + `3`)\n")
    done = caffe("run", "says.py")
    assert (done.returncode, done.stderr) == (1, "no 3\n")


def test_what_cannot_be_read_is_told(folder, capsys):
    (folder / "broken.py").write_text("print 'a'\nfor in 3:\n")
    assert main(["broken.py"]) == 1
    told = capsys.readouterr().err
    assert "broken.py:2" in told and "for in 3:" in told
    assert main(["absent.py"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_figures_are_written_where_there_is_no_screen(folder):
    pytest.importorskip("matplotlib")
    (folder / "plots.py").write_text(
        "import matplotlib.pyplot as plt\nplt.plot([1, 3])\nplt.show()\nplt.hold(True)\n"
        "plt.imshow([[1, 2]], cmap='gray')\nprint 'end'\n"
    )
    done = caffe("run", "plots.py")
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert sorted(p.name for p in (folder / "plots_figures").iterdir()) == ["01.png", "02.png"]
    assert (folder / "plots_figures" / "01.png").read_bytes()[:4] == b"\x89PNG"


def test_arrays_of_objects_are_read_with_consent_only(folder):
    import numpy as np

    np.save("labels.npy", np.array(["a", ["b"]], dtype=object), allow_pickle=True)
    (folder / "loads.py").write_text("import numpy as np\nprint np.load('labels.npy')[1]\n")
    done = caffe("run", "loads.py")
    assert done.returncode == 1
    assert "caffe run --allow_pickle SCRIPT" in done.stderr
    assert caffe("run", "--allow_pickle", "loads.py").stdout == "['b']\n"


def test_a_package_of_the_users(folder):
    package = folder / "lib" / "pack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from part import value\n")
    (package / "part.py").write_text("import other\nvalue = `other.three`\n")
    (package / "other.py").write_text("three = 7 / 2\n")
    (folder / "uses.py").write_text(
        "import sys; sys.path.append('lib')\nfrom pack import value\nprint value\n"
    )
    assert caffe("run", "uses.py").stdout == "3\n"


def test_detectors_extensions_need_no_compiler(folder):
    package = folder / "nms"
    package.mkdir()
    for name, text in (
        ("__init__.py", ""),
        ("cpu_nms.pyx", "cimport numpy"),
        ("bbox.pyx", ""),
        ("other.pyx", ""),
    ):
        (package / name).write_text(text)
    (folder / "finds.py").write_text(
        "import numpy as np\nimport nms.other\nfrom nms.cpu_nms import cpu_nms\n"
        "from nms.cython_bbox import bbox_overlaps\n"
        "d = np.array([[0, 0, 9, 9, .5], [0, 0, 9, 4, .9], [50, 50, 60, 60, .7], [0, 0, 9, 5, .6]])\n"
        "d = d.astype(np.float32)\n"
        "print cpu_nms(d, 0.5), bbox_overlaps(d[:1, :4], d[1:3, :4]).tolist()\nnms.other.anything(3)\n"
    )
    done = caffe("run", "finds.py")
    # 10×5 of 10×10 is exactly a half: too much for cpu_nms
    assert done.stdout == "[1, 2] [[0.5, 0.0]]\n"
    assert "'anything' is in a Cython extension that is not built" in done.stderr
    assert "python setup.py build_ext --inplace" in done.stderr


def test_paths_into_a_checkout_that_is_not_there(folder, monkeypatch):
    for name in ("models/some", "data/ilsvrc12"):
        (folder / "root" / name).mkdir(parents=True)
    (folder / "root/models/some/deploy.prototxt").write_text(NET)
    monkeypatch.setenv("CAFFE_ROOT", str(folder / "root"))
    (folder / "paths.py").write_text(
        "import os, caffe\npath = '../caffe-ssd/models/some/'\n"
        "print caffe.Net(path + 'deploy.prototxt', caffe.TEST).blobs.keys()\n"
        "print 'see caffe/models/x for more', '/own/models/y', os.path.relpath('~/caffe/data/ilsvrc12')\n"
    )
    done = caffe("run", "paths.py")
    assert done.stdout == "['data', 'twice']\nsee caffe/models/x for more /own/models/y root/data/ilsvrc12\n"
    assert done.stderr.count("is no Caffe checkout") == 2


def test_what_was_a_list_names_the_flag(folder):
    (folder / "k.py").write_text("d = {3: 4}\nkeys = d.keys()\nprint(keys[0])\n")
    plain = subprocess.run(
        [sys.executable, "-m", "caffe", "run", "k.py"], capture_output=True, text=True, check=False
    )
    assert plain.returncode == 1 and "caffe run --python2" in plain.stderr
    told = subprocess.run(
        [sys.executable, "-m", "caffe", "run", "--python2", "k.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "3\n", "")
