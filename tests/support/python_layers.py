"""Layers as users write them, for tests of Python layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import caffe


class Scaled(caffe.Layer):
    """y = factor · x, the factor given by param_str."""

    def setup(self, bottom: Any, top: Any) -> None:
        self.factor = float(self.param_str or 2)

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff


class Squares(caffe.Layer):
    """L = Σ (x - t)² / 2N with a bias of its own added to x."""

    def setup(self, bottom: Any, top: Any) -> None:
        if len(bottom) != 2:
            raise ValueError("Squares takes two bottoms")
        self.blobs.add_blob(bottom[0].shape[1])
        self.blobs[0].data[...] = 0.5

    def reshape(self, bottom: Any, top: Any) -> None:
        self.difference = np.zeros_like(bottom[0].data)
        top[0].reshape(1)

    def forward(self, bottom: Any, top: Any) -> None:
        self.difference[...] = bottom[0].data + self.blobs[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        scaled = self.difference * top[0].diff / bottom[0].num
        self.blobs[0].diff[...] += scaled.sum(0)
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * scaled


class Growing(caffe.Layer):
    """A data layer whose top has one item more at each forward."""

    def setup(self, bottom: Any, top: Any) -> None:
        self.count = 0
        self.phase_then = self.phase
        self.name = self.param = "set by the user"  # type: ignore[assignment]

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(self.count + 1, 2)

    def forward(self, bottom: Any, top: Any) -> None:
        self.count += 1
        top[0].data[...] = self.count

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        pass


class Flat(Scaled):
    """Wants its arrays in C order, as code in C does."""

    def forward(self, bottom: Any, top: Any) -> None:
        if not (bottom[0].data.flags.c_contiguous and top[0].data.flags.c_contiguous):
            raise ValueError("not in C order")
        super().forward(bottom, top)


class NoArguments(Scaled):
    def __init__(self) -> None:
        self.made = True


class OneArgument(Scaled):
    def __init__(self, param: Any) -> None:
        super().__init__(param)
        self.made = param.name


class Failing(Scaled):
    def forward(self, bottom: Any, top: Any) -> None:
        raise KeyError("the user's own")


class NoBackward(caffe.Layer):
    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = bottom[0].data


class NoForward(caffe.Layer):
    pass


class NothingButSetup(caffe.Layer):
    def setup(self, bottom: Any, top: Any) -> None:
        raise RuntimeError


class NoLayer:
    pass


class Cubed(caffe.TensorLayer):
    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return x**3
