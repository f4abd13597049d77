"""caffe.io against what the original's gave, and its checks."""

import io as python_io

import cv2
import numpy as np
import pytest
from support_assets import GOLDEN

import caffe
from caffe.errors import CorruptDataError, DataError, InputError, InputTypeError, MissingFileError
from caffe.proto import caffe_pb2

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "io.npz") as file:
        return {key.removeprefix("io/"): file[key] for key in file}


@pytest.fixture
def transformer():
    t = caffe.io.Transformer({"data": (1, 3, 40, 44)})
    t.set_transpose("data", (2, 0, 1))
    t.set_mean("data", np.array([104.0, 117.0, 123.0]))
    t.set_raw_scale("data", 255)
    t.set_channel_swap("data", (2, 1, 0))
    t.set_input_scale("data", 0.017)
    return t


def test_load_image_of_a_file_that_stands_anywhere():
    """As where an image came over the network: written into memory, read at once."""
    image = np.random.RandomState(0).randint(0, 256, (5, 7, 3), np.uint8)
    file = python_io.BytesIO()
    file.write(cv2.imencode(".png", image)[1].tobytes())
    for _ in range(2):
        np.testing.assert_array_equal(caffe.io.load_image(file), image[:, :, ::-1] / np.float32(255))

    class Stream(python_io.RawIOBase):
        def read(self, size=-1):
            return file.getvalue()

    np.testing.assert_array_equal(caffe.io.load_image(Stream()), image[:, :, ::-1] / np.float32(255))
    with pytest.raises(InputTypeError, match=r"binary file.*rb"):
        caffe.io.load_image(python_io.StringIO("x"))


def test_load_image(golden):
    images = GOLDEN / "formats" / "images"
    image = caffe.io.load_image(images / "scene.jpg")
    assert image.dtype == np.float32 and list(image.shape) == golden["load_image_shape"].tolist()
    np.testing.assert_allclose(image[:40, :50], golden["load_image_corner"], atol=TOLERANCE)
    gray = caffe.io.load_image(str(images / "scene_gray.jpg"), color=False)
    np.testing.assert_allclose(gray[:40, :50], golden["load_gray_corner"], atol=TOLERANCE)
    coloured = caffe.io.load_image(str(images / "scene_gray.jpg"))
    np.testing.assert_allclose(coloured[:20, :20], golden["load_gray_as_color_corner"], atol=TOLERANCE)


def test_load_image_of_other_kinds(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (5, 7, 4)).astype(np.uint8)
    rgb = pixels[:, :, 2::-1] / np.float32(255)
    cv2.imwrite(str(tmp_path / "alpha.png"), pixels)
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "alpha.png"), rgb, atol=1e-7)
    cv2.imwrite(str(tmp_path / "deep.png"), pixels[:, :, :3].astype(np.uint16) * 257)
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "deep.png"), rgb, atol=1e-7)
    luminance = rgb @ np.array([0.2125, 0.7154, 0.0721])
    gray = caffe.io.load_image(tmp_path / "alpha.png", color=False)
    np.testing.assert_allclose(gray[:, :, 0], luminance, atol=1e-6)
    content = python_io.BytesIO((tmp_path / "alpha.png").read_bytes())
    np.testing.assert_allclose(caffe.io.load_image(content), rgb, atol=1e-7)


