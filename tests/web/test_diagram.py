"""A net on one sheet: what is in the boxes, between them, and what is drawn once."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from caffe.errors import InputError
from caffe.formats import prototxt
from caffe.proto import caffe_pb2
from caffe.web import diagram

HEAD = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 31 dim: 29 } } }"""


def conv(name, bottom, count=8, kernel=3, pad=1):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"'
        f" convolution_param {{ num_output: {count} kernel_size: {kernel} pad: {pad} }} }}"
    )


def one(layer_type, name, bottom, top=None, more=""):
    return f'layer {{ name: "{name}" type: "{layer_type}" bottom: "{bottom}" top: "{top or bottom}" {more} }}'


def dot(tmp_path, *layers, **options):
    path = tmp_path / "net.prototxt"
    path.write_text("\n".join([HEAD, *layers]), encoding="utf-8")
    return diagram.dot(prototxt.read_net(path), **options)


def nodes(text):
    return [line for line in text.splitlines() if re.match(r"\s*b\d+ \[label=", line)]


def edges(text):
    return [line.strip() for line in text.splitlines() if "->" in line]


def test_what_works_on_a_result_is_a_chip_in_its_box(tmp_path):
    text = dot(
        tmp_path,
        conv("c", "data"),
        one("BatchNorm", "bn", "c"),
        one("Scale", "scale", "c", "scaled"),  # not in place, but nobody else reads c
        one("ReLU", "relu", "scaled"),
        one("Pooling", "pool", "scaled", "pool", "pooling_param { kernel_size: 2 stride: 2 }"),
    )
    assert len(nodes(text)) == 3
    box = nodes(text)[1]
    assert [t for t in ("BN", "Scale", "ReLU") if f">{t}<" in box] == ["BN", "Scale", "ReLU"]
    assert "Convolution  3×3, 8" in box
    assert edges(text) == [
        'b0 -> b1 [label=" 3×31×29"];',
        'b1 -> b2 [label=" scaled  8×31×29"];',
    ]


def test_one_of_two_readers_keeps_a_box_of_its_own(tmp_path):
    text = dot(
        tmp_path, conv("c", "data"), one("ReLU", "r", "c", "r"), one("Eltwise", "e", "c", "e", 'bottom: "r"')
    )
    assert len(nodes(text)) == 4


def block(k, bottom):
    return [
        conv(f"b{k}_a", bottom),
        conv(f"b{k}_c", f"b{k}_a"),
        one("Eltwise", f"b{k}", f"b{k}_c", f"b{k}", f'bottom: "{bottom}"'),
    ]


def test_blocks_that_repeat_are_drawn_once(tmp_path):
    layers = [conv("start", "data")]
    for k in range(5):
        layers += block(k, f"b{k - 1}" if k else "start")
    layers.append(one("Pooling", "pool", "b4", "pool", "pooling_param { global_pooling: true }"))
    text = dot(tmp_path, *layers, columns=1)
    assert len(nodes(text)) == 1 + 1 + 3 + 1
    assert "× 5" in text
    assert edges(text)[-1] == 'b4 -> b5 [label=" 8×31×29"];'  # the last repetition's blob, at the first's box
    assert len(nodes(dot(tmp_path, *layers, columns=1, whole=True))) == 1 + 1 + 15 + 1


def test_long_nets_go_on_in_the_next_column(tmp_path):
    layers = [conv(f"c{k}", f"c{k - 1}" if k else "data", count=k + 2) for k in range(12)]
    text = dot(tmp_path, *layers, columns=3)
    assert len(nodes(text)) == 13
    for k in range(2):
        assert f"out{k} [label={'AB'[k]}" in text and f"in{k} -> b" in text
    # Nothing is lost: every layer but the first is reached
    reached = {end for edge in edges(text) for end in re.findall(r"-> (b\d+)", edge)}
    assert reached == {f"b{i}" for i in range(1, 13)}


def test_an_input_that_many_read_is_told_in_words(tmp_path):
    prior = "prior_box_param { min_size: 4 }"
    layers = [conv("c0", "data")]
    for k in range(3):
        layers += [
            conv(f"c{k + 1}", f"c{k}"),
            one("PriorBox", f"p{k}", f"c{k + 1}", f"p{k}", f'bottom: "data" {prior}'),
        ]
    text = dot(tmp_path, *layers, columns=1)
    assert text.count("(also reads data)") == 3
    assert sum("b0 -> " in edge for edge in edges(text)) == 1


def test_a_layer_that_cannot_be_is_marked(tmp_path):
    text = dot(tmp_path, conv("c", "data", kernel=99, pad=0), one("ReLU", "r", "c"))
    assert 'color="#d00000"' in text and "99" in text


def test_no_layers_is_an_error(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "d" type: "DummyData" top: "d" include { phase: TRAIN } }', encoding="utf-8"
    )
    with pytest.raises(InputError, match="no layers in this phase"):
        diagram.dot(prototxt.read_net(path), caffe_pb2.TEST)


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("Convolution", "convolution"),
        ("DeformableConvolution", "convolution"),
        ("SoftmaxWithLoss", "loss and score"),
        ("MultiBoxLoss", "detection"),
        ("BatchNorm", "normalisation"),
        ("Silence", "other"),
    ],
)
def test_kinds(type_, kind):
    assert diagram.kind_of(type_) == kind


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz's dot")
def test_graphviz_takes_it_with_any_names(tmp_path):
    text = dot(tmp_path, conv('a<b>&amp;\\"c', "data"), one("ReLU", "é/ß", 'a<b>&amp;\\"c'))
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    assert "a&lt;b&gt;&amp;amp;&quot;c" in done.stdout.decode()
