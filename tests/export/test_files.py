"""Exported files: what is in them, what they compute, what is refused."""

import numpy as np
import pytest
import torch
from support_assets import assets

import caffe
from caffe import export
from caffe.cli.main import main
from caffe.errors import InputError, WeightsError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { alpha: 0.1 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_onnx_keeps_names_and_leaves_the_batch_free(net, tmp_path):
    found = export.to_onnx(net, tmp_path / "net.onnx", keep=["pool1"], metadata={"license": "CC0"})
    assert found.largest < 1e-5 and found.batches == (1, 3)
    model = onnx.load(str(tmp_path / "net.onnx"))
    onnx.checker.check_model(model)
    assert [i.name for i in model.graph.input] == ["data"]
    assert [o.name for o in model.graph.output] == ["prob", "pool1"]
    assert {i.name for i in model.graph.initializer} >= {"net.conv1.weight", "net.fc.bias"}
    assert "LRN" in {n.op_type for n in model.graph.node}
    properties = {p.key: p.value for p in model.metadata_props}
    assert (
        properties["license"] == "CC0"
        and properties["net"] == "small"
        and len(properties["prototxt_sha256"]) == 64
    )
    x = np.random.RandomState(0).standard_normal((5, 3, 16, 12)).astype(np.float32)
    prob, pool = session(tmp_path / "net.onnx").run(None, {"data": x})
    net.blobs["data"].reshape(5, 3, 16, 12)
    expected = net.forward(["pool1"], data=x)
    np.testing.assert_allclose(pool, expected["pool1"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prob, expected["prob"], rtol=1e-5, atol=1e-6)


def test_the_net_is_as_it_was(net, tmp_path):
    net.blobs["data"].data[...] = 3
    export.to_onnx(net, tmp_path / "net.onnx")
    assert net.blobs["data"].shape == (1, 3, 16, 12) and (net.blobs["data"].data == 3).all()


def test_an_export_that_disagrees_is_refused(net, tmp_path, monkeypatch):
    real = export.api.onnx_file.write

    def wrong(module, path, *args, **kwargs):
        with torch.no_grad():
            module.fc.bias.add_(1.0)
            module.fc.bias[0] -= 3
        real(module, path, *args, **kwargs)

    monkeypatch.setattr(export.api.onnx_file, "write", wrong)
    with pytest.raises(export.ExportError, match="'prob' differs from the net's by"):
        export.to_onnx(net, tmp_path / "net.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["net.prototxt"]


UNPOOLED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" top: "mask"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Upsample" bottom: "pool" bottom: "mask" top: "up" upsample_param { scale: 2 } }
"""


@pytest.mark.parametrize(("wrong", "refused"), [(1, False), (7, True), ("all", True)])
def test_inputs_where_rounding_decides_where_a_value_goes_are_replaced(tmp_path, wrong, refused):
    (tmp_path / "net.prototxt").write_text(UNPOOLED)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    module = export.to_torch(net)
    calls = []

    def run(arrays):
        found = export.check.torch_forward(module, arrays)
        calls.append(0)
        if wrong == "all":
            return {name: value + 1 for name, value in found.items()}
        if len(calls) <= wrong:
            place = np.abs(found["up"]).argmax()
            found["up"].flat[place] = 0
        return found

    if refused:
        with pytest.raises(export.ExportError, match="differs from the net's by"):
            export.check.compare(net, module, run)
        assert len(calls) == (1 if wrong == "all" else 7)
    else:
        assert export.check.compare(net, module, run).largest <= 1e-4 and len(calls) == 4


def test_preprocessing_is_in_the_model(net, tmp_path):
    before = export.Preprocess(scale=0.5, mean=np.array([104, 117, 123], np.float32), resize=(20, 18))
    found = export.to_onnx(net, tmp_path / "net.onnx", preprocess=before, dynamic=("batch", "size"))
    assert found.largest < 1e-4
    image = np.random.RandomState(1).randint(0, 256, (1, 33, 27, 3)).astype(np.uint8)
    prob = session(tmp_path / "net.onnx").run(None, {"data": image})[0]
    x = torch.from_numpy(image[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    x = torch.nn.functional.interpolate(x, size=(20, 18), mode="bilinear")[:, :, 2:18, 3:15]
    x = (x.numpy() - np.array([104, 117, 123], np.float32).reshape(3, 1, 1)) * np.float32(0.5)
    np.testing.assert_allclose(prob, net.forward(data=x)["prob"], rtol=1e-4, atol=1e-5)


def test_pt2_needs_nothing_of_ours(net, tmp_path):
    assert export.to_pt2(net, tmp_path / "net.pt2").largest < 1e-5
    program = torch.export.load(str(tmp_path / "net.pt2")).module()
    count = 3 if hasattr(torch.export.Dim, "AUTO") else 1  # before torch 2.6 the batch is fixed
    assert program(torch.randn(count, 3, 16, 12))[0].shape == (count, 5)


def test_safetensors_holds_the_state(net, tmp_path):
    from safetensors.torch import load_file

    export.to_safetensors(net, tmp_path / "net.safetensors")
    state = load_file(str(tmp_path / "net.safetensors"))
    assert sorted(state) == ["conv1.bias", "conv1.weight", "fc.bias", "fc.weight"]
    np.testing.assert_array_equal(state["fc.weight"].numpy(), net.params["fc"][0].data)
    assert (tmp_path / "net.prototxt").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["w.caffemodel", "--to=taken.onnx"], "taken.onnx exists"),
        (["--to=net.onnx"], "no weights"),
        (["w.caffemodel", "--to=net.onnx", "--opset=7"], "from 11 to 20; got 7"),
        (["w.caffemodel", "--to=net.onnx", "--keep=pol1"], "no blob 'pol1'"),
        (["w.caffemodel", "--to=net.onnx", "--dynamic=hight"], "got 'hight'"),
        (["w.caffemodel", "--to=net.onnx", "--shape=dat:1,2"], "makes 'dat'"),
        (["part.caffemodel", "--to=net.onnx"], "no weights for fc"),
        (["w.caffemodel", "--to=net.tflite"], "must end in .onnx"),
        (["w.caffemodel", "--to=nowhere/net.onnx"], "nowhere does not exist"),
    ],
)
def test_the_command_says_what_is_wrong(net, tmp_path, monkeypatch, capfd, arguments, says):
    monkeypatch.chdir(tmp_path)
    net.save("w.caffemodel")
    text = NET.replace('name: "fc"', 'name: "other"')
    (tmp_path / "other.prototxt").write_text(text)
    caffe.Net("other.prototxt", caffe.TEST).save("part.caffemodel")
    (tmp_path / "taken.onnx").write_bytes(b"mine")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert main(["export", "net.prototxt", *arguments]) != 0
    assert says in capfd.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (tmp_path / "taken.onnx").read_bytes() == b"mine"


def test_the_command_writes_several(net, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    net.save("w.caffemodel")
    assert main(["export", "net.prototxt", "w.caffemodel", "--to=onnx", "--to=out.pt2"]) == 0
    assert "net.onnx" in (said := capfd.readouterr().out) and "largest difference" in said
    assert (tmp_path / "net.onnx").exists() and (tmp_path / "out.pt2").exists()


def test_a_training_net_leaves_without_its_data(tmp_path):
    (tmp_path / "train.prototxt").write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "nowhere" batch_size: 8 } }\n'
        + NET.split("\n", 3)[3].replace(
            'type: "Softmax" bottom: "fc"', 'type: "SoftmaxWithLoss" bottom: "fc" bottom: "label"'
        )
    )
    with pytest.raises(InputError, match=r"--shape=data:1,3,224,224"):
        export.load(tmp_path / "train.prototxt", None, caffe.TEST, random_weights=True)
    with pytest.raises(WeightsError, match="no weights"):
        export.load(tmp_path / "train.prototxt", None, caffe.TEST, {"data": [1, 3, 16, 12]})
    shape = {"data": [1, 3, 16, 12]}
    net = export.load(tmp_path / "train.prototxt", None, caffe.TEST, shape, random_weights=True)
    assert export.to_onnx(net, tmp_path / "net.onnx").largest < 1e-5


SOME = [
    "wechat_qrcode_detect",
    "lenet_v1_everpeace",
    "yoloface_50k",
    "mtcnn_det3",
    "squeezenet_v1.0_deepcompression",
]


@pytest.mark.assets
@pytest.mark.parametrize("name", SOME)
def test_real_models_leave(name, tmp_path):
    folder = assets("models", name)
    weights = next(p for p in sorted(folder.iterdir()) if p.suffix == ".caffemodel")
    net = export.load(folder / "deploy.prototxt", weights, caffe.TEST)
    assert export.to_onnx(net, tmp_path / "net.onnx").largest < 1e-4
