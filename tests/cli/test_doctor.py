"""caffe doctor: what it finds in scripts and prototxts, and what it leaves alone."""

import re

import pytest

from caffe.cli.doctor import main

SCRIPT = """\
import numpy as np
import caffe, cPickle
from caffe import layers as L, params as P
caffe.set_mode_gpuu()
net = caffe.Net('model/deploy.prototxt', 'model/weights.caffemodel')
net.set_phase_test()
for i in xrange(3):
    pass
n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[2, 3]))
n.fc = L.InnerProduct(n.data, num_outputs=3, include=dict(phase=caffe.TEST))
n.out = L.Convolutoin(n.fc, P.Pooling.MAXX)
net.blobs['data'].data = np.zeros(3)
{}.iteritems()
classifier = caffe.Classifier('a', 'b', gpu=True)
"""

FINE = """\
import sys
import numpy as np
sys.path.insert(0, 'somewhere/python')
import caffe
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
caffe.set_mode_cpu()
n = caffe.NetSpec()
n.data, n.label = L.Data(source='x', backend=P.Data.LMDB, ntop=2, transform_param=dict(scale=1.0))
n.deconv = L.Deconvolution(n.data, num_output=3, kernel_size=2, in_place=False)
with open('net.prototxt', 'w') as f:
    f.write(str(n.to_proto()))
t = caffe.io.Transformer({'data': (1, 3, 4, 5)})
t.set_raw_scale('data', 255)
net = caffe.Net('net.prototxt', caffe.TEST)
net.blobs['data'].data[...] = 0
net.params['conv'][0].data[...] *= 2
print("done")
"""


def doctor(capsys, *paths):
    status = main([str(p) for p in paths])
    return status, capsys.readouterr().out


def test_a_script_with_problems(tmp_path, capsys):
    (tmp_path / "old.py").write_text(SCRIPT)
    status, out = doctor(capsys, tmp_path / "old.py")
    assert status == 1
    for line, words in (
        (2, "cPickle is Python 2's\n    Import pickle"),
        (4, "caffe has no 'set_mode_gpuu'\n    Did you mean 'set_mode_gpu'"),
        (6, "set_phase_test.*left pycaffe.*\n    Give the phase"),
        (7, "xrange is Python 2's\n    Write range"),
        (11, "InnerProduct: .*'num_outputs'\n    Did you mean 'num_output'"),
        (12, "Unknown layer type 'Convolutoin'\n    Did you mean 'Convolution'"),
        (12, "no value 'MAXX'\n    Did you mean 'MAX'"),
        (13, r"cannot be replaced\n    Assign into it: net.blobs\['data'\].data\[...\]"),
        (14, ".iteritems is Python 2's\n    Write items"),
        (15, r"gpu is gone\n    Call caffe.set_mode_gpu\(\)"),
    ):
        assert re.search(rf"old\.py:{line}: problem: .*{words}", out), words
    assert re.search(r"old.py:5: note: The file 'model/deploy.prototxt' does not exist", out)
    assert out.endswith("old.py: 10 problems\n")


def test_a_script_of_python_2(tmp_path, capsys):
    (tmp_path / "old.py").write_text(
        "import caffe\nprint 'hello'\ntry:\n  pass\nexcept Exception, e:\n  print e\nprint(3)\nraise A, 'b'\n"
    )
    status, out = doctor(capsys, tmp_path / "old.py")
    assert status == 1
    assert [int(n) for n in re.findall(r"old\.py:(\d+): problem", out)] == [2, 5, 6, 8]
    (tmp_path / "broken.py").write_text("import caffe\nx = = 3\n")
    assert "broken.py:2: problem: This is not Python 3" in doctor(capsys, tmp_path / "broken.py")[1]


def test_what_caffe_run_does_about_a_script(tmp_path, capsys):
    old = "import caffe, cPickle\nprint 'a'\n{}.has_key(3)\nimport no_such\nnet.set_phase_test()\n"
    (tmp_path / "old.py").write_text(old)
    status, out = doctor(capsys, tmp_path / "old.py")
    assert status == 1 and "2 lines translated in memory; these problems remain:" in out
    assert re.findall(r"    line (\d+): (.*)", out) == [
        ("4", "The module 'no_such' is not installed"),
        ("5", ".set_phase_test() left pycaffe's nets in 2014 or 2015"),
    ]
    (tmp_path / "cured.py").write_text("import urllib2, cpu_nms\n")
    (tmp_path / "cpu_nms.pyx").write_text("")
    out = doctor(capsys, tmp_path / "cured.py")[1]
    assert "urllib2 is Python 2's" in out and "caffe run runs this as it is, 0 lines" in out
    assert "remain" not in out
    (tmp_path / "broken.py").write_text("print 'a'\nx = = 3\n")
    status, out = doctor(capsys, tmp_path / "broken.py")
    assert status == 1 and "caffe run" not in out


