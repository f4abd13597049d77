"""Reading text files: what the original reads is read, what is broken is explained."""

import re
import warnings

import pytest
from support_assets import assets

from caffe import errors
from caffe.formats import prototxt
from caffe.formats.prototxt import parse_net, parse_solver, read_net, read_solver
from caffe.proto import caffe_pb2

NET = """\
# a comment with { brackets and "quotes
name: "net # { not a comment"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 } } }

layer {
  type: "Convolution"
  convolution_param < num_output: 4; pad: [1, 2], kernel_size: 3 >
  name: 'conv {'
} layer { name: "last"
}"""


def test_net_with_lines():
    net = parse_net(NET, file="some.prototxt")
    assert [layer.name for layer in net.param.layer] == ["data", "conv {", "last"]
    assert list(net.param.layer[1].convolution_param.pad) == [1, 2]
    assert net.lines == [3, 6, 10]
    assert net.file == "some.prototxt"


@pytest.mark.parametrize(
    "text",
    [
        "\ufefflayer { lrn_param { alpha: 1.0f beta: .75 k: 2. } }",
        "layer: { lrn_param: { alpha: 1f beta: 75e-2 k: 2 } }",
        "layer { lrn_param { alpha: 1 beta: 0.75 k: 2 } }\r\n\r\n",
    ],
)
def test_spellings_of_numbers(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_bytes(text.encode())
    lrn = read_net(path).param.layer[0].lrn_param
    assert (lrn.alpha, lrn.beta, lrn.k) == (1, 0.75, 2)


def test_latin_1_in_a_comment(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'# caf\xe9\nname: "n"')
    assert read_net(path).param.name == "n"


def test_strings_may_hold_anything():
    net = parse_net(
        'name: "a" "b\\n\\"c" # d\nlayer { python_param { param_str: "{\'x\': [1, 2]}" } }\nlayer {}'
    )
    assert net.param.name == 'ab\n"c'
    assert net.lines == [2, 3]


def test_version_0_and_1_lines():
    net = parse_net('layers { layer { name: "a" } }\nlayers { name: "b" type: RELU }')
    assert net.lines == [1, 2]
    assert [block.name for block in prototxt.Source('layers { layer { name: "a" } }').layers] == ["a"]


BROKEN = {
    "typo of a field": (
        NET.replace("num_output", "num_outptu"),
        ["f.prototxt:8", "layer 'conv {' (Convolution)", "field 'num_outptu'", "Did you mean 'num_output'?"],
    ),
    "typo of an enum": (
        'layer {\n name: "p"\n pooling_param {\n  pool: AVG } }',
        ["f.prototxt:4", "layer 'p'", "field 'pool'", "got AVG", "Did you mean 'AVE'?"],
    ),
    "short enums are listed": (
        "layer { data_param { backend: HDF5 } }",
        ["must be LEVELDB or LMDB; got HDF5"],
    ),
    "not an integer": (
        "layer {\n inner_product_param { num_output: ten } }",
        ["f.prototxt:2", "'num_output'", "'ten'"],
    ),
    "a float for an integer": (
        "layer { concat_param { axis: 1.5 } }",
        ["field 'axis'", "must be an integer", "1.5"],
    ),
    "not a number": ('layer { lrn_param { alpha: "x" } }', ["field 'alpha'", "must be a number"]),
    "not a string": ("layer { name: conv1 }", ["field 'name'", "must be a string in quotes", "conv1"]),
    "out of range": ("layer { convolution_param { pad: -1 } }", ["field 'pad'", "range", "got -1"]),
    "an old type in layer": ("layer { type: RELU }", ["must be a string in quotes", "'layers'"]),
    "a quote missing": ('layer {\n name: "a\n}', ["f.prototxt:2", "'name'", "quote"]),
    "an enum's number": ("layer { pooling_param { pool: 7 } }", ["field 'pool'", "got 7"]),
    "a decimal comma": ("layer { relu_param { negative_slope: 0,1 } }", ["written with a point"]),
    "given twice": (
        "layer { pooling_param { stride: 1\n stride: 2 } }",
        ["field 'stride'", "must be given once"],
    ),
    "not closed": ('layer { name: "a"\n', ["f.prototxt"]),
    "closed twice": ("layer { } }", ["f.prototxt:1"]),
    "a solver": ('net: "x"', ["field 'net'", "definition of a solver"]),
    "a type in quotes in layers": ('layers {\n type: "ReLU" }', ["f.prototxt:2", "blocks called 'layer'"]),
    "a field of an unsupported fork": ("layer { st_param { } }", ["spatial transformer"]),
    "a required field": (
        'layer { name: "a" }\nlayer { name: "b" type: "Clip" clip_param { min: 1 } }',
        ["f.prototxt:2", "layer 'b' (Clip)", "field 'clip_param.max'"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_text_is_explained(case):
    text, parts = BROKEN[case]
    with pytest.raises(errors.ParseError) as caught:
        parse_net(text, file="f.prototxt")
    for part in parts:
        assert part in str(caught.value)


def test_a_net_given_as_solver():
    with pytest.raises(errors.ParseError, match="definition of a net"):
        parse_solver('name: "n"')


def test_solver_with_several_devices():
    with pytest.warns(errors.CaffeWarning, match="only the first, 3"):
        solver = parse_solver("base_lr: 0.1\ndevice_id: [3, 4]\nmax_iter: 7")
    assert (solver.device_id, solver.max_iter) == (3, 7)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(errors.MissingFileError, match="nothing"):
        read_net(tmp_path / "nothing.prototxt")
    with pytest.raises(errors.FileAccessError):
        read_net(tmp_path)
    weights = tmp_path / "w.caffemodel"
    weights.write_bytes(b"\x0a\x00\x00")
    with pytest.raises(errors.ParseError, match="binary"):
        read_net(weights)


TALL = """layer { name: "a" twist: 3 turn { deep: 1 names: ["b", "c"] }
  convolution_param { swirl: "x" "y" num_output: 5 } }
layer { name: "b" }"""


def test_permissive(monkeypatch):
    with pytest.raises(errors.ParseError):
        parse_net(TALL)
    with pytest.warns(errors.CaffeWarning) as caught:
        net = parse_net(TALL, permissive=True)
    assert len(caught) == 1
    assert re.findall(r"(\w+) \(line (\d)\)", str(caught[0].message)) == [
        ("twist", "1"),
        ("turn", "1"),
        ("swirl", "2"),
    ]
    assert net.param.layer[0].convolution_param.num_output == 5
    monkeypatch.setenv("CAFFE_PERMISSIVE", "1")
    with pytest.warns(errors.CaffeWarning):
        parse_net(TALL)
    parse_net(NET)  # nothing unknown, no warning


def test_write_and_read(tmp_path):
    path = tmp_path / "net.prototxt"
    net = parse_net(NET).param
    prototxt.write(path, net)
    assert read_net(path).param == net
    assert [p.name for p in tmp_path.iterdir()] == ["net.prototxt"]


def test_other_messages(tmp_path):
    path = tmp_path / "labelmap.prototxt"
    path.write_text('item { name: "cat" label: 3 }')
    assert prototxt.read(path, caffe_pb2.LabelMap()).item[0].label == 3


def zoo_files():
    root = assets("zoo")
    # Vitis-AI's library keeps descriptions of processors and of its models under the same ending
    return [p for p in sorted(root.rglob("*")) if p.is_file() and "vai_" not in str(p)]


def test_real_files():
    """All but a few of the real files, which are templates or broken, are read; layers and lines agree."""
    files = zoo_files()
    broken = []
    for path in files[::9]:
        text = prototxt.read_text(path)
        if re.match(r"(\s|#.*\n)*item\s*\{", text):
            continue
        is_solver = re.search(r"^\s*(net|train_net|max_iter)\s*:", text, re.MULTILINE)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.CaffeWarning)
                net = None if is_solver else read_net(path)
                if is_solver:
                    read_solver(path)
        except errors.ParseError as error:
            assert error.line is not None
            broken.append(str(error))
        else:
            if net is not None:
                assert len(net.lines) == len(net.param.layer) + len(net.param.layers), path
    assert len(broken) <= len(files[::9]) * 0.02, broken
