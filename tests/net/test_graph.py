"""A net as a pure graph: the same values, state and gradients as the net's own forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from switch_nets import KINDS, build

import caffe
from caffe import layers as L
from caffe import runtime
from caffe.errors import InputError, StateError, UnknownNameError
from caffe.net.graph import RANDOM, Graph

PURE = [kind for kind in KINDS if kind != "python"]


def on_device(array: Any) -> torch.Tensor:
    return torch.from_numpy(array).to(runtime.device())


def inputs_of(net: caffe.Net, graph: Graph) -> dict[str, torch.Tensor]:
    return {name: on_device(net.blobs[name].data.copy()) for name in graph.inputs}


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("kind", PURE)
def test_the_same_as_the_net(kind: str, phase: int) -> None:
    net = build(kind, phase)
    graph = net.graph()
    state = graph.state_values() | {RANDOM: torch.get_rng_state()}
    state = {name: value.clone() for name, value in state.items()}
    parameters = {n: x.clone().requires_grad_() for n, x in graph.parameter_values().items()}
    names = [name for name in net.blobs if name in graph.shapes]
    for _ in range(2):
        torch.set_rng_state(state[RANDOM])
        before = {n: b.data.copy() for n, b in graph.statistics.items()}
        outputs, after = graph.run(inputs_of(net, graph), parameters, state, outputs=names)
        assert all(np.array_equal(b.data, before[n]) for n, b in graph.statistics.items())
        assert torch.equal(torch.get_rng_state(), state[RANDOM])
        net.clear_param_diffs()
        net.forward()
        for name in names:
            close(outputs[name], net.blobs[name].data)
        state = {name: value.detach() for name, value in after.items()}
        for name, value in graph.state_values().items():
            close(state[name], value.cpu().numpy())
        if any(node.draws for node in graph.nodes):
            assert torch.equal(torch.get_rng_state(), state[RANDOM])
    net.backward()
    loss = sum(weight * outputs[name].sum() for name, weight in graph.losses.items())
    grads = torch.autograd.grad(loss, list(parameters.values()))
    for name, grad in zip(parameters, grads):
        close(grad, graph.parameters[name].diff)


def close(found: torch.Tensor, expected: Any) -> None:
    off = np.abs(found.detach().cpu().numpy() - expected).max(initial=0)
    assert off <= 1e-5 * max(1, np.abs(expected).max(initial=0))


def test_names() -> None:
    graph = build("normalized", caffe.TRAIN).graph()
    node = {node.name: node for node in graph.nodes}
    assert node["conva"].tops == ("conva@conva",)
    assert node["bna"].bottoms == ("conva@conva",) and node["bna"].tops == ("conva@bna",)
    assert node["relua"].tops == ("conva",)
    assert node["convb"].blobs == node["conva"].blobs == node["conva"].parameters == ("conva[0]",)
    assert node["bnb"].state == node["bna"].state == ("bna[0]", "bna[1]", "bna[2]")
    assert not node["bna"].parameters
    assert set(graph.inputs) == {"data", "label"}
    assert graph.losses == {"loss": 1}
    assert graph.blob_of["conva@bna"] == "conva"
    lstm = next(node for node in build("recurrent", caffe.TEST).graph().nodes if node.type == "LSTM")
    assert lstm.state == lstm.carried == ("one.carried[0]", "one.carried[1]")


def test_from_the_middle_and_what_is_missing() -> None:
    net = build("in_place", caffe.TEST)
    graph = net.graph()
    net.forward()
    mid, label = (on_device(net.blobs[name].data) for name in ("mid", "label"))
    outputs, _ = graph.run({"mid": mid, "label": label})
    close(outputs["loss"], net.blobs["loss"].data)
    with pytest.raises(InputError, match=r"'label'.* must be given"):
        graph.run({"mid": mid})
    with pytest.raises(UnknownNameError, match="'middle'"):
        graph.run({"middle": mid})


def test_python_layers_are_no_functions() -> None:
    net = build("python", caffe.TEST)
    graph = net.graph()
    assert [node.kind for node in graph.nodes if node.type == "Python"] == ["python"]
    with pytest.raises(StateError, match=r"layer 'mid'.*TensorLayer"):
        graph.run(inputs_of(net, graph))


def test_data_layers_are_inputs() -> None:
    n = caffe.NetSpec()
    n.data = L.DummyData(shape=dict(dim=[2, 3]))
    n.ip = L.InnerProduct(n.data, num_output=4, weight_filler=dict(type="xavier"))
    graph = caffe.Net(n, caffe.TRAIN).graph()
    assert graph.inputs == {"data": (2, 3)}
    outputs, _ = graph.run({"data": on_device(np.ones((5, 3), np.float32))})
    assert outputs["ip"].shape == (5, 4)
