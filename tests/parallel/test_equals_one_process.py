"""n workers with batch B train as one process with batch n·B does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import support_parallel
from support_parallel import TYPES, Processes, weights, worst, write_database, write_solver

import caffe

BATCH = 12
CASES = {
    **TYPES,
    "iter_size": "type: 'SGD' base_lr: 0.05 momentum: 0.9 iter_size: 2",
    "at_the_end": "type: 'SGD' base_lr: 0.05 momentum: 0.9 layer_wise_reduce: false",
    "bf16": "type: 'SGD' base_lr: 0.05 momentum: 0.9",
}


def settings(name: str) -> str:
    return CASES[name] if "type:" in CASES[name] else f"type: '{name}' {CASES[name]}"


@pytest.fixture(scope="module", params=[2, 4])
def trained(request, tmp_path_factory):
    """The folder where workers have trained every case, and their number."""
    folder: Path = tmp_path_factory.mktemp(f"workers{request.param}")
    write_database(folder)
    for name in CASES:
        write_solver(folder, name, BATCH // request.param, settings(name))
    with Processes() as processes:
        processes.workers(
            request.param, folder / "meeting", sys.executable, support_parallel.__file__, folder, *CASES
        )
    return folder, request.param


def one_process(folder: Path, name: str) -> tuple[list[float], dict[str, np.ndarray]]:
    write_solver(folder, f"{name}_alone", BATCH, settings(name))
    solver = caffe.get_solver(str(folder / f"{name}_alone.prototxt"))
    losses = []
    for _ in range(solver.param.max_iter):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    return losses, weights(solver.net)


@pytest.mark.parametrize("name", [n for n in CASES if n != "bf16"])
def test_losses_and_weights_are_those_of_one_process(trained, name):
    folder, _ = trained
    losses, wanted = one_process(folder, name)
    assert losses[-1] < 0.7 * losses[0]  # it learns, so that a difference would show
    found = np.load(folder / f"{name}.npz")
    assert np.abs(found["losses"] - losses).max() <= 1e-5
    assert worst(found, wanted) <= 1e-5


def test_bf16_trains_about_the_same(trained):
    folder, _ = trained
    losses, wanted = one_process(folder, "bf16")
    found = np.load(folder / "bf16.npz")
    assert 1e-6 < worst(found, wanted) < 0.05
    assert np.abs(found["losses"] - losses).max() < 0.02
