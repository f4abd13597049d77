"""MemoryData: arrays at hand, without copies."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from support_data import Fed, jpeg, noise, raw_records

from caffe import runtime
from caffe.errors import InputError, InputTypeError, LayerError
from caffe.proto import caffe_pb2

TEXT = (
    'type: "MemoryData" top: "d" top: "l" memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }'
)


def arrays(count: int = 6) -> tuple[Any, Any]:
    return noise(count, 3, 4, 5).astype(np.float32), np.arange(count, dtype=np.float32)


@pytest.mark.parametrize("axes", [1, 4])
def test_batches_are_views_of_the_arrays(axes: int) -> None:
    data, labels = arrays()
    fed = Fed(TEXT)
    assert [top.shape for top in fed.tops] == [(2, 3, 4, 5), (2,)]
    fed.layer.set_arrays(data, labels.reshape(-1, 1, 1, 1) if axes == 4 else labels)
    for i in (0, 2, 4, 0):
        found, label = fed.step()
        assert np.array_equal(found, data[i : i + 2]) and label.tolist() == [i, i + 1]
        assert np.shares_memory(fed.tops[0].data, data)


def test_the_arrays_are_kept() -> None:
    fed = Fed(TEXT)
    data, labels = arrays()
    kept = weakref.ref(data)
    fed.layer.set_arrays(data, labels)
    del data
    gc.collect()
    assert kept() is not None
    fed.layer.set_arrays(*arrays(4))
    gc.collect()
    assert kept() is None


def test_state() -> None:
    fed = Fed(TEXT)
    fed.layer.set_arrays(*arrays())
    fed.step()
    state = fed.layer.state()
    wanted = fed.step()[1].tolist()
    fed.layer.restore(state)
    assert fed.step()[1].tolist() == wanted == [2, 3]


def test_images_are_transformed() -> None:
    images = noise(4, 3, 6, 7)
    records = [caffe_pb2.Datum.FromString(r.serialize()) for r in raw_records(images)]
    records[1] = caffe_pb2.Datum(data=jpeg(images[1].transpose(1, 2, 0), ".png"), encoded=True)
    fed = Fed(
        TEXT + " transform_param { scale: 2 mean_value: 1 mean_value: 2 mean_value: 3 crop_h: 4 crop_w: 5 }"
    )
    fed.layer.add_images([*records[:3], images[3].transpose(1, 2, 0)], [7, 8, 9, 6])
    wanted = (images[:, :, 1:5, 1:6] - np.array([1, 2, 3], np.float32).reshape(3, 1, 1)) * 2
    assert np.array_equal(np.concatenate([step[0] for step in fed.steps(2)]), wanted)
    assert fed.step()[1].tolist() == [7, 8]
    with pytest.raises(InputError, match="multiple of batch_size, 2; got 3"):
        fed.layer.add_images(records[:3], [1, 2, 3])


def test_what_is_refused() -> None:
    data, labels = arrays()
    fed = Fed(TEXT)
    with pytest.raises(LayerError, match="set_input_arrays"):
        fed.step()
    with pytest.raises(InputTypeError, match="data must be a numpy array of float32; got float64"):
        fed.layer.set_arrays(data.astype(float), labels)
    with pytest.raises(InputTypeError, match="labels must be a numpy array of float32; got list"):
        fed.layer.set_arrays(data, [1, 2])
    with pytest.raises(InputError, match="data must be C contiguous"):
        fed.layer.set_arrays(np.asfortranarray(data), labels)
    with pytest.raises(InputError, match=r"data must have the shape \[6, 3, 4, 5\]; got \[6, 4, 3, 5\]"):
        fed.layer.set_arrays(data.reshape(6, 4, 3, 5), labels)
    with pytest.raises(InputError, match=r"data must have the shape .*; got \[6, 60\]"):
        fed.layer.set_arrays(data.reshape(6, 60), labels)
    with pytest.raises(InputError, match=r"labels must have the shape \[6\] or \[6, 1, 1, 1\]; got \[4\]"):
        fed.layer.set_arrays(data, labels[:4])
    with pytest.raises(InputError, match="positive multiple of batch_size, 2; got 5"):
        fed.layer.set_arrays(data[:5], labels[:5])
    with pytest.raises(LayerError, match="must all be positive"):
        Fed(TEXT.replace("width: 5", "width: 0"))


def test_arrays_that_are_read_only() -> None:
    data, labels = arrays()
    data.flags.writeable = False
    fed = Fed(TEXT)
    fed.layer.set_arrays(data, labels)
    assert np.array_equal(fed.step()[0], data[:2])


def test_random_crops_depend_on_the_seed() -> None:
    images = list(noise(4, 9, 9, 3))
    found = []
    for seed in (1, 1, 2):
        runtime.set_random_seed(seed)
        fed = Fed(TEXT + " transform_param { crop_h: 4 crop_w: 5 }", caffe_pb2.TRAIN)
        fed.layer.add_images(images, np.zeros(4))
        found.append(fed.step()[0])
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
