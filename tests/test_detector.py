"""Detector: windows, their context, and what lies outside the image."""

import sys
import types

import cv2
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.errors import InputError, MissingPackageError
from caffe.net_spec import NetSpec


def make(size=8, **kwargs):
    """A detector whose scores are the mean colour of its input."""
    n = NetSpec()
    n.data = L.Input(shape=[2, 3, size, size])
    n.out = L.Pooling(n.data, pool="AVE", global_pooling=True)
    return caffe.Detector(n, None, **kwargs)


@pytest.fixture
def photo(tmp_path):
    """Blue left of column 10, red right of it."""
    pixels = np.zeros((16, 20, 3), np.uint8)
    pixels[:, :10, 0] = 255
    pixels[:, 10:, 2] = 255
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    return str(tmp_path / "photo.png")


def test_windows(photo):
    windows = np.array([[0, 0, 6, 6], [2, 12, 9, 19], [0, 5, 16, 15]])
    found = make(raw_scale=2.0).detect_windows([(photo, windows), (photo, [[1, 1, 4, 4]])])
    assert [f["filename"] for f in found] == [photo] * 4
    assert found[1]["window"].tolist() == [2, 12, 9, 19]
    colours = np.array([f["prediction"].ravel() for f in found])
    np.testing.assert_allclose(
        colours, [[0, 0, 2], [2, 0, 0], [1, 0, 1], [0, 0, 2]], atol=0.35
    )  # edges are darker: resized as in pycaffe
    assert make().detect_windows([]) == []


def test_crops_without_context_are_the_windows():
    image = np.random.RandomState(0).rand(16, 20, 3).astype(np.float32)
    np.testing.assert_array_equal(make().crop(image, (2, 3, 9, 14)), image[2:9, 3:14])
    np.testing.assert_array_equal(make().crop(image, (-2, -3, 9, 14)), image[:9, :14])


def test_context_surrounds_the_window():
    image = np.zeros((60, 70, 3), np.float32)
    image[20:31, 30:41] = 1  # a window of 11×11 pixels, both ends counted
    net = make(size=33, context_pad=11)
    crop = net.crop(image, (20, 30, 30, 40))
    assert crop.shape == (33, 33, 3)
    assert crop[14:19, 14:19].min() > 0.99  # the window, in the middle
    assert crop[:8].max() == crop[:, :8].max() == crop[-8:].max() == 0  # its surroundings


def test_outside_the_image_lies_the_mean():
    net = make(
        size=24, context_pad=8, mean=np.array([10.0, 20.0, 30.0]), raw_scale=255, channel_swap=(2, 1, 0)
    )
    np.testing.assert_allclose(net.crop_mean[0, 0] * 255, [30, 20, 10], rtol=1e-6)  # RGB
    crop = net.crop(np.ones((50, 40, 3), np.float32), (0, 0, 9, 9))
    values = net.transformer.preprocess("data", crop)
    np.testing.assert_allclose(values[:, :6, :6], 0, atol=1e-4)
    np.testing.assert_allclose(values[:, 12, 12], [245, 235, 225], atol=1e-3)


def test_a_mean_image_lies_outside_too():
    mean = np.random.RandomState(0).rand(3, 24, 24).astype(np.float32)
    net = make(size=24, context_pad=8, mean=mean)
    np.testing.assert_allclose(net.crop_mean, mean.transpose(1, 2, 0))


def test_context_can_be_set_later():
    net = make(size=24)
    assert net.context_pad is None
    net.configure_crop(6)
    assert net.crop(np.ones((50, 40, 3)), (10, 10, 20, 20)).shape == (24, 24, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make(context_pad=4), "below half of the net's input of 8×8; got 4"),
        (lambda: make().crop(np.ones((5, 6, 3)), (1, 2, 1, 4)), "min below max"),
        (lambda: make().crop(np.ones((5, 6, 3)), (1, 2, 3)), "ymin, xmin, ymax, xmax"),
        (lambda: make().crop(np.ones((5, 6, 3)), (7, 2, 9, 4)), "in its image of 5×6 pixels"),
        (lambda: make(context_pad=1).crop(np.ones((5, 6, 3)), (70, 2, 90, 4)), "in its image of 5×6 pixels"),
    ],
)
def test_what_cannot_be(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_selective_search_is_the_users(photo, monkeypatch):
    net = make()
    with pytest.raises(MissingPackageError, match=r"selective_search_ijcv_with_python.*detect_windows"):
        net.detect_selective_search([photo])
    package = types.ModuleType("selective_search_ijcv_with_python")
    package.get_windows = lambda names, cmd: [np.array([[0, 0, 6, 6]]) for _ in names]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    found = net.detect_selective_search([photo])
    assert len(found) == 1 and found[0]["filename"] == photo
