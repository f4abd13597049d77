"""Layers of users, in Python: a data layer and a loss as in pycaffe, and a loss as a TensorLayer."""

from __future__ import annotations

import json

import numpy as np
import torch
from example_data import digits

import caffe


class PairsOfDigits(caffe.Layer):
    """Images of two digits side by side, and which of the ten digits are there: a vector of ten zeros and ones.

    ``param_str`` is JSON: batch_size, first and last (which of the digits to draw from), seed.
    """

    def setup(self, bottom, top):
        settings = json.loads(self.param_str)
        self.batch_size = settings["batch_size"]
        images, labels = digits()
        part = slice(settings["first"], settings["last"])
        self.images, self.labels = images[part], labels[part].astype(int)
        self.random = np.random.RandomState(settings["seed"])

    def reshape(self, bottom, top):
        top[0].reshape(self.batch_size, 1, 28, 56)
        top[1].reshape(self.batch_size, 10)

    def forward(self, bottom, top):
        top[1].data[...] = 0
        for i in range(self.batch_size):
            left, right = self.random.randint(len(self.images), size=2)
            top[0].data[i] = np.concatenate([self.images[left], self.images[right]], axis=2)
            top[1].data[i, [self.labels[left], self.labels[right]]] = 1

    def backward(self, top, propagate_down, bottom):
        pass


class EuclideanLoss(caffe.Layer):
    """½ · mean over the batch of the squared distance, with the gradient written by hand."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError("This loss compares two bottoms.")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise ValueError("Both bottoms must have the same number of values.")
        self.difference = np.zeros(bottom[0].shape, np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff * self.difference / bottom[i].num


@caffe.register_layer("HuberLoss")
class HuberLoss(caffe.TensorLayer):
    """Quadratic near zero and linear beyond 1: Huber 1964. The gradient is torch's."""

    num_bottoms = 2
    is_loss = True

    def compute(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.huber_loss(x, y, reduction="sum") / len(x)