def test_load_image_of_no_image(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.jpg"):
        caffe.io.load_image(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    for name in ("text.jpg", "empty.jpg"):
        with pytest.raises(DataError, match=f"{name}.*cannot be decoded"):
            caffe.io.load_image(tmp_path / name)


def test_resize_image(golden):
    small = golden["small"]
    resized = caffe.io.resize_image(small, (50, 61))
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, golden["resize_image"], atol=TOLERANCE)
    six = np.concatenate([small, small], axis=2)
    np.testing.assert_allclose(caffe.io.resize_image(six, (50, 61)), golden["resize_6ch"], atol=TOLERANCE)
    flat = np.full((6, 7, 1), 0.25)
    np.testing.assert_allclose(caffe.io.resize_image(flat, (4, 5)), golden["resize_constant"], atol=TOLERANCE)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resize_to_the_same_size_changes_nothing(channels, order):
    image = np.random.RandomState(0).rand(5, 7, channels) * 3 - 1
    np.testing.assert_allclose(caffe.io.resize_image(image, (5, 7), order), image, atol=1e-6)


def test_resize_cubic_continues_a_slope():
    ramp = np.tile(np.arange(16.0)[:, None, None], (1, 4, 3))
    wide = caffe.io.resize_image(ramp, (32, 4), interp_order=3)
    np.testing.assert_allclose(wide[4:-4, 1, 0], np.arange(2, 14, 0.5) - 0.25, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "dims", "order", "words"),
    [
        (np.zeros((5, 7)), (2, 3), 1, "H×W×C"),
        (np.zeros((5, 0, 3)), (2, 3), 1, "H×W×C"),
        (np.zeros((5, 7, 3)), (0, 3), 1, "at least 1"),
        (np.zeros((5, 7, 3)), (4, 3, 2), 1, "height, width"),
        (np.zeros((5, 7, 3)), (4, 3), 2, "0 .nearest., 1 .linear. or 3 .cubic.; got 2"),
    ],
)
def test_resize_of_what_cannot_be(image, dims, order, words):
    with pytest.raises(InputError, match=words):
        caffe.io.resize_image(image, dims, order)


def test_oversample(golden):
    crops = caffe.io.oversample([golden["small"]], (60, 50))
    np.testing.assert_allclose(crops, golden["oversample"], atol=TOLERANCE)
    with pytest.raises(InputError, match="within the image, 60×80; got 61×50"):
        caffe.io.oversample([golden["small"]], (61, 50))
    with pytest.raises(InputError, match="image 1"):
        caffe.io.oversample([golden["small"], golden["small"][1:]], (20, 30))
    with pytest.raises(InputError, match="at least one"):
        caffe.io.oversample([], (20, 30))


def test_oversample_order():
    image = np.arange(5 * 6, dtype=float).reshape(5, 6, 1)
    crops = caffe.io.oversample([image, image + 100], (2, 3))
    assert crops.shape == (20, 2, 3, 1)
    assert crops[:5, 0, 0, 0].tolist() == [0, 3, 18, 21, 7]
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], crops[:10] + 100)


def test_preprocess_and_deprocess(golden, transformer):
    before = golden["small"].copy()
    values = transformer.preprocess("data", golden["small"])
    assert values.dtype == np.float32 and values.flags.c_contiguous
    np.testing.assert_allclose(values, golden["preprocess"], atol=TOLERANCE)
    np.testing.assert_array_equal(golden["small"], before)
    np.testing.assert_allclose(transformer.deprocess("data", values), golden["deprocess"], atol=TOLERANCE)


def test_preprocess_leaves_the_image_alone():
    t = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    t.set_raw_scale("data", 255)
    image = np.ones((4, 5, 3), np.float32)
    t.preprocess("data", image)
    assert (image == 1).all()


