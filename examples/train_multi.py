# needs: nothing
"""Train one net with several processes through ``caffe.NCCL``, each on a device of its own.

    python train_multi.py --solver solver.prototxt --gpus 0 1        # two GPUs
    python train_multi.py --solver solver.prototxt --procs 2         # two processes on the CPU

The batch of an iteration is the sum of all processes' batches. ``caffe train --gpu=0,1`` does the same without a
script; write one where the loop around ``solver.step`` is yours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from multiprocessing import Process

import caffe


def train(solver_file: str, devices: Sequence[int], count: int, rank: int, uid: bytes, snapshot: str) -> None:
    """What each of ``count`` processes does."""
    if devices:
        caffe.set_device(devices[rank])
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)

    solver = caffe.get_solver(solver_file)
    if snapshot:
        solver.restore(snapshot)

    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter - solver.iter)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--solver", required=True, help="the solver's prototxt")
    parser.add_argument("--snapshot", default="", help="a .solverstate to go on from")
    parser.add_argument("--gpus", type=int, nargs="+", default=[], help="devices, a process each")
    parser.add_argument("--procs", type=int, default=1, help="processes, where there are no devices")
    options = parser.parse_args()

    count = len(options.gpus) or options.procs
    caffe.init_log()
    caffe.log(f"Training with {count} processes")
    uid = caffe.NCCL.new_uid()
    processes = [
        Process(
            target=train,
            args=(options.solver, options.gpus, count, rank, uid, options.snapshot),
            daemon=True,
        )
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return max(abs(process.exitcode or 0) for process in processes)


if __name__ == "__main__":
    sys.exit(main())
