"""What scripts written for pycaffe rely on, of Net and Solver: constructors, views, names, lifetimes, modes."""

import gc
import resource
import warnings
import weakref

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.errors import CaffeError, InputError, InputTypeError, LayerError, UnknownNameError
from caffe.proto import caffe_pb2


def small(batch=3):
    n = caffe.NetSpec("small")
    n.data = L.Input(shape=[batch, 2, 6, 7])
    n.label = L.Input(shape=[batch])
    filler = dict(type="gaussian", std=0.2)
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3, weight_filler=filler, bias_filler=filler)
    n.relu = L.ReLU(n.conv, in_place=True)
    n.ip = L.InnerProduct(n.relu, num_output=5, weight_filler=filler)
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    return n


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.prototxt").write_text(str(small()))
    return str(tmp_path / "net.prototxt")


@pytest.fixture
def net(file):
    net = caffe.Net(file, caffe.TRAIN)
    random = np.random.RandomState(0)
    net.blobs["data"].data[...] = random.randn(3, 2, 6, 7)
    net.blobs["label"].data[...] = [0, 4, 2]
    return net


def test_names(net):
    assert net.inputs == ["data", "label"] and net.outputs == ["loss"]
    assert list(net.blobs) == ["data", "label", "conv", "ip", "loss"]
    assert list(net.params) == ["conv", "ip"] and [len(p) for p in net.params.values()] == [2, 2]
    assert net.top_names["relu"] == net.bottom_names["relu"] == ["conv"]
    assert net.bottom_names["loss"] == ["ip", "label"]
    assert list(net.layer_dict) == list(net._layer_names) == ["data", "label", "conv", "relu", "ip", "loss"]
    assert [layer.type for layer in net.layers][2:4] == ["Convolution", "ReLU"]
    assert net.layers[2].blobs[0].data.shape == net.layer_dict["conv"].blobs[0].data.shape == (4, 2, 3, 3)
    assert net.blob_loss_weights["loss"] == 1 and net.blob_loss_weights["ip"] == 0


@pytest.mark.parametrize("how", range(6))
def test_constructors(net, file, tmp_path, how):
    weights = str(tmp_path / "w.caffemodel")
    net.save(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = [
            lambda: caffe.Net(file, caffe.TEST, weights=weights),
            lambda: caffe.Net(file, weights, caffe.TEST),
            lambda: caffe.Net(network_file=file, phase=caffe.TEST, weights=weights),
            lambda: caffe.Net(file, caffe.TEST, 0, ["a"], weights),
            lambda: caffe.Net(file, caffe.TEST, level=1, stages=["a", "b"], weights=weights),
            lambda: caffe.Net(small(), caffe.TEST, weights=weights),
        ][how]()
    for name, blobs in net.params.items():
        for ours, theirs in zip(blobs, made.params[name], strict=True):
            np.testing.assert_array_equal(ours.data, theirs.data)


def test_forward_and_backward(net):
    loss = net.forward()
    assert list(loss) == ["loss"] and loss["loss"].shape == ()
    assert list(net.forward(blobs=["conv"])) == ["loss", "conv"]
    net.clear_param_diffs()
    net.backward()
    once = net.params["ip"][0].diff.copy()
    assert np.abs(once).max() > 0
    net.backward()
    np.testing.assert_allclose(net.params["ip"][0].diff, 2 * once, rtol=1e-5)  # they add up
    net.clear_param_diffs()
    assert not net.params["ip"][0].diff.any()


def test_part_of_a_net(net):
    net.forward()
    before = net.blobs["ip"].data.copy()
    net.blobs["conv"].data[...] = 0
    assert list(net.forward(start="ip", end="ip")) == ["ip"]
    np.testing.assert_allclose(net.blobs["ip"].data, np.tile(net.params["ip"][1].data, (3, 1)), atol=1e-6)
    np.testing.assert_allclose(net.forward(end="ip")["ip"], before, atol=1e-6)


def test_forward_with_arguments(net):
    data, label = net.blobs["data"].data.copy(), net.blobs["label"].data.copy()
    expected = float(net.forward()["loss"])
    net.blobs["data"].data[...] = 0
    assert float(net.forward(data=data, label=label)["loss"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda n: n.forward(start="conv9"), UnknownNameError, "conv9.*'conv'"),
        (lambda n: n.forward(end="ipp"), KeyError, "ipp.*'ip'"),
        (lambda n: n.forward(blobs=["dat"]), UnknownNameError, "dat.*'data'"),
        (lambda n: n.backward(start="los"), UnknownNameError, "los.*'loss'"),
        (lambda n: n.forward(data=np.zeros((3, 2, 6, 7))), InputError, "data, label; got data"),
        (lambda n: n.forward(data=np.zeros((2, 2, 6, 7)), label=np.zeros(3)), InputError, "batch size.*3.*2"),
        (lambda n: n.forward(data=np.zeros((3, 2, 6, 6)), label=np.zeros(3)), InputError, r"\[3, 2, 6, 7\]"),
        (lambda n: n.forward(data=np.full((3, 2, 6, 7), "a"), label=np.zeros(3)), InputTypeError, "numbers"),
        (lambda n: n.set_input_arrays(np.zeros((3, 2, 6, 7)), np.zeros(3)), InputError, "MemoryData"),
        (lambda n: setattr(n.blobs["data"], "data", np.zeros(3)), InputError, "data cannot be replaced"),
        (lambda n: n.blobs["data"].reshape(3, -1), InputError, "at least 0; got -1"),
        (lambda n: caffe.Net(small(), 2), InputError, "phase"),
        (lambda n: caffe.Net(small(), caffe.TEST, stages="deploy"), InputTypeError, "stages"),
    ],
)
def test_bad_arguments(net, call, error, words):
    with pytest.raises(error, match=words) as info:
        call(net)
    assert isinstance(info.value, CaffeError)


