"""Habits of scripts in the wild: what they write into blobs, import, resize and ask of a net's insides."""

import lmdb
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.errors import InputError


def net_of(tmp_path, spec, phase=caffe.TEST):
    path = tmp_path / "net.prototxt"
    path.write_text(f"force_backward: true\n{spec.to_proto()}")
    return caffe.Net(str(path), phase)


def two_ways(tmp_path, phase):
    """Two branches added, an identity, two slices: values and gradients that pass through unchanged."""
    n = caffe.NetSpec()
    n.a, n.b = L.Input(shape=[dict(dim=[2, 4]), dict(dim=[2, 4])], ntop=2)
    n.p, n.q = L.Power(n.a, scale=2), L.Power(n.b, scale=3)
    n.sum = L.Eltwise(n.p, n.q)
    n.same = L.Power(n.sum)
    n.left, n.right = L.Slice(n.same, axis=1, slice_point=1, ntop=2)
    net = net_of(tmp_path, n, phase)
    net.blobs["a"].data[...], net.blobs["b"].data[...] = 1, 5
    net.forward()
    net.blobs["left"].diff[...] = net.blobs["right"].diff[...] = 1
    net.backward()
    return net


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
class TestWritingToOneBlobLeavesTheOthers:
    """As where the ReLUs of a guided backward pass are clipped by hand, blob by blob."""

    def test_gradients(self, tmp_path, phase):
        net = two_ways(tmp_path, phase)
        net.blobs["p"].diff[...] = -7
        net.blobs["sum"].diff[:, 0] = 8
        assert (net.blobs["q"].diff == 1).all() and (net.blobs["same"].diff == 1).all()
        assert (net.blobs["p"].diff == -7).all()
        net.backward(start="p", end="p")
        assert (net.blobs["a"].diff == -14).all() and (net.blobs["b"].diff == 3).all()

    def test_values(self, tmp_path, phase):
        net = two_ways(tmp_path, phase)
        net.blobs["right"].data[...] = 9
        net.blobs["sum"].data[...] = 4
        assert (net.blobs["same"].data == 17).all() and (net.blobs["left"].data == 17).all()
        net.forward(start="same", end="same")
        assert (net.blobs["same"].data == 4).all()
        net.blobs["same"].data[...] = 3
        assert (net.blobs["sum"].data == 4).all()


def test_a_gradient_set_through_its_flat_view(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 2, 6, 7]))
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3, weight_filler=dict(type="xavier"))
    n.pool = L.Pooling(n.conv, kernel_size=2)
    net = net_of(tmp_path, n)
    net.forward()
    net.blobs["pool"].diff[...] = 1
    net.backward()
    gradient = net.blobs["conv"].diff
    assert gradient.any() and gradient.flags.c_contiguous
    gradient.reshape(4, -1)[:] = 0
    gradient.ravel()[5] = 3
    assert net.blobs["conv"].diff[0, 0, 1, 0] == 3
    net.backward(start="conv")
    expected = 3 * net.params["conv"][0].data[0]
    np.testing.assert_allclose(net.blobs["data"].diff[0, :, 1:4, 0:3], expected, rtol=1e-5)


@pytest.mark.cpu  # on an accelerator each blob has a host side of its own
def test_reshaping_layers_share_their_values(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 4]))
    n.flat = L.Flatten(n.data)
    n.whole = L.Reshape(n.flat, shape=dict(dim=[24]))
    net = net_of(tmp_path, n)
    net.forward()
    net.blobs["whole"].data[...] = np.arange(24)
    np.testing.assert_array_equal(net.blobs["data"].data.flat, np.arange(24))


@pytest.mark.parametrize("module", ["caffe.pycaffe", "caffe._caffe"])
def test_star_imports(module):
    names = {}
    exec(f"from {module} import *", names)
    assert names["Net"] is caffe.Net and names["SGDSolver"] is caffe.SGDSolver


def test_blob_ids(tmp_path):
    net = two_ways(tmp_path, caffe.TEST)
    names = list(net._blob_names)
    for i, layer in enumerate(net._layer_names):
        assert [names[b] for b in net._bottom_ids(i)] == net.bottom_names[layer]
        assert [names[b] for b in net._top_ids(i)] == net.top_names[layer]


class TestResize:
    def test_pixels_are_areas_with_zeros_around(self):
        line = np.array([[1.0, 3.0]])
        np.testing.assert_allclose(caffe.io.resize(line, (1, 4)), [[0.75, 1.5, 2.5, 2.25]])
        np.testing.assert_allclose(caffe.io.resize(line, (1, 4), mode="edge"), [[1, 1.5, 2.5, 3]])
        np.testing.assert_allclose(caffe.io.resize(line, [1, 4], cval=9), [[3, 1.5, 2.5, 4.5]])
        np.testing.assert_allclose(caffe.io.resize(line, (1, 4), mode="reflect"), [[1.5, 1.5, 2.5, 2.5]])

    @pytest.mark.parametrize("shape", [(5, 9), (5, 9, 3), (14, 3)])
    def test_is_resize_image_over_black(self, shape):
        image = np.random.RandomState(0).rand(7, 6, 3).astype(np.float32)
        image[2, 3] = 0
        found = caffe.io.resize(image, shape)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, caffe.io.resize_image(image, shape[:2]), atol=1e-6)

    def test_integers(self):
        image = np.full((3, 4), 51, np.uint8)
        found = caffe.io.resize(image, (2, 2))
        assert found.shape == (2, 2) and found.dtype == np.float64
        np.testing.assert_allclose(found, 0.2, rtol=1e-6)
        np.testing.assert_allclose(caffe.io.resize(image, (2, 2), preserve_range=True), 51)

    @pytest.mark.parametrize(
        ("shape", "options"),
        [((3, 8, 8), {}), ((8,), {}), ((0, 3), {}), ((8, 8), {"order": 2}), ((8, 8), {"mode": "mirror"})],
    )
    def test_bad_arguments(self, shape, options):
        with pytest.raises(InputError, match="must be"):
            caffe.io.resize(np.zeros((5, 6, 3)), shape, **options)


def test_training_on_a_database_that_the_script_left_open(tmp_path):
    database = lmdb.open(str(tmp_path / "db"), map_size=1 << 20)
    with database.begin(write=True) as transaction:
        for i in range(5):
            datum = caffe.io.array_to_datum(np.full((1, 2, 3), i, np.uint8), i)
            transaction.put(f"{i:08}".encode(), datum.SerializeToString())
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=5, source=str(tmp_path / "db"), backend=caffe.params.Data.LMDB, ntop=2
    )
    net = net_of(tmp_path, n)
    net.forward()
    np.testing.assert_array_equal(net.blobs["label"].data, np.arange(5))
    np.testing.assert_array_equal(net.blobs["data"].data[:, 0, 1, 2], np.arange(5))
    with database.begin(write=True) as transaction:  # the script's own is as it was
        assert transaction.put(b"x", b"y")


def test_forward_all_of_an_empty_batch(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3]))
    n.twice = L.Power(n.data, scale=2)
    net = net_of(tmp_path, n)
    net.blobs["data"].reshape(0, 3)
    with pytest.raises(InputError, match="at least one item"):
        net.forward_all(data=np.ones((4, 3)))
