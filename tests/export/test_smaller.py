"""Half precision, 8-bit integers and Triton's model repository, through the command."""

import cv2
import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe.cli.main import main

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 24 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    (tmp_path / "photos").mkdir()
    rng = np.random.RandomState(0)
    for i in range(6):
        cv2.imwrite(f"photos/{i}.png", cv2.resize(rng.randint(0, 256, (5, 6, 3)).astype(np.uint8), (60, 50)))
    return tmp_path


def run(*flags):
    return main(["export", "net.prototxt", "w.caffemodel", *flags])


def stored(path):
    return {x.name: onnx.TensorProto.DataType.Name(x.data_type) for x in onnx.load(path).graph.initializer}


def test_half(folder, capfd):
    assert run("--to=whole.onnx") == 0 and run("--to=half.onnx", "--half") == 0
    assert (folder / "half.onnx").stat().st_size < 0.6 * (folder / "whole.onnx").stat().st_size
    assert "FLOAT16" in stored("half.onnx").values() and "FLOAT" not in stored("half.onnx").values()
    x = np.random.RandomState(1).uniform(-60, 60, (3, 3, 20, 24)).astype(np.float32)
    whole, half = (
        onnxruntime.InferenceSession(f, providers=["CPUExecutionProvider"]).run(None, {"data": x})[0]
        for f in ("whole.onnx", "half.onnx")
    )
    assert half.dtype == np.float32 and 0 < np.abs(half - whole).max() < 0.01 * np.abs(whole).max()


@pytest.mark.parametrize("preprocess", [False, True])
def test_int8(folder, capfd, preprocess):
    flags = ["--quantize=int8", "--calibrate=photos", "--mean=104,117,123", *["--preprocess"] * preprocess]
    assert run("--to=small.onnx", *flags) == 0
    assert "largest difference" in capfd.readouterr().out
    assert "INT8" in stored("small.onnx").values()
    photo = cv2.imread("photos/3.png")
    shown = cv2.resize(photo, (24, 20))
    data = (shown.transpose(2, 0, 1)[None] - np.float32([104, 117, 123]).reshape(3, 1, 1)).astype(np.float32)
    expected = caffe.Net("net.prototxt", "w.caffemodel", caffe.TEST).forward(data=data)["fc"]
    given = np.ascontiguousarray(shown[None, ..., ::-1]) if preprocess else data
    session = onnxruntime.InferenceSession("small.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"data": given})[0]
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--to=s.onnx", "--quantize=int8"], "go together"),
        (["--to=s.onnx", "--quantize=int8", "--calibrate=nowhere"], "nowhere is no folder"),
        (["--to=s.onnx", "--quantize=int8", "--calibrate=empty"], "has no photos"),
        (["--to=s.onnx", "--quantize=int8", "--calibrate=photos", "--opset=12"], "need opset 13"),
        (["--to=s.onnx", "--quantize=int8", "--calibrate=photos", "--half"], "not both"),
        (["--to=s.pt2", "--half"], "are for .onnx"),
        ([], "say what to write"),
    ],
)
def test_what_does_not_go_together(folder, capfd, flags, says):
    (folder / "empty").mkdir()
    before = sorted(p.name for p in folder.iterdir())
    assert run(*flags) != 0
    assert says in capfd.readouterr().err
    assert sorted(p.name for p in folder.iterdir()) == before


def config(path):
    from google.protobuf import text_format

    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2", exc_type=ImportError)
    return text_format.Parse(path.read_text(), model_config.ModelConfig())


def test_triton(folder, capfd):
    (folder / "names.txt").write_text("a\nb\n")
    assert run("--triton=models", "--labels=names.txt") == 0
    text = (folder / "models/small/config.pbtxt").read_text()
    assert (
        'name: "data"\n  data_type: TYPE_FP32\n  dims: [3, 20, 24]' in text and "max_batch_size: 64" in text
    )
    assert 'label_filename: "labels.txt"' in text and "dynamic_batching" in text
    assert (folder / "models/small/labels.txt").read_text() == "a\nb\n"
    onnx.checker.check_model(str(folder / "models/small/1/model.onnx"))
    assert run("--triton=models") != 0 and "models/small exists" in capfd.readouterr().err
    assert run("--triton=models", "--force") == 0


def test_triton_reads_it(folder):
    assert run("--triton=models") == 0
    found = config(folder / "models/small/config.pbtxt")
    assert found.max_batch_size == 64 and [list(o.dims) for o in found.output] == [[7]]


@pytest.mark.assets
def test_triton_takes_a_detector_as_it_is(tmp_path):
    model = assets("models", "wechat_qrcode_detect")
    weights = next(model.glob("*.caffemodel"))
    assert main(["export", str(model / "deploy.prototxt"), str(weights), f"--triton={tmp_path}"]) == 0
    text = next(tmp_path.glob("*/config.pbtxt")).read_text()
    assert "max_batch_size: 0" in text and "dims: [1, 1, -1, 7]" in text
