"""What led to a loss that is not finite, kept for whoever looks for the cause."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe import runtime
from caffe.errors import CaffeError
from caffe.limits import check_output
from caffe.solvers.training import Training


def keep(solver: Training) -> str:
    """Write the weights before the update and the batch beside the snapshots; says in words where they are.

    ``PREFIX_iter_N_not_finite.caffemodel`` and ``….npz``, which holds the data layers' tops by name. A run without
    snapshots writes nothing, and so do workers other than the root.
    """
    param = solver.param
    if not param.snapshot or not runtime.root_solver():
        return ""
    base = f"{param.snapshot_prefix}_iter_{solver.iter}_not_finite"
    batch = {
        name: np.array(blob.data)
        for step in solver.net.steps
        if step.layer.source
        for name, blob in zip(step.top_names, step.top)
    }
    try:
        check_output(base)
        solver.net.save(Path(f"{base}.caffemodel"))
        np.savez(f"{base}.npz", **batch)  # type: ignore[arg-type]
    except (OSError, CaffeError) as error:
        return f" (the weights and the batch could not be kept: {error})"
    return f"; the weights and the batch are kept in {base}.caffemodel and .npz"
