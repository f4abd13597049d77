"""Maxima along one axis, then along the other, are those of the windows."""

from __future__ import annotations

import pytest
import torch

from caffe.layers.vision import _pool
from caffe.layers.vision._pool import Pool


@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (0, 1)])
@pytest.mark.parametrize(
    ("kernel", "stride"), [((2, 2), (2, 2)), ((3, 3), (1, 1)), ((2, 3), (3, 1)), ((2, 2), (1, 2))]
)
def test_same_as_the_windows(
    kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], ceil: bool
):
    x = torch.randn(2, 5, 9, 12).contiguous(memory_format=torch.channels_last)
    x[0, 1, 4] = -torch.inf
    x[1, 2, 3, 3] = torch.nan
    pool = Pool(kernel, stride, pad, ceil)
    with torch.no_grad():
        assert _pool._by_axes(x, pool)
        found = _pool.max_pool(x, pool, pool.regular((9, 12)))
    windows = pool.padded(x, -torch.inf).unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    assert torch.equal(found.nan_to_num(7.5), windows.amax((-1, -2)).nan_to_num(7.5))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_not_where_places_are_needed():
    x = torch.randn(2, 5, 9, 12).contiguous(memory_format=torch.channels_last)
    assert not _pool._by_axes(x, Pool((2, 2), (2, 2), (0, 0)))
