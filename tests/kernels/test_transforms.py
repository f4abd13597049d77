"""The matrices of Winograd's algorithm: exact, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest

from caffe.kernels import transforms


@pytest.mark.parametrize(("size", "count"), [(3, 4), (5, 2)])
def test_correlation(size: int, count: int) -> None:
    random = np.random.default_rng(1)
    inputs, kernel = random.normal(size=transforms.SIDE), random.normal(size=size)
    to_inputs, to_kernels, to_outputs = map(
        np.array, (transforms.inputs(), transforms.kernels(size), transforms.outputs(count))
    )
    found = to_outputs @ ((to_kernels @ kernel) * (to_inputs @ inputs))
    assert np.abs(found - np.correlate(inputs, kernel)).max() < 1e-13


def test_numbers_of_inputs_and_outputs_are_exact_in_float32() -> None:
    for matrix in (transforms.inputs(), transforms.outputs(4), transforms.outputs(2)):
        assert (np.array(matrix) == np.array(matrix, np.float32)).all()