def test_blobs(net):
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (3, 2, 6, 7, 252)
    assert tuple(blob.shape) == blob.data.shape == blob.diff.shape and blob.data.dtype == np.float32
    label = net.blobs["label"]
    assert (label.num, label.channels, label.height, label.width) == (3, 1, 1, 1)
    blob.data[...] += 1
    blob.data += 1  # augmented assignment assigns the array itself back
    with pytest.raises(LayerError):
        caffe.Blob(1, 2, 3, 4, 5).num


def test_reshaping_the_input(net):
    net.blobs["data"].reshape(5, 2, 6, 7)
    net.blobs["label"].reshape(5)
    net.reshape()
    assert net.blobs["ip"].data.shape == (5, 5)
    assert net.forward()["loss"].shape == ()


def test_views_outlive_the_net(file):
    net = caffe.Net(file, caffe.TRAIN)
    net.forward()
    views = [blob.data for blobs in net.params.values() for blob in blobs]
    views += [net.blobs["data"].data, net.blobs["ip"].diff]
    total = sum(float(v.sum()) for v in views)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert sum(float(v.sum()) for v in views) == total


def test_save_and_read(net, file, tmp_path):
    for name, save in (("w.caffemodel", net.save), ("w.caffemodel.h5", net.save_hdf5)):
        save(str(tmp_path / name))
        other = caffe.Net(file, str(tmp_path / name), caffe.TEST)
        for key in net.params:
            for a, b in zip(net.params[key], other.params[key], strict=True):
                np.testing.assert_array_equal(a.data, b.data)
    other = caffe.Net(file, caffe.TEST)
    other.share_with(net)
    net.params["ip"][0].data[...] = 3
    assert (other.params["ip"][0].data == 3).all()


