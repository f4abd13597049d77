"""The matrices of Winograd's algorithm: exact, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest

from caffe.kernels import transforms


@pytest.mark.parametrize("size", transforms.SIZES)
def test_correlation(size: int) -> None:
    random = np.random.default_rng(1)
    inputs, kernel = random.normal(size=transforms.side(size)), random.normal(size=size)
    to_inputs, to_kernels, to_outputs = (
        np.array(matrix(size)) for matrix in (transforms.inputs, transforms.kernels, transforms.outputs)
    )
    found = to_outputs @ ((to_kernels @ kernel) * (to_inputs @ inputs))
    assert found.shape == (transforms.count(size),)
    assert np.abs(found - np.correlate(inputs, kernel)).max() < 1e-13


@pytest.mark.parametrize("size", transforms.SIZES)
def test_numbers_of_inputs_and_outputs_are_exact_in_float32(size: int) -> None:
    for matrix in (transforms.inputs(size), transforms.outputs(size)):
        assert (np.array(matrix) == np.array(matrix, np.float32)).all()
