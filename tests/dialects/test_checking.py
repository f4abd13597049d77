"""What a dialect would refuse, with layer and line; and nothing of what its own nets hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_assets import assets

import caffe
from caffe.cli.main import main
from caffe.dialects import check, load
from caffe.errors import CaffeError
from caffe.formats import prototxt
from caffe.passes import upgrade_v0, upgrade_v1

NET = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 40 dim: 50 } } }
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param {
    num_output: 4
    kernel_size: 9
  }
}
layer {
  name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 2
    round_mode: FLOOR }
}
layer { name: "perm" type: "Permute" bottom: "pool" top: "perm" permute_param { order: 0 order: 2 order: 3 order: 1 } }
"""


def lint(text: str, name: str) -> list:
    net = prototxt.parse_net(text)
    return check(load(name), net.param, net.lines)


def test_fields_and_types_are_named_with_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(NET)
    assert main(["lint", str(file)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in out] == [f"{file}:16", f"{file}:18"]
    assert "'pool' (Pooling)" in out[0] and "round_mode" in out[0]
    assert "'perm' (Permute)" in out[1] and "ssd" in out[1]
    assert main(["lint", str(file), "--dialect=caffe-torch"]) == 0


def test_a_line_of_the_file_names_the_dialect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text("# dialect: ssd\n" + NET)
    assert main(["lint", "--json", str(file)]) == 1
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["dialect"], only["layer"], only["line"]) == ("ssd", "pool", 17)


def test_limits() -> None:
    found = lint(NET, "dv-sdk")
    assert [(each.layer, each.field) for each in found][:1] == [("conv", "kernel")]
    assert "at most 7" in found[0].says
    assert found[0].source


def test_limits_on_sizes_need_the_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(NET.replace("dim: 40 dim: 50", "dim: 40 dim: 5000").replace("round_mode: FLOOR", ""))
    assert main(["lint", "--dialect", "ascend-atc", str(file)]) == 1
    assert "5000" in capsys.readouterr().out


def test_inputs_as_a_toolchain_wants_them() -> None:
    (found,) = (each for each in lint(NET, "ncsdk") if each.layer == "data")
    assert "input_shape" in found.says


def test_layers_of_training_do_not_count_for_a_toolchain() -> None:
    text = NET.replace("round_mode: FLOOR", "") + (
        'layer { name: "loss" type: "HingeLoss" bottom: "perm" bottom: "data" include { phase: TRAIN } }'
    )
    assert not [each for each in lint(text, "rknn1") if each.layer == "loss"]


@pytest.mark.parametrize(
    "folder, name",
    [
        ("NVIDIA+caffe", "nvidia"),
        ("intel+caffe", "intel"),
        ("eric612+MobileNet-YOLO", "yolo"),
        ("happynear+caffe-windows", "caffe-windows"),
        ("alexgkendall+SegNet-Tutorial", "segnet"),
        ("foss-for-synopsys-dwc-arc-processors+synopsys-caffe-models", "synopsys"),
        ("rbgirshick+fast-rcnn", "faster-rcnn"),
        ("YuwenXiong+py-R-FCN", "rfcn"),
        ("zhaoweicai+cascade-rcnn", "cascade-rcnn"),
        ("ydwen+caffe-face", "caffe-face"),
        ("wy1iu+sphereface", "sphereface"),
        ("yjxiong+temporal-segment-networks", "yjxiong"),
        ("xmfbit+warpctc-caffe", "warpctc"),
        ("DengPingFan+DAVSOD", "convlstm"),
        ("chuanqi305+MobileNet-SSD", "ssd"),
        ("Robert-JunWang+Pelee", "ssd"),
        ("shelhamer+fcn.berkeleyvision.org", "bvlc"),
        ("BVLC+caffe", "bvlc"),
    ],
)
def test_a_forks_own_nets_pass(folder: str, name: str) -> None:
    files = sorted(p for p in assets("zoo", folder).rglob("*") if p.is_file())
    count = 0
    for file in files[:25]:
        try:
            net = prototxt.read_net(file)
            for step in (upgrade_v0.upgrade, upgrade_v1.upgrade_transformations, upgrade_v1.upgrade):
                step(net)
        except CaffeError:
            continue  # a solver, or a file that is none
        count += bool(net.param.layer)
        assert not check(load(name), net.param, net.lines), file
    assert count


def test_nothing_of_the_net_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ran_by_lint.py").write_text("open('ran', 'w').close()\n")
    file = tmp_path / "net.prototxt"
    python = """layer {{ name: "{0}" type: "Python" bottom: "{1}" top: "{0}"
      python_param {{ module: "ran_by_lint" layer: "L" param_str: "__import__('ran_by_lint')" }} }}
    layer {{ name: "after" type: "ReLU" bottom: "{0}" top: "after" }}"""
    file.write_text(NET + python.format("py", "pool"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("bvlc", "nnie", "caffe-torch"):
        main(["lint", str(file), f"--dialect={name}"])
    main(["lint", str(file), "--dialect=ncsdk"])  # has limits on sizes, for which the rest is built
    assert "behind Python layers, which are not run" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    with pytest.raises(CaffeError):
        caffe.Net(str(file), caffe.TEST)  # as it would be if it was run
    assert (tmp_path / "ran").exists()
