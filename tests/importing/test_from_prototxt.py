"""caffe convert of a prototxt: rewritten, compared, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe.cli.main import main
from caffe.dialects import check, load
from caffe.dialects.rewriting import engine
from caffe.errors import InputError, NetError
from caffe.formats import prototxt
from caffe.importing.from_prototxt import convert_net

NET = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 11 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU6" bottom: "conv" top: "conv" }
layer { name: "up" type: "Interp" bottom: "conv" top: "up" interp_param { zoom_factor: 2 } }
"""
FOCAL = (
    NET
    + """layer { name: "p" type: "Permute" bottom: "up" top: "p" permute_param { order: 0 order: 2 } }
"""
)  # caffe-windows has both, with numbers of its own


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    definition, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    definition.write_text(NET)
    caffe.Net(str(definition), caffe.TEST).save(str(weights))
    return definition, weights


def run(net: caffe.Net) -> np.ndarray:
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 5, (2, 3, 9, 11))
    return net.forward()["up"].copy()


def test_the_command(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    definition, weights = files
    out = tmp_path / "new" / "bvlc"
    assert main(["convert", str(definition), str(out), f"--weights={weights}", "--dialect=bvlc", "--v1"]) == 0
    said = capsys.readouterr().out
    assert "'relu' (ReLU6)" in said and "'up' (Interp): as Deconvolution" in said and "output 'up'" in said
    text = Path(f"{out}.prototxt").read_text(encoding="utf-8")
    assert text.startswith("# dialect: bvlc\n")
    assert not check(load("bvlc"), prototxt.parse_net(text).param)
    wanted = run(caffe.Net(str(definition), str(weights), caffe.TEST))
    for end in ("", "_v1"):
        net = caffe.Net(f"{out}{end}.prototxt", f"{out}{end}.caffemodel", caffe.TEST)
        np.testing.assert_allclose(run(net), wanted, rtol=1e-5, atol=1e-5)
    assert "layers {" in Path(f"{out}_v1.prototxt").read_text(encoding="utf-8")
    assert main(["convert", str(definition), str(out), f"--weights={weights}"]) == 1  # is there already
    assert "is there already" in capsys.readouterr().err
    assert main(["convert", str(definition), str(out), f"--weights={weights}", "--force"]) == 0
    assert main(["lint", f"{out}.prototxt"]) == 0


def test_what_has_no_form_is_listed_and_nothing_is_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    definition, _ = files
    definition.write_text(NET + 'layer { name: "ps" type: "Sin" bottom: "up" top: "s" }\n')
    with pytest.raises(NetError, match=r"no form in BVLC Caffe 1\.0 for: layer 'ps' \(Sin\)"):
        convert_net(definition)
    assert main(["convert", str(definition), str(tmp_path / "out")]) == 1
    assert not list(tmp_path.glob("out*"))


def test_version_1_cannot_have_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    definition, _ = files
    definition.write_text(NET.replace('"ReLU6"', '"PReLU"'))
    done = convert_net(definition)
    with pytest.raises(NetError, match="version 1 has no such type"):
        done.save(tmp_path / "out", v1=True)
    assert not list(tmp_path.glob("out*"))
    assert done.save(tmp_path / "out") == (tmp_path / "out.prototxt",)  # no weights, no caffemodel
    with pytest.raises(InputError, match="is there already"):
        done.save(tmp_path / "out")


def test_a_wrong_rewrite_would_be_found(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(piece: engine.Piece, draft: engine.Draft) -> list[engine.Piece]:
        layer = engine.Layer()
        layer.CopyFrom(piece.layer)
        layer.type = "ReLU"
        return [engine.Piece(layer, [])]

    monkeypatch.setitem(engine.REWRITES, "ReLU6", [(wrong, "as ReLU")])
    with pytest.raises(NetError, match="The first blob that parts is 'conv'"):
        convert_net(files[0], files[1])
    assert convert_net(files[0], files[1], runs=0).errors == {}


def test_from_one_forks_meaning_to_another(tmp_path: Path) -> None:
    """caffe-windows' BN, whose fourth blob is 1 / std, as BVLC's two layers; and as itself it stays as it is."""
    definition, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    definition.write_text(
        "# dialect: caffe-windows\n"
        + NET.split('layer { name: "relu"')[0]
        + 'layer { name: "up" type: "BN" bottom: "conv" top: "up" bn_param { slope_filler { value: 1 } } }\n'
    )
    net = caffe.Net(str(definition), caffe.TEST)
    for blob, value in zip(net.params["up"], (2, 0.5, 0.25, 3)):
        blob.data[...] = value
    net.save(str(weights))
    wanted = run(net)
    done = convert_net(definition, weights)
    assert [each.type for each in done.param.layer][2:] == ["BatchNorm", "Scale"]
    assert max(done.errors.values()) < 1e-5
    same = convert_net(definition, weights, dialect="caffe-windows")
    assert not same.report and not same.param.layer[2].bn_param.inverse_std
    same.save(tmp_path / "same")
    again = caffe.Net(str(tmp_path / "same.prototxt"), str(tmp_path / "same.caffemodel"), caffe.TEST)
    np.testing.assert_array_equal(run(again), wanted)


def test_a_net_that_cannot_be_built_is_rewritten_as_far_as_sizes_are_not_needed(tmp_path: Path) -> None:
    definition = tmp_path / "net.prototxt"
    source = (
        'layer { name: "data" type: "Data" top: "data" data_param { source: "nowhere" batch_size: 2 } }\n'
    )
    definition.write_text(source + 'layer { name: "r" type: "ReLU6" bottom: "data" top: "r" }\n')
    done = convert_net(definition)
    assert [each.type for each in done.param.layer] == ["Data", "ReLU", "Power", "ReLU", "Power"]


@pytest.mark.parametrize("model", ["wechat_qrcode_detect", "ultraface_rfb320", "mobilenetv2_yolov3_nano_voc"])
def test_trained_models_in_simpler_layers(model: str) -> None:
    folder = assets("models", model)
    dialect = {"wechat_qrcode_detect": "ssd", "ultraface_rfb320": "bvlc"}.get(model, "bvlc")
    done = convert_net(folder / "deploy.prototxt", folder / "weights.caffemodel", dialect=dialect, runs=2)
    assert done.errors and max(done.errors.values()) < 1e-5
