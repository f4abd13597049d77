"""Classifier: preprocessing, crops and averages; SqueezeNet on photos against the original."""

import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe import layers as L
from caffe.errors import InputError, NetError
from caffe.net_spec import NetSpec

MEAN = np.array([104.0, 117.0, 123.0])


def pixel_net(channels=3, height=4, width=5, batch=2):
    """A net whose scores are its input's values, so that what went in can be seen."""
    n = NetSpec()
    n.data = L.Input(shape=[batch, channels, height, width])
    n.out = L.Flatten(n.data)
    return n


def test_what_goes_in():
    rgb = np.random.RandomState(0).rand(4, 5, 3).astype(np.float32)
    net = caffe.Classifier(
        pixel_net(), None, mean=MEAN, input_scale=0.5, raw_scale=255, channel_swap=(2, 1, 0)
    )
    expected = (255 * rgb[:, :, ::-1].transpose(2, 0, 1) - MEAN[:, None, None]) * 0.5
    scores = net.predict([rgb, 2 * rgb, rgb], oversample=False)
    assert scores.shape == (3, 60)
    np.testing.assert_allclose(scores[0].reshape(3, 4, 5), expected, atol=1e-3)
    np.testing.assert_array_equal(scores[0], scores[2])


def test_the_centre_of_a_larger_image():
    image = np.arange(8 * 9, dtype=np.float32).reshape(8, 9, 1)
    net = caffe.Classifier(pixel_net(1), None, image_dims=(8, 9))
    np.testing.assert_allclose(
        net.predict([image], oversample=False)[0].reshape(4, 5), image[2:6, 2:7, 0], atol=1e-5
    )


def test_oversampling_is_the_mean_over_ten_crops():
    image = np.random.RandomState(0).rand(8, 9, 3).astype(np.float32)
    net = caffe.Classifier(pixel_net(), None, image_dims=(8, 9))
    crops = caffe.io.oversample([image], (4, 5))
    found = net.predict([image, image + 1])
    np.testing.assert_allclose(found[0].reshape(3, 4, 5), crops.mean(0).transpose(2, 0, 1), atol=1e-5)
    np.testing.assert_allclose(found[1], found[0] + 1, atol=1e-5)


def test_it_is_a_net():
    net = caffe.Classifier(pixel_net(), None)
    assert isinstance(net, caffe.Net) and net.transformer.transpose == {"data": (2, 0, 1)}
    assert net.image_dims.tolist() == net.crop_dims.tolist() == [4, 5]


def test_what_cannot_be():
    n = NetSpec()
    n.data = L.Input(shape=[2, 3])
    n.out = L.ReLU(n.data)
    with pytest.raises(NetError, match=r"N×C×H×W.*deploy prototxt"):
        caffe.Classifier(n, None)
    with pytest.raises(InputError, match=r"at least the net's \[4, 5\]; got \[3, 5\]"):
        caffe.Classifier(pixel_net(), None, image_dims=(3, 5))
    with pytest.raises(InputError, match="Mean channels"):
        caffe.Classifier(pixel_net(), None, mean=np.zeros(4))
    net = caffe.Classifier(pixel_net(), None)
    with pytest.raises(InputError, match="at least one image"):
        net.predict([])
    with pytest.raises(InputError, match="H×W×C"):
        net.predict([np.zeros((4, 5))])


def same_top_five(found, expected):
    best = np.argsort(-expected)[:5]
    assert np.argsort(-found)[:5].tolist() == best.tolist()
    np.testing.assert_allclose(found[best], expected[best], rtol=0.01)


@pytest.fixture(scope="module")
def squeezenet():
    folder = assets("models", "squeezenet_v1.0_deepcompression")
    return caffe.Classifier(
        str(folder / "deploy.prototxt"),
        str(folder / "weights.caffemodel"),
        image_dims=(256, 256),
        mean=MEAN,
        raw_scale=255,
        channel_swap=(2, 1, 0),
    )


PHOTOS = [
    "000067.jpg",
    "004545.jpg",
    "airplane_1.jpg",
    "bicycles.jpg",
    "cat.jpg",
    "faces.jpg",
    "fish-bike.jpg",
]


@pytest.mark.parametrize("photo", [*PHOTOS, "mountains.jpg"])
def test_squeezenet_on_photos(squeezenet, photo):
    expected = np.load(assets("models", "squeezenet_v1.0_deepcompression") / "photos.npz")[f"prob/{photo}"]
    image = caffe.io.load_image(assets("photos") / photo)
    squeezenet.blobs["data"].data[...] = squeezenet.transformer.preprocess("data", image)
    same_top_five(next(iter(squeezenet.forward().values()))[0].ravel(), expected)


@pytest.mark.parametrize("photo", ["cat.jpg", "airplane_1.jpg"])
def test_squeezenet_with_oversampling(squeezenet, photo):
    expected = np.load(assets("models", "squeezenet_v1.0_deepcompression") / "photos.npz")[
        f"oversampled/{photo}"
    ]
    same_top_five(squeezenet.predict([caffe.io.load_image(assets("photos") / photo)])[0], expected)


def mnist(count):
    import gzip

    raw = gzip.decompress((assets("mnist") / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((assets("mnist") / "t10k-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, count * 784, offset=16).reshape(count, 28, 28, 1)
    return images / np.float32(255), np.frombuffer(labels, np.uint8, count, offset=8)


def test_lenet_on_digits():
    folder = assets("models", "lenet_v2_caffe_tensorflow")
    net = caffe.Classifier(str(folder / "deploy.prototxt"), str(folder / "weights.caffemodel"))
    images, labels = mnist(200)
    found = net.predict(images, oversample=False).argmax(axis=1)
    assert (found == labels).mean() > 0.97
