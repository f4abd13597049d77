"""Small nets and solvers for tests."""

from __future__ import annotations

import h5py
import numpy as np

import caffe
from caffe.proto import caffe_pb2

REGRESSION = """
name: "regression"
layer { name: "data" type: "HDF5Data" top: "x" top: "t" hdf5_data_param { source: "list.txt" batch_size: 6 } }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.4 } } }
layer { name: "act" type: "TanH" bottom: "h" top: "h" }
layer { name: "drop" type: "Dropout" bottom: "h" top: "h" dropout_param { dropout_ratio: 0.3 } }
layer { name: "two" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.4 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""

SOLVER = """
net: "net.prototxt"
test_iter: 2
test_interval: 10
base_lr: 0.05
momentum: 0.9
lr_policy: "multistep"
gamma: 0.5
stepvalue: 8
stepvalue: 20
display: 5
average_loss: 3
max_iter: 30
snapshot: 7
snapshot_prefix: "snap"
solver_mode: CPU
random_seed: 11
"""


def write_regression(folder, solver=SOLVER, net=REGRESSION, items=22):
    """Lay out net, solver and data in ``folder`` (22 items in batches of 6: batches run over the end)."""
    rng = np.random.default_rng(3)
    with h5py.File(folder / "d.h5", "w") as file:
        file["x"] = rng.standard_normal((items, 5)).astype(np.float32)
        file["t"] = rng.standard_normal((items, 3)).astype(np.float32)
    (folder / "list.txt").write_text("d.h5\n")
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(solver)
    return folder / "solver.prototxt"


def seeded_solver(spec, **settings):
    """A solver of a NetSpec with inputs ``data`` and ``label`` (of 5 classes), with the same values each time."""
    param = caffe_pb2.SolverParameter(base_lr=0.05, lr_policy="fixed", momentum=0.9, max_iter=99, **settings)
    param.net_param.CopyFrom(spec.to_proto())
    caffe.set_random_seed(3)
    solver = caffe.SGDSolver(param)
    data, label = solver.net.blobs["data"], solver.net.blobs["label"]
    rng = np.random.default_rng(1)
    data.data[...] = rng.normal(size=data.shape)
    label.data[...] = rng.integers(0, 5, label.shape)
    return solver


def weights(solver):
    """All parameters, copied."""
    return [b.data.copy() for blobs in solver.net.params.values() for b in blobs]
