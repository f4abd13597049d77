"""safetensors: the weights alone, under the names of ``net.to_torch()``, beside the net's prototxt."""

from __future__ import annotations

import os

import torch

from caffe.export.packages import package
from caffe.export.torch_net import TorchNet


def write(
    state: dict[str, torch.Tensor], path: str | os.PathLike[str], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name; those that share memory once each. Raises MissingPackageError."""
    safetensors = package("safetensors.torch", "writing safetensors")
    apart = {name: value.detach().clone().contiguous() for name, value in state.items()}
    safetensors.save_file(apart, os.fspath(path), metadata={"format": "pt", **(metadata or {})})


def read(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The tensors of a file."""
    tensors: dict[str, torch.Tensor] = package("safetensors.torch", "reading safetensors").load_file(
        os.fspath(path)
    )
    return tensors


def state_of(module: TorchNet) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name."""
    return dict(module.state_dict())
