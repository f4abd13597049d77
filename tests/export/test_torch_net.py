"""Nets as torch modules: names, phases, training, weights back."""

import copy

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import InputError, LayerError

LENET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 9 dim: 8 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
BN
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
BN = """
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { moving_average_fraction: 0.9 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
"""
SOLVER = 'base_lr: 0.05 momentum: 0.9 weight_decay: 0.001 lr_policy: "fixed" max_iter: 100 random_seed: 3'


@pytest.fixture
def definition(tmp_path):
    def write(bn=True):
        path = tmp_path / "net.prototxt"
        path.write_text(LENET.replace("BN\n", BN if bn else "", 1))
        return path

    return write


def batch(seed):
    rng = np.random.RandomState(seed)
    return rng.standard_normal((4, 3, 9, 8)).astype(np.float32), rng.randint(0, 5, 4).astype(np.float32)


def test_parameters_have_readable_names(definition):
    module = caffe.Net(str(definition()), caffe.TEST).to_torch()
    assert sorted(module.state_dict()) == [
        "bn1.running_mean", "bn1.running_var", "bn1.scale_factor", "conv1.bias", "conv1.weight", "ip1.bias",
        "ip1.weight", "scale1.bias", "scale1.weight",
    ]  # fmt: skip
    assert isinstance(module.conv1, torch.nn.Conv2d) and isinstance(module.ip1, torch.nn.Linear)


def test_in_test_losses_and_labels_are_left_away(definition):
    module = caffe.Net(str(definition()), caffe.TEST).to_torch(dict_outputs=True)
    assert (module.input_names, module.output_names) == (["data"], ["ip1"])
    assert list(module(torch.zeros(2, 3, 9, 8))) == ["ip1"]
    assert module(data=torch.zeros(7, 3, 9, 8))["ip1"].shape == (7, 5)
    with pytest.raises(InputError, match="takes the inputs data; got 0 in order and image by name"):
        module(image=torch.zeros(2, 3, 9, 8))


@pytest.mark.parametrize("bn", [False, True])
def test_a_plain_loop_follows_the_solver(definition, tmp_path, bn):
    solver_file = tmp_path / "solver.prototxt"
    solver_file.write_text(f'net: "{definition(bn)}" {SOLVER}')
    solver = caffe.SGDSolver(str(solver_file))
    module = solver.net.to_torch()
    assert module.training
    optimizer = torch.optim.SGD(module.parameter_groups(0.05, 0.001), lr=0.05, momentum=0.9)
    for i in range(20):
        data, label = batch(i)
        solver.net.blobs["data"].data[...] = data
        solver.net.blobs["label"].data[...] = label
        solver.step(1)
        loss = module.loss(module(torch.from_numpy(data), torch.from_numpy(label)))
        assert loss.item() == pytest.approx(float(solver.net.blobs["loss"].data), abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, params in solver.net.params.items():
        back = dict(module.caffe_weights())[name]
        for ours, theirs in zip(params, back):
            np.testing.assert_allclose(theirs, ours.data, rtol=2e-4, atol=2e-5)
    module.eval()
    solver.net.save(str(tmp_path / "w.caffemodel"))
    tested = caffe.Net(str(definition(bn)), caffe.TEST, weights=str(tmp_path / "w.caffemodel"))
    expected = tested.forward(["ip1"], data=data, label=label)["ip1"]
    found = tested.to_torch()(torch.from_numpy(data)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_trained_weights_come_back(definition, tmp_path):
    net = caffe.Net(str(definition()), caffe.TEST)
    module = net.to_torch()
    with torch.no_grad():
        for param in module.parameters():
            param.add_(0.25)
        module.bn1.running_mean.fill_(0.5)
    report = net.copy_from(module)
    assert report.filled == ["conv1", "bn1", "scale1", "ip1"] and not report.kept
    data, label = batch(1)
    found = module(torch.from_numpy(data)).detach().numpy()
    np.testing.assert_allclose(
        found, net.forward(["ip1"], data=data, label=label)["ip1"], rtol=1e-5, atol=1e-6
    )
    net.save(str(tmp_path / "w.caffemodel"))
    again = caffe.Net(str(definition()), caffe.TEST, weights=str(tmp_path / "w.caffemodel"))
    np.testing.assert_array_equal(again.params["conv1"][0].data, module.conv1.weight.detach().numpy())


def test_a_copy_is_apart_and_a_share_is_not(definition):
    net = caffe.Net(str(definition(bn=False)), caffe.TEST)
    apart, shared = net.to_torch(), net.to_torch(share=True)
    net.params["conv1"][0].data[...] = 2
    assert not (apart.conv1.weight == 2).any() and (shared.conv1.weight == 2).all()
    with torch.no_grad():
        shared.ip1.bias.fill_(7)
    assert (net.params["ip1"][1].data == 7).all()


def test_a_module_can_be_copied_and_loaded(definition):
    module = caffe.Net(str(definition()), caffe.TEST).to_torch()
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.conv1.weight.zero_()
    assert module.conv1.weight.abs().sum() > 0
    other.load_state_dict(module.state_dict())
    x = torch.from_numpy(batch(2)[0])
    assert torch.equal(other(x), module(x))


def test_layers_that_share_parameters_share_one(tmp_path):
    path = tmp_path / "shared.prototxt"
    path.write_text("""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false } }
""")
    module = caffe.Net(str(path), caffe.TEST).to_torch()
    assert module.a.weight is module.b.weight and len(list(module.parameters())) == 1


def test_a_python_layer_is_named(tmp_path, monkeypatch):
    (tmp_path / "own_layer_for_export.py").write_text(
        "import caffe\nclass Own(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = bottom[0].data\n    def backward(self, *a): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "net.prototxt"
    path.write_text("""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "mine" type: "Python" bottom: "data" top: "mine"
  python_param { module: "own_layer_for_export" layer: "Own" } }
""")
    with pytest.raises(LayerError, match=r"layer 'mine' \(Python\).*TensorLayer"):
        caffe.Net(str(path), caffe.TEST).to_torch()


def test_nothing_is_left_of_a_net_without_inputs(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 3 } } }')
    with pytest.raises(InputError, match="no inputs"):
        caffe.Net(str(path), caffe.TEST).to_torch()


def test_windows_that_hold_nothing(tmp_path):
    """Rounding up makes windows behind the last pixel: 0 / 0, which nets that were converted cut off."""
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }\n'
        'layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { pool: AVE kernel_size: 1 stride: 2 }}\n'
        'layer { name: "s" type: "Slice" bottom: "p" top: "a" top: "b" slice_param { axis: 2 slice_point: 2 } }\n'
        'layer { name: "q" type: "Silence" bottom: "b" }\n'
    )
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    expected = net.forward(x=x)["a"]
    assert np.array_equal(expected, x[:, :, ::2, ::2]) and np.isnan(net.blobs["b"].data).all()
    assert np.array_equal(net.to_torch().eval()(torch.from_numpy(x)).detach().numpy(), expected)
