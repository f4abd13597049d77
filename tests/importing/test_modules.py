"""``caffe.from_torch``: the user's module, names, inputs, and what is said where it fails."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_modules import Of, around

import caffe
from caffe.errors import InputError, NetError
from caffe.importing import check, conversion, tidy, torch_front
from caffe.importing.from_torch import convert_torch
from caffe.importing.sources import convert_source
from caffe.layer_factory import layer_class


def test_the_module_is_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    module[1].eval()
    caffe.from_torch(module, (1, 3, 9, 7))
    assert [m.training for m in module.modules()] == [True, True, False, True]
    assert module[1].num_batches_tracked == 0


def test_names_of_layers_inputs_and_outputs():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid())
    net = caffe.from_torch(
        module, (1, 3, 9, 7), input_names=["image"], output_names=["score"], rename=lambda n: f"net/{n}"
    )
    assert (list(net.inputs), list(net.outputs)) == (["image"], ["score"])
    assert list(net._layer_names) == ["image", "net/0", "net/1"]


def test_several_inputs_and_a_dict_of_outputs():
    function = Of(lambda a, b: {"sum": a + b, "scores": torch.softmax(a, 1)})
    net = caffe.from_torch(function, ((2, 3, 5), (2, 3, 5)))
    assert sorted(net.outputs) == ["scores", "sum"]
    assert len(net.inputs) == 2


def test_files_are_written_whole_or_not_at_all(tmp_path):
    caffe.from_torch(nn.Conv2d(3, 4, 3), (1, 3, 9, 7), tmp_path / "a.b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.caffemodel", "a.b.prototxt"]
    with pytest.raises(InputError, match="is there already"):
        caffe.from_torch(nn.Conv2d(3, 4, 3), (1, 3, 9, 7), tmp_path / "a.b.prototxt")
    with pytest.raises(InputError):
        caffe.from_torch(Of(lambda x: torch.linalg.det(x)), (1, 3, 3), tmp_path / "c")
    assert len(list(tmp_path.iterdir())) == 2


def test_the_first_layer_that_parts_is_named():
    module = around(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)))
    example = torch.randn(1, 3, 9, 7)
    graph = torch_front.graph_of(torch_front.exported(module, [example]))
    convolution = next(n for n in graph.nodes if n.name == "0")
    weights = convolution.args[1].clone()
    right = graph.run

    def run(inputs):
        convolution.args = (convolution.args[0], weights, *convolution.args[2:])
        return right(inputs)

    convolution.args = (convolution.args[0], weights * 1.1, *convolution.args[2:])
    graph.run = run
    with pytest.raises(NetError, match=r"differs from the model's by .*The first layer that parts is '0'"):
        conversion.convert(graph, lambda x: [module(*x).detach()], [example])


def test_branches_over_values_are_refused():
    with pytest.raises(InputError, match=r"torch.export cannot follow Of"):
        caffe.from_torch(Of(lambda x: x if x.sum() > 0 else -x), (1, 3))


def test_what_writes_over_values_that_others_see():
    def function(x):
        y = x * 2
        z = y[:, 1:]
        y.relu_()
        a = y + 1
        a.mul_(3)
        return a[:, 1:] + z

    done = convert_torch(Of(function), (2, 3, 5))
    assert max(done.checked.errors.values()) < 1e-6


def test_a_dialect_of_a_toolchain_keeps_its_limits():
    module = nn.Conv2d(3, 4, 3, dilation=2)
    with pytest.raises(InputError, match=r"would refuse: layer .* dilation .*Dilation is not supported"):
        caffe.from_torch(module, (1, 3, 9, 7), dialect="armnn")
    assert caffe.from_torch(module, (1, 3, 9, 7), dialect="nvidia").layers[1].type == "Convolution"


def test_a_program_with_free_sizes_is_taken_at_those_given(tmp_path):
    batch = torch.export.Dim("batch", max=64)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    program = torch.export.export(module, (torch.randn(2, 3, 9, 7),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "m.pt2")
    done = convert_source(str(tmp_path / "m.pt2"))
    assert done.net.blobs[done.net.inputs[0]].shape == (2, 3, 9, 7)
    done = convert_source(str(tmp_path / "m.pt2"), shapes={"": (5, 3, 9, 7)})
    assert done.net.blobs[done.net.inputs[0]].shape == (5, 3, 9, 7)
    with pytest.raises(InputError, match="does not take"):
        convert_source(str(tmp_path / "m.pt2"), shapes={"": (5, 3, 9, 8)})


def test_a_program_whose_constants_are_detached_is_taken_at_other_sizes(tmp_path):
    module = Of(lambda x: x * torch.tensor([2.0, 3.0, 4.0]).reshape(3, 1, 1)).eval()
    program = torch.export.export(module, (torch.randn(2, 3, 9, 7),))
    torch.export.save(program, tmp_path / "m.pt2")
    done = convert_source(str(tmp_path / "m.pt2"), shapes={"": (2, 3, 9, 7)})
    assert max(done.checked.errors.values()) < 1e-6


def test_values_too_small_to_compare_are_told_from_errors():
    class Steep(nn.Module):
        def forward(self, x):
            return (x * 1e7).sin()

    example = torch.randn(1, 3, 5)
    net = caffe.from_torch(nn.ReLU(), (1, 3, 5))
    with pytest.raises(NetError, match=r"The model itself gives values that differ by .*--images=FOLDER"):
        check.check(net, lambda x: [Steep()(*x)], [example], {"y": net.outputs[0]})


def test_errors_count_against_the_largest_value():
    a = torch.tensor([1.0, -4.0]).numpy()
    assert check.relative_error(a + 0.5, a) == pytest.approx(0.125)
    assert check.relative_error(a[:1], a) == float("inf")
    assert check.relative_error(a * float("nan"), a) == float("inf")


def test_layers_are_in_place_where_they_may_be():
    assert all(layer_class(kind).in_place for kind in tidy._IN_PLACE)
