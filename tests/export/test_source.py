"""Nets as source code: that it runs without this package, computes the same, and reads well."""

import subprocess
import sys

import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe import export
from caffe.cli.main import main
from caffe.export import source

pytest.importorskip("safetensors")

HEAD = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: DEPTH dim: 12 dim: 10 } } }
"""


def conv(name, bottom, count, more=""):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{'
        f' num_output: {count} kernel_size: 1 {more} weight_filler {{ type: "xavier" }} }} }}\n'
        f'layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}\n'
    )


def fire(name, bottom, squeezed, count):
    return (
        conv(f"{name}/squeeze", bottom, squeezed)
        + conv(f"{name}/left", f"{name}/squeeze", count)
        + conv(f"{name}/right", f"{name}/squeeze", count)
        + f'layer {{ name: "{name}/concat" type: "Concat" bottom: "{name}/left" bottom: "{name}/right"'
        f' top: "{name}/concat" }}\n'
    )


@pytest.fixture
def fires(tmp_path):
    text = HEAD.replace("DEPTH", "3") + fire("fire2", "data", 4, 5) + fire("fire3", "fire2/concat", 6, 7)
    (tmp_path / "net.prototxt").write_text(text)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_what_repeats_is_a_class(fires):
    text, state = source.source(export.to_torch(fires).eval())
    assert "class FireBlock(nn.Module):" in text
    assert "self.fire2 = FireBlock(3, 4, 5)" in text and "self.fire3 = FireBlock(10, 6, 7)" in text
    assert "y = F.relu(self.squeeze(x))" in text or "x = F.relu(self.squeeze(x))" in text
    assert sorted(state)[:2] == ["fire2.left.bias", "fire2.left.weight"] and len(state) == 12
    assert not [line for line in text.splitlines() if len(line) > 120]


SSD = """
layer { name: "LOC" type: "Convolution" bottom: "FROM" top: "LOC"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "LOC_perm" type: "Permute" bottom: "LOC" top: "LOC_perm"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "LOC_flat" type: "Flatten" bottom: "LOC_perm" top: "LOC_flat" flatten_param { axis: 1 } }
"""
PRIORS = """
layer { name: "FROM_mbox_priorbox" type: "PriorBox" bottom: "FROM" bottom: "data" top: "FROM_mbox_priorbox"
  prior_box_param { min_size: 4 max_size: 7 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
"""
OUTPUT = """
layer { name: "scores" type: "Reshape" bottom: "mbox_conf" top: "scores"
  reshape_param { shape { dim: 0 dim: -1 dim: 4 } } }
layer { name: "prob" type: "Softmax" bottom: "scores" top: "prob" softmax_param { axis: 2 } }
layer { name: "flat" type: "Flatten" bottom: "prob" top: "flat" flatten_param { axis: 1 } }
layer { name: "out" type: "DetectionOutput" bottom: "mbox_loc" bottom: "flat" bottom: "mbox_priorbox" top: "out"
  detection_output_param { num_classes: 4 keep_top_k: 50 confidence_threshold: 0.2
    nms_param { nms_threshold: 0.45 top_k: 100 } code_type: CENTER_SIZE } }
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "{0}_mbox_{1}",
            "torch.cat(parts, 1) for parts in zip(self.a1_mbox(x), self.b1_mbox(b1), self.c1_mbox(y))",
        ),
        ("{1}_of_{0}", "head(feature).permute(0, 2, 3, 1).flatten(1) for head, feature in heads], 1)"),
    ],
)
def test_heads_of_a_detector_are_written_once(tmp_path, name, says):
    text = HEAD.replace("DEPTH", "3") + conv("a1", "data", 5) + conv("b1", "a1", 6) + conv("c1", "b1", 7)
    features = ["a1", "b1", "c1"]
    for feature in features:
        for kind in ("loc", "conf"):
            text += SSD.replace("LOC", name.format(feature, kind)).replace("FROM", feature)
        text += PRIORS.replace("FROM", feature)
    for kind in ("loc", "conf"):
        bottoms = "".join(f' bottom: "{name.format(f, kind)}_flat"' for f in features)
        text += f'layer {{ name: "mbox_{kind}" type: "Concat" {bottoms} top: "mbox_{kind}" }}\n'
    bottoms = "".join(f' bottom: "{f}_mbox_priorbox"' for f in features)
    text += f'layer {{ name: "mbox_priorbox" type: "Concat" {bottoms} top: "mbox_priorbox"'
    text += " concat_param { axis: 2 } }"
    (tmp_path / "net.prototxt").write_text(text + OUTPUT)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert export.to_source(net, tmp_path / "m.py").largest < 1e-5
    written = (tmp_path / "m.py").read_text()
    assert says in written
    assert "DetectionOutput(4, threshold=0.2, top_k=100, keep=50)" in written
    assert "staticmethod" not in written


def test_it_runs_without_this_package(fires, tmp_path):
    assert export.to_source(fires, tmp_path / "small.py").largest < 1e-6
    x = np.random.RandomState(0).standard_normal((2, 3, 12, 10)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys; sys.modules['caffe'] = None\n"
        "import numpy, torch, small\n"
        "y = small.load()(torch.from_numpy(numpy.load('x.npy')))\n"
        "numpy.save('y.npy', y.detach().numpy())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PATH": ""})
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), fires.forward(data=x)["fire3/concat"], rtol=1e-5, atol=1e-6
    )


def test_batch_norm_and_scale_are_one(tmp_path):
    text = HEAD.replace("DEPTH", "3") + (
        'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }\n'
        'layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }\n'
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    for blob, value in zip(net.params["bn"], (3.0, 8.0, 2.0)):
        blob.data[...] = value
    net.params["scale"][0].data[...] = 1.5
    assert export.to_source(net, tmp_path / "m.py").largest < 1e-6
    assert (
        "self.bn = nn.BatchNorm2d(3)" in (written := (tmp_path / "m.py").read_text())
        and "Scale" not in written
    )
    assert "return self.bn(data)" in written


def test_shared_parameters_stay_shared(tmp_path):
    text = 'name: "twice"\n' + HEAD.split("\n")[1].replace("DEPTH", "4") + "\n"
    for name, bottom in (("a", "data"), ("b", "a")):
        text += conv(name, bottom, 4, "bias_term: false").replace(
            "convolution_param", 'param { name: "w" } convolution_param', 1
        )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert export.to_source(net, tmp_path / "m.py").largest < 1e-6
    assert "self.b.weight = self.a.weight" in (tmp_path / "m.py").read_text()


def test_a_layer_without_a_plain_form_is_named(tmp_path):
    text = (
        HEAD.replace("DEPTH", "3")
        + 'layer { name: "odd" type: "Im2col" bottom: "data" top: "odd" convolution_param { kernel_size: 3 } }'
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    with pytest.raises(export.ExportError, match=r"no plain form of Im2col \('odd'\)"):
        export.to_source(net, tmp_path / "m.py")
    assert [p.name for p in tmp_path.iterdir()] == ["net.prototxt"]


@pytest.mark.assets
@pytest.mark.parametrize("name", ["wechat_qrcode_detect", "mtcnn_det3", "squeezenet_v1.0_deepcompression"])
def test_real_models_as_source(name, tmp_path, capfd):
    folder = assets("models", name)
    weights = next(p for p in sorted(folder.iterdir()) if p.suffix == ".caffemodel")
    out = tmp_path / "model.py"
    assert main(["export", str(folder / "deploy.prototxt"), str(weights), f"--to={out}"]) == 0
    assert "largest difference" in capfd.readouterr().out and out.with_suffix(".safetensors").exists()