def test_mean_images_are_resized():
    t = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    mean = np.random.RandomState(0).rand(3, 8, 10) * 255
    t.set_mean("data", mean)
    assert t.mean["data"].shape == (3, 4, 5)
    expected = mean.reshape(3, 4, 2, 5, 2).mean((2, 4))  # halving linearly is the mean of four
    np.testing.assert_allclose(t.mean["data"], expected, rtol=1e-4)
    t.set_mean("data", mean[:, :4, :5])
    np.testing.assert_array_equal(t.mean["data"], mean[:, :4, :5])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.set_mean("dat", np.zeros(3)), "dat is not one of the net inputs.*'data'"),
        (lambda t: t.preprocess("dat", np.zeros((4, 5, 3))), "not one of the net inputs"),
        (lambda t: t.deprocess("dat", np.zeros((3, 4, 5))), "not one of the net inputs"),
        (lambda t: t.set_transpose("data", (1, 0)), "0 to 2"),
        (lambda t: t.set_transpose("data", (2, 0, 0)), "permutation"),
        (lambda t: t.set_channel_swap("data", (2, 1)), "0 to 2"),
        (lambda t: t.set_mean("data", np.zeros(4)), "Mean channels incompatible with input.*3.*4"),
        (
            lambda t: t.set_mean("data", np.zeros((1, 3, 40, 44))),
            r"Mean shape invalid.*\[0\] for a .binaryproto",
        ),
        (lambda t: t.set_mean("data", np.zeros((2, 40, 44))), "Mean shape invalid"),
        (lambda t: t.set_raw_scale("data", "x"), "number"),
        (lambda t: t.preprocess("data", np.zeros((4, 5))), "H×W×C"),
        (lambda t: t.preprocess("data", np.zeros((4, 5, 1))), "channel"),
    ],
)
def test_the_transformers_checks(transformer, call, words):
    with pytest.raises(InputError, match=words):
        call(transformer)


def test_blobproto_there_and_back():
    values = np.random.RandomState(0).rand(2, 3, 4).astype(np.float32)
    blob = caffe.io.array_to_blobproto(values, diff=values + 1)
    assert list(blob.shape.dim) == [2, 3, 4]
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), values + 1)
    with pytest.raises(InputError, match=r"\[2, 3, 4\].*\[3, 4\]"):
        caffe.io.array_to_blobproto(values, diff=values[0])


def test_blobproto_shapes():
    old = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=4, data=range(24))
    assert caffe.io.blobproto_to_array(old).shape == (1, 2, 3, 4)
    new = caffe_pb2.BlobProto(data=range(6))
    with pytest.raises(ValueError, match="6"):
        caffe.io.blobproto_to_array(new)
    new.shape.dim.extend([3, 2])
    assert caffe.io.blobproto_to_array(new).tolist() == [[0, 1], [2, 3], [4, 5]]
    new.shape.dim.append(7)
    with pytest.raises(InputError, match="42 values; got 6"):
        caffe.io.blobproto_to_array(new)
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123
    halves = caffe_pb2.BlobProto(raw_data_type=caffe_pb2.FLOAT16, raw_data=np.float16([1.5, -2]).tobytes())
    halves.shape.dim.append(2)
    assert caffe.io.blobproto_to_array(halves).tolist() == [1.5, -2]


def test_blobproto_vectors():
    arrays = [np.arange(6.0).reshape(2, 3), np.arange(4.0)]
    found = caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovector_str(arrays))
    for a, b in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(CorruptDataError):
        caffe.io.blobprotovector_str_to_arraylist(b"\xff\xff\xff")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_datum_there_and_back(dtype):
    values = np.random.RandomState(0).randint(0, 255, (3, 4, 5)).astype(dtype)
    datum = caffe.io.array_to_datum(values, label=7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 4, 5, 7)
    assert bool(datum.data) == (dtype == np.uint8)
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), values)
    assert len(caffe.io.array_to_datum(values).SerializeToString()) < len(datum.SerializeToString())


def test_datums_that_cannot_be():
    with pytest.raises(InputError, match="C×H×W"):
        caffe.io.array_to_datum(np.zeros((3, 4)))
    datum = caffe.io.array_to_datum(np.zeros((3, 4, 5), np.uint8))
    datum.channels = 2
    with pytest.raises(DataError, match="2×4×5 must hold 40 values; got 60"):
        caffe.io.datum_to_array(datum)
    with pytest.raises(CorruptDataError):
        caffe.io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"no image"))


def test_an_encoded_datum_is_decoded():
    pixels = np.random.RandomState(0).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    datum = caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", pixels)[1].tobytes())
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels.transpose(2, 0, 1))


def test_none_where_a_value_should_be():
    with pytest.raises(InputTypeError, match="input names to shapes; got None"):
        caffe.io.Transformer(None)
    with pytest.raises(InputTypeError, match="a path or an open file; got None"):
        caffe.io.load_image(None)
