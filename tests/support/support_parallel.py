"""Workers for the tests of data-parallel training: databases, solvers, and processes that never stay behind.

Run as a script it is one worker: ``support_parallel.py <folder> <solver> …`` trains each solver of the folder in
turn and leaves what came of it in ``<solver>.npz``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import caffe

SUPPORT = Path(__file__).resolve().parent
RECORDS = 240
"""Records of the database, in 5 classes of 1×9×7 images."""

TYPES = {
    "SGD": "base_lr: 0.05 momentum: 0.9 clip_gradients: 1.5",
    "Nesterov": "base_lr: 0.05 momentum: 0.9 regularization_type: 'L1'",
    "AdaGrad": "base_lr: 0.02 delta: 1e-4",
    "RMSProp": "base_lr: 0.002 rms_decay: 0.95 delta: 1e-4",
    "AdaDelta": "base_lr: 1 momentum: 0.95 delta: 1e-6",
    "Adam": "base_lr: 0.002 momentum: 0.9 momentum2: 0.99 delta: 1e-4",
}
"""Every solver type, with settings at which the small net learns."""

NET = """
name: "small"
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}/db" batch_size: {batch} backend: LMDB }} transform_param {{ scale: 0.004 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 6 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "elu" type: "ELU" bottom: "conv" top: "conv" }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "conv" top: "ip1"
  inner_product_param {{ num_output: 11 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "tanh" type: "TanH" bottom: "ip1" top: "ip1" }}
layer {{ name: "same1" type: "InnerProduct" bottom: "ip1" top: "same1" param {{ name: "w" }} param {{ name: "b" }}
  inner_product_param {{ num_output: 11 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "tanh1" type: "TanH" bottom: "same1" top: "same1" }}
layer {{ name: "same2" type: "InnerProduct" bottom: "same1" top: "same2" param {{ name: "w" }} param {{ name: "b" }}
  inner_product_param {{ num_output: 11 weight_filler {{ type: "xavier" }} }} }}
{more}
layer {{ name: "ip2" type: "InnerProduct" bottom: "same2" top: "ip2"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""
"""Without kinks and maxima: at those, rounding can decide which way a gradient goes."""

SLOW = """
layer {{ type: "Python" name: "slow" bottom: "same2" top: "same2"
  python_param {{ module: "support_parallel" layer: "Slow" param_str: "{seconds}" }} }}
"""


class Slow(caffe.Layer):
    """Takes its time."""

    def setup(self, bottom: Any, top: Any) -> None:
        self.seconds = float(self.param_str)

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        time.sleep(self.seconds)
        top[0].data[...] = bottom[0].data

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        bottom[0].diff[...] = top[0].diff


def write_database(folder: Path) -> None:
    """``db``: noisy pictures of 5 classes that a small net learns quickly."""
    from support_data import raw_records, write_records

    rng = np.random.default_rng(5)
    labels = rng.integers(0, 5, RECORDS)
    classes = rng.integers(0, 256, (5, 1, 9, 7))
    images = np.clip(classes[labels] + rng.normal(0, 60, (RECORDS, 1, 9, 7)), 0, 255)
    write_records(folder / "db", raw_records(images.astype(np.uint8), labels))


def write_solver(
    folder: Path, name: str, batch: int, settings: str, *, iters: int = 50, more: str = ""
) -> Path:
    """A solver and its net for a batch a worker; returns the solver's path."""
    net = folder / f"{name}_net.prototxt"
    net.write_text(NET.format(folder=folder, batch=batch, more=more))
    solver = folder / f"{name}.prototxt"
    solver.write_text(
        f'net: "{net}" lr_policy: "fixed" random_seed: 9 weight_decay: 0.001 max_iter: {iters} display: 1'
        f' snapshot_prefix: "{folder / name}" {settings}'
    )
    return solver


def weights(net: caffe.Net) -> dict[str, Any]:
    """All parameters, by layer and index."""
    return {
        f"{name}/{i}": np.array(b.data) for name, blobs in net.params.items() for i, b in enumerate(blobs)
    }


def worst(found: Any, wanted: Any) -> float:
    """The largest difference of two sets of arrays, relative to the largest value of each array."""
    return max(float(np.abs(found[k] - w).max() / max(np.abs(w).max(), 1e-9)) for k, w in wanted.items())


class Processes:
    """Processes that end with the ``with`` block, however that ends; their output is collected."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def start(self, *command: object, **environment: object) -> subprocess.Popen[str]:
        """Start one."""
        variables = os.environ | {
            "OMP_NUM_THREADS": "1",
            "GLOG_minloglevel": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")])),
            **{k: str(v) for k, v in environment.items()},
        }
        process = subprocess.Popen(
            [str(c) for c in command],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.all.append(process)
        return process

    def workers(self, count: int, meeting: Path, *command: object, timeout: float = 300) -> list[str]:
        """Run a command as workers that meet at a file; returns their outputs once all have ended well."""
        started = [
            self.start(
                *command,
                CAFFE_WORKERS_MEET_AT=f"file://{meeting}",
                RANK=rank,
                WORLD_SIZE=count,
                LOCAL_RANK=rank,
            )
            for rank in range(count)
        ]
        outputs = [process.communicate(timeout=timeout)[0] for process in started]
        for process, output in zip(started, outputs):
            if process.returncode:
                raise RuntimeError(f"A worker ended with {process.returncode}:\n{output}")
        return outputs

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *args: object) -> None:
        for process in self.all:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


def wait_for(condition: Any, process: subprocess.Popen[str], timeout: float = 90) -> None:
    """Wait until something is so while a process runs. Raises RuntimeError with its output when it is not."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise RuntimeError(f"It did not come about:\n{process.communicate()[0]}")
        time.sleep(0.02)


def train_in_turn(folder: Path, names: list[str]) -> None:
    """Train solvers one after the other as one worker; the root saves losses and weights."""
    from caffe.parallel import place, training

    here = place.from_environment()
    training.become(here)
    caffe.init_log(2)
    with training.joined(here, 60) as group:
        for name in names:
            solver = caffe.get_solver(str(folder / f"{name}.prototxt"))
            compression = "bf16" if name.endswith("bf16") else ""
            training.start_together(group, solver, "", compression, bucket_bytes=600)
            losses = []
            for _ in range(solver.param.max_iter):
                solver.step(1)
                losses.append(group.mean(float(solver.net.blobs["loss"].data)))
            if here.rank == 0:
                np.savez(folder / f"{name}.npz", losses=losses, **weights(solver.net))


if __name__ == "__main__":
    train_in_turn(Path(sys.argv[1]), sys.argv[2:])