def test_a_notebook(tmp_path, capsys):
    nbformat = pytest.importorskip("nbformat")
    v4 = nbformat.v4
    cells = ["%matplotlib inline\nimport caffe", "%%bash\nls", "print 'a'\ncaffe.set_mode_gpuu()", "x = = 3"]
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(c) for c in cells]), tmp_path / "a.ipynb")
    status, out = doctor(capsys, tmp_path / "a.ipynb")
    assert status == 1
    assert "a.ipynb, cell 3:2: problem: caffe has no 'set_mode_gpuu'" in out
    assert re.search(r"a.ipynb, cell 4:1: problem: Neither Python 3 nor Python 2", out)
    assert "2 lines translated in memory" in out and out.endswith("a.ipynb: 2 problems\n")
    (tmp_path / "b.ipynb").write_text("{}")
    assert doctor(capsys, tmp_path / "b.ipynb")[0] == 1


def test_a_script_that_is_fine(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.py").write_text(FINE)
    assert doctor(capsys, "new.py") == (0, "new.py: nothing stands in the way\n")


LAYER = 'layer {{ name: "{0}" type: "{1}" bottom: "data" top: "{0}" {2} }}\n'
INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }\n'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (INPUT + LAYER.format("a", "ReLUU", ""), "net.prototxt:2: problem: .*'a'.*ReLUU.*\n.*'ReLU'"),
        (INPUT + LAYER.format("a", "ReLU", "relu_parm { }"), r"net.prototxt:2: problem.*relu_parm"),
        (
            INPUT + LAYER.format("a", "Python", 'python_param { module: "no_such" layer: "A" }'),
            "module 'no_such'",
        ),
        (
            INPUT + LAYER.format("a", "Pooling", "pooling_param { kernel_size: 9 }"),
            "net.prototxt:2: problem.*'a'",
        ),
        (INPUT + 'layer { name: "a" type: "ReLU" bottom: "b" top: "a" }', "net.prototxt:2: problem.*'b'"),
        (
            'layer { name: "d" type: "Data" top: "d" data_param { source: "no_lmdb" batch_size: 2 } }',
            "'d'.*source 'no_lmdb' does not exist",
        ),
    ],
)
def test_nets_with_problems(tmp_path, capsys, text, words):
    (tmp_path / "net.prototxt").write_text(text)
    status, out = doctor(capsys, tmp_path / "net.prototxt")
    assert status == 1 and re.search(words, out), out


def test_nets_that_are_fine(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(
        INPUT + LAYER.format("a", "Permute", "permute_param { order: 1 order: 0 }")
    )
    status, out = doctor(capsys, tmp_path / "net.prototxt")
    assert status == 0 and "note: Permute is a layer of SSD" in out
    old = 'input: "data" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5\nlayers { name: "a" type: RELU '
    (tmp_path / "old.prototxt").write_text(old + 'bottom: "data" top: "a" }')
    status, out = doctor(capsys, tmp_path / "old.prototxt")
    assert status == 0 and "version 1" in out and "caffe upgrade_net_proto_text" in out


def test_solvers(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(INPUT + LAYER.format("a", "ReLUU", ""))
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" type: "Adamm" base_lr: 0.1 lr_policy: "fixd" snapshot: 2 snapshot_prefix: "no/where"'
    )
    status, out = doctor(capsys, tmp_path / "solver.prototxt")
    assert status == 1
    for words in ("'Adamm'\n    Did you mean 'Adam'", "fixd", "'no', does not exist\n    mkdir", "ReLUU"):
        assert words in out
    (tmp_path / "solver.prototxt").write_text('net: "none.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    assert "'none.prototxt' does not exist" in doctor(capsys, tmp_path / "solver.prototxt")[1]


def test_a_file_that_does_not_exist(tmp_path, capsys):
    assert main([str(tmp_path / "none.py")]) == 1
    assert "none.py: This file does not exist" in capsys.readouterr().err


def test_a_folder_stands_for_what_is_in_it_and_below(tmp_path, capsys):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "net.prototxt").write_text(INPUT + LAYER.format("a", "ReLUU", ""))
    (tmp_path / "fine.py").write_text(FINE)
    (tmp_path / "words.txt").write_text("no net")
    status, out = doctor(capsys, tmp_path)
    assert (
        status == 1 and "ReLUU" in out and "fine.py: nothing stands in the way" in out and "words" not in out
    )
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 1
    assert "no files of .prototxt, .py, .ipynb in this folder" in capsys.readouterr().err
