"""Layers that users write: Python layers, registered layers, torch layers."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import LayerError, ShapeError

X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


def python(
    layer: str, rest: str = 'bottom: "x" top: "y"', param_str: str = "", module: str = "python_layers"
) -> str:
    return (
        f'layer {{ name: "p" type: "Python" {rest} python_param {{ module: "{module}" layer: "{layer}"'
        f' param_str: "{param_str}" }} }}'
    )


def net(tmp_path: Path, *layers: str, phase: int = caffe.TRAIN) -> caffe.Net:
    file = tmp_path / "net.prototxt"
    file.write_text("force_backward: true\n" + "\n".join(layers))
    return caffe.Net(str(file), phase)


def test_forward_and_backward(tmp_path: Path) -> None:
    n = net(tmp_path, X, python("Scaled", param_str="-1.5"))
    n.blobs["x"].data[...] = x = np.arange(6).reshape(2, 3)
    assert np.array_equal(n.forward()["y"], -1.5 * x)
    n.blobs["y"].diff[...] = 2
    n.backward()
    assert (n.blobs["x"].diff == -3).all()


def test_in_place(tmp_path: Path) -> None:
    n = net(tmp_path, X, python("Scaled", 'bottom: "x" top: "x"'))
    n.blobs["x"].data[...] = 1
    assert (n.forward()["x"] == 2).all()


def test_own_parameters_learn(tmp_path: Path) -> None:
    t = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }'
    n = net(tmp_path, X, t, python("Squares", 'bottom: "x" bottom: "t" top: "loss" loss_weight: 1'))
    n.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    assert n.params["p"][0].data.tolist() == [0.5] * 3
    loss = n.forward()["loss"]
    assert loss == pytest.approx([sum((v + 0.5) ** 2 for v in range(1, 7)) / 4])
    for times in (1, 2):
        n.backward()
        assert n.params["p"][0].diff == pytest.approx(np.array([6, 8, 10]) / 2 * times)
    assert n.blobs["x"].diff == pytest.approx((n.blobs["x"].data + 0.5) / 2)
    assert n.blobs["t"].diff == pytest.approx(-(n.blobs["x"].data + 0.5) / 2)
    n.clear_param_diffs()
    assert n.params["p"][0].diff.tolist() == [0] * 3

    file = tmp_path / "w.caffemodel"
    n.params["p"][0].data[...] = [1, 2, 3]
    n.save(str(file))
    n.params["p"][0].data[...] = 0
    n.copy_from(str(file))
    assert n.params["p"][0].data.tolist() == [1, 2, 3]


def test_reshape_comes_before_every_forward(tmp_path: Path) -> None:
    n = net(
        tmp_path,
        python("Growing", 'top: "d"'),
        'layer { name: "y" type: "Power" bottom: "d" top: "y" power_param { scale: 2 } }',
        phase=caffe.TEST,
    )
    for count in (1, 2, 3):
        assert np.array_equal(n.forward()["y"], np.full((count, 2), 2 * count))


def test_net_layers_shows_the_users_object(tmp_path: Path) -> None:
    n = net(tmp_path, python("Growing", 'top: "d"'), phase=caffe.TEST)
    layer: Any = n.layers[0]
    assert type(layer).__name__ == "Growing"
    assert isinstance(layer, caffe.Layer)
    assert (layer.phase_then, layer.name) == (caffe.TEST, "set by the user")
    assert n.layer_dict["p"] is layer
    layer.count = 4
    assert n.forward()["d"].shape == (5, 2)


def test_arrays_are_in_c_order(tmp_path: Path) -> None:
    n = net(
        tmp_path,
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }',
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c"'
        ' convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }',
        python("Flat", 'bottom: "c" top: "y"'),
    )
    n.blobs["x"].data[...] = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    y = n.forward()["y"]
    assert y == pytest.approx(2 * n.blobs["c"].data)


@pytest.mark.parametrize(("name", "made"), [("NoArguments", True), ("OneArgument", "p")])
def test_init(name: str, made: object, tmp_path: Path) -> None:
    n = net(tmp_path, X, python(name))
    layer: Any = n.layers[1]
    assert layer.made == made
    assert n.forward()["y"].shape == (2, 3)


def test_the_users_exception_comes_through(tmp_path: Path) -> None:
    n = net(tmp_path, X, python("Failing"))
    with pytest.raises(KeyError, match="the user's own") as caught:
        n.forward()
    assert Path(traceback.extract_tb(caught.value.__traceback__)[-1].filename).name == "python_layers.py"
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert "In forward of layer 'p' (python_layers.Failing)" in text


def test_an_exception_of_setup_comes_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes two bottoms"):
        net(tmp_path, X, python("Squares"))


def test_an_exception_of_setup_comes_before_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        net(tmp_path, X, python("NothingButSetup"))
    assert caught.type is RuntimeError


def test_no_backward_where_one_is_needed(tmp_path: Path) -> None:
    n = net(tmp_path, X, python("NoBackward"))
    n.forward()
    with pytest.raises(LayerError, match="must define backward"):
        n.backward()


@pytest.mark.parametrize(
    ("layer", "module", "field", "says"),
    [
        (
            "Scaled",
            "no_such_module",
            "module",
            "no module 'no_such_module' .* Add the folder of no_such_module.py",
        ),
        ("Scald", "python_layers", "layer", "has no class 'Scald'. Did you mean 'Scaled'"),
        ("NoLayer", "python_layers", None, "must be a subclass of caffe.Layer"),
        ("NoForward", "python_layers", None, r"must define forward\(self, bottom, top\)"),
        ("", "python_layers", "layer", "must be given"),
        ("Scaled", "", "module", "must be given"),
    ],
)
def test_refused(layer: str, module: str, field: str | None, says: str, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=says) as caught:
        net(tmp_path, X, python(layer, module=module))
    assert (caught.value.layer, caught.value.type, caught.value.field) == ("p", "Python", field)
    assert caught.value.line == 3


def test_modules_lie_in_the_current_folder_or_on_pythonpath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    text = "import caffe\nclass Here(caffe.Layer):\n    def forward(self, bottom, top): pass\n"
    for name in ("current", "variable"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"python_layer_of_{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "variable"))
    with pytest.raises(LayerError, match="no module 'python_layer_of_current'"):
        net(tmp_path, X, python("Here", module="python_layer_of_current"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        LayerError, match=r"Add the folder of .*/current/python_layer_of_current.py to PYTHONPATH"
    ):
        net(tmp_path, X, python("Here", module="python_layer_of_current"))
    monkeypatch.chdir(tmp_path / "current")
    for name in ("current", "variable"):
        net(tmp_path, X, python("Here", module=f"python_layer_of_{name}"))


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "python_layer_broken.py").write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as caught:
        net(tmp_path, X, python("Any", module="python_layer_broken"))
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert "module 'python_layer_broken' of layer 'p'" in text


@caffe.register_layer("TestGate")
class Gate(caffe.TensorLayer):
    """y = x · sigmoid(w · x), w one value a channel."""

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise self.shape_error(f"needs N × C; got {list(shape)}")

    def declare(self, shape: tuple[int, ...]) -> list[caffe.BlobSpec]:
        return [caffe.BlobSpec((shape[1],), caffe.proto.caffe_pb2.FillerParameter(value=0.5))]

    def compute(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(w * x)


@caffe.register_layer("TestDouble")
class Double(caffe.Layer):
    """The four methods, by a type of its own."""

    num_bottoms = 1

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        self.param = None  # type: ignore[assignment]  # the user's own business
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        bottom[0].diff[...] = 2 * top[0].diff


def test_a_registered_torch_layer(tmp_path: Path) -> None:
    n = net(tmp_path, X, 'layer { name: "g" type: "TestGate" bottom: "x" top: "y" param { lr_mult: 2 } }')
    n.blobs["x"].data[...] = x = np.array([[-1, 0, 1], [2, 3, 4]], np.float32)
    gate = 1 / (1 + np.exp(-0.5 * x))
    assert n.forward()["y"] == pytest.approx(x * gate)
    n.blobs["y"].diff[...] = 1
    n.backward()
    assert n.blobs["x"].diff == pytest.approx(gate + x * 0.5 * gate * (1 - gate))
    assert n.params["g"][0].diff == pytest.approx((x * x * gate * (1 - gate)).sum(0))
    assert "TestGate" in caffe.layer_type_list()


def test_a_registered_layer_of_four_methods(tmp_path: Path) -> None:
    n = net(tmp_path, X, 'layer { name: "d" type: "TestDouble" bottom: "x" top: "y" }')
    n.blobs["x"].data[...] = 3
    assert (n.forward()["y"] == 6).all()
    assert isinstance(n.layers[1], Double)
    n.blobs["y"].diff[...] = 1
    n.backward()
    assert (n.blobs["x"].diff == 2).all()
    with pytest.raises(LayerError, match="exactly 1 bottom"):
        net(tmp_path, X, 'layer { name: "d" type: "TestDouble" bottom: "x" bottom: "x" top: "y" }')


def test_a_registered_layers_own_error(tmp_path: Path) -> None:
    scalar = X.replace("dim: 2 dim: 3", "dim: 2")
    with pytest.raises(ShapeError, match=r"needs N × C; got \[2\]") as caught:
        net(tmp_path, scalar, 'layer { name: "g" type: "TestGate" bottom: "x" top: "y" }')
    assert (caught.value.layer, caught.value.type, caught.value.line) == ("g", "TestGate", 3)


def test_register_layer_refuses() -> None:
    with pytest.raises(LayerError, match=r"subclass of caffe\.Layer"):
        caffe.register_layer("TestNothing")(int)  # type: ignore[type-var]
    with pytest.raises(LayerError, match="'ReLU' exists already"):
        caffe.register_layer("ReLU")(Double)


class ReadsItsPhase(caffe.Layer):
    """As py-faster-rcnn's layers: the phase as text is a key, as a number it is compared."""

    def setup(self, bottom: Any, top: Any) -> None:
        sizes = {"TRAIN": 4, "TEST": 5}
        self.size = sizes[str(self.phase)]
        assert sizes[f"{self.phase}"] == self.size
        assert self.phase == (caffe.TRAIN if self.size == 4 else caffe.TEST)
        assert [10, 20][self.phase] == 10 * (self.size - 3) and f"{self.phase:d}" == str(int(self.phase))

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(self.size)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = self.size


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_the_phase_is_text_and_number(tmp_path: Path, phase: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reads_its_phase", sys.modules[__name__])
    n = net(tmp_path, python("ReadsItsPhase", 'top: "y"', module="reads_its_phase"), phase=phase)
    assert n.forward()["y"].tolist() == ([4] * 4 if phase == caffe.TRAIN else [5] * 5)
