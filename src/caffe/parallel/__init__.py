"""Data-parallel training over torch.distributed: NCCL between GPUs, gloo between CPUs, on one host or many.

Every worker is a process with a solver of its own, reads every n-th record, and averages its gradients with the
others'; worker 0, the root, logs, tests and writes snapshots. ``place`` says which worker a process is, ``launch``
starts workers on this machine, ``group`` connects them, ``gradients`` averages while backward runs, ``definition``
sees that all train the same net, ``training`` is what ``caffe train`` does in each, ``nccl`` is pycaffe's ``NCCL``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe.parallel.nccl import NCCL

__all__ = ["NCCL", "has_nccl"]


def has_nccl() -> bool:
    """Whether several processes can train together here, that is, whether :class:`caffe.NCCL` works.

    It works over NCCL where the devices are GPUs and over gloo where they are CPUs, so this asks for
    torch.distributed, which only a few builds of torch are without.
    """
    import torch.distributed

    return torch.distributed.is_available()


def __getattr__(name: str) -> Any:
    if name == "NCCL":  # brings torch and the solvers, which has_nccl and the launcher do without
        from caffe.parallel.nccl import NCCL

        return NCCL
    raise AttributeError(f"module 'caffe.parallel' has no attribute {name!r}")