RULES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "ReLU" bottom: "data" top: "a" include { stage: "A" } }
layer { name: "b" type: "ReLU" bottom: "data" top: "b" include { stage: "A" stage: "B" } include { min_level: 3 } }
layer { name: "c" type: "ReLU" bottom: "data" top: "c" exclude { phase: TRAIN } }
"""


@pytest.mark.parametrize(
    ("phase", "level", "stages", "names"),
    [
        (caffe.TRAIN, 0, None, []),
        (caffe.TRAIN, 0, ["A"], ["a"]),
        (caffe.TEST, 0, ["B", "A"], ["a", "b", "c"]),
        (caffe.TRAIN, 3, [], ["b"]),
        (caffe.TEST, 2, ["B"], ["c"]),
    ],
)
def test_phase_level_and_stages(tmp_path, phase, level, stages, names):
    (tmp_path / "net.prototxt").write_text(RULES)
    net = caffe.Net(str(tmp_path / "net.prototxt"), phase, level=level, stages=stages)
    assert [name for name in net._layer_names if name in "abc"] == names


def test_forward_all_of_more_than_a_batch(net):
    random = np.random.RandomState(1)
    data, label = random.randn(7, 2, 6, 7).astype(np.float32), np.arange(7) % 5
    found = net.forward_all(blobs=["ip"], data=data, label=label)["ip"]
    assert found.shape == (7, 5)
    one = net.forward(blobs=["ip"], data=data[3:6], label=label[3:6])["ip"]
    np.testing.assert_allclose(found[3:6], one, rtol=1e-5, atol=1e-6)


def test_modes_keep_weights_and_outputs(net):
    weights = net.params["conv"][0].data.copy()
    before = net.forward(blobs=["ip"])["ip"].copy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where there is no accelerator
            caffe.set_device(0)
            caffe.set_mode_gpu()
            there = net.forward(blobs=["ip"])["ip"].copy()
            net.params["conv"][0].data[...] *= 2  # written on the host while the mode is GPU
            assert not np.allclose(net.forward(blobs=["ip"])["ip"], there, atol=1e-4)
            net.params["conv"][0].data[...] /= 2
            net.backward()
    finally:
        caffe.set_mode_cpu()
    np.testing.assert_allclose(there, before, atol=1e-4)
    np.testing.assert_array_equal(net.params["conv"][0].data, weights)
    np.testing.assert_allclose(net.forward(blobs=["ip"])["ip"], before, atol=1e-4)


def solver_of(folder, spec, name="solver", test=None, more=""):
    (folder / f"{name}_train.prototxt").write_text(str(spec))
    text = (
        f'train_net: "{folder}/{name}_train.prototxt" base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" {more}'
    )
    if test is not None:
        (folder / f"{name}_test.prototxt").write_text(str(test))
        text += f' test_net: "{folder}/{name}_test.prototxt" test_iter: 1 test_interval: 99999'
    (folder / f"{name}.prototxt").write_text(f'{text} snapshot_prefix: "{folder}/{name}"')
    return caffe.get_solver(str(folder / f"{name}.prototxt"))


def learner(source):
    n = caffe.NetSpec()
    n.data, n.label = source
    n.ip = L.InnerProduct(n.data, num_output=6, weight_filler=dict(type="constant", value=0.01))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    n.accuracy = L.Accuracy(n.ip, n.label)
    return n


def memory(batch):
    return L.MemoryData(batch_size=batch, channels=2, height=3, width=5, ntop=2)


@pytest.fixture
def items():
    """Bytes whose brightest part tells the label, as an array and as labels."""
    random = np.random.RandomState(0)
    labels = random.randint(6, size=80)
    data = random.randint(0, 100, (80, 2, 3, 5)).astype(np.uint8)
    for image, label in zip(data.reshape(80, 30), labels):
        image[5 * label : 5 * label + 5] += 100
    return data, labels


def test_training_from_memory_is_training_from_lmdb(tmp_path, items):
    import lmdb

    data, labels = items
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 24) as db, db.begin(write=True) as transaction:
        for i, (image, label) in enumerate(zip(data, labels)):
            transaction.put(b"%08d" % i, caffe.io.array_to_datum(image, int(label)).SerializeToString())
    scale = 1 / 64
    source = str(tmp_path / "db")
    transform = dict(scale=scale)
    from_db = L.Data(source=source, backend=P.Data.LMDB, batch_size=16, transform_param=transform, ntop=2)
    a = solver_of(tmp_path, learner(from_db), "a")
    b = solver_of(tmp_path, learner(memory(16)), "b", learner(memory(40)), more="average_loss: 5")
    b.net.set_input_arrays((data * scale).astype(np.float32), labels.astype(np.float32))
    b.test_nets[0].set_input_arrays((data * scale).astype(np.float32), labels.astype(np.float32))
    for _ in range(40):
        a.step(1)
        b.step(1)
        np.testing.assert_allclose(b.net.blobs["loss"].data, a.net.blobs["loss"].data, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(b.net.params["ip"][0].data, a.net.params["ip"][0].data, rtol=1e-3, atol=1e-5)
    assert float(b.test_nets[0].forward()["accuracy"]) > 0.95


def test_arrays_given_ten_thousand_times_leak_nothing():
    net = caffe.Net(learner(memory(4)), caffe.TEST)

    def calls(count):
        for i in range(count):
            net.set_input_arrays(np.full((8, 2, 3, 5), i % 7, np.float32), np.zeros(8, np.float32))
        net.forward()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = calls(500)
    assert calls(10_000) - before < 4096  # KiB; the arrays given are 10 MB


def test_given_arrays_stay_alive():
    net = caffe.Net(learner(memory(4)), caffe.TEST)
    net.set_input_arrays(np.full((8, 2, 3, 5), 7, np.float32), np.zeros(8, np.float32))
    gc.collect()
    rubbish = [np.zeros((8, 2, 3, 5), np.float32) for _ in range(50)]
    for _ in range(3):
        net.forward()
        assert (net.blobs["data"].data == 7).all()
    assert len(rubbish) == 50


class Interrupts(caffe.Layer):
    """Passes its bottom on; is interrupted when told to."""

    armed = False

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        if Interrupts.armed:
            Interrupts.armed = False
            raise KeyboardInterrupt
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff


def test_an_interrupt_leaves_the_solver_usable(tmp_path, items, monkeypatch):
    import sys
    import types

    module = types.ModuleType("interrupting_layers")
    module.Interrupts = Interrupts
    monkeypatch.setitem(sys.modules, "interrupting_layers", module)
    n = learner(memory(16))
    n.ip2 = L.Python(n.ip, module="interrupting_layers", layer="Interrupts")
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    solver = solver_of(tmp_path, n)
    solver.net.set_input_arrays(items[0].astype(np.float32) / 64, items[1].astype(np.float32))
    solver.step(3)
    Interrupts.armed = True
    with pytest.raises(KeyboardInterrupt):
        solver.step(5)
    assert solver.iter == 3
    solver.step(20)
    assert solver.iter == 23 and float(solver.net.blobs["loss"].data) < 1


def test_datums_and_messages_are_the_schemas():
    assert caffe.proto.caffe_pb2 is caffe_pb2
    assert caffe.io.array_to_datum(np.zeros((1, 2, 3), np.uint8)).DESCRIPTOR is caffe_pb2.Datum.DESCRIPTOR


def test_layer_types():
    types = caffe.layer_type_list()
    assert {"Convolution", "Data", "InnerProduct", "Python", "SoftmaxWithLoss", "ReLU"} <= set(types)


def test_nccl_says_what_is_there():
    assert caffe.has_nccl() in (True, False)
