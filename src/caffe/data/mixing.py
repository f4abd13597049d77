"""Images of a batch mixed with each other while training: mixup and cutmix.

A loss is linear in the share that each class has of an image, so the label of a mixed image is drawn: its own by its
share, else the other's. On average the gradient is that of a loss with both labels.

Sources: Zhang et al., mixup: beyond empirical risk minimization, 2018; Yun et al., CutMix, 2019.
"""

from __future__ import annotations

import torch

from caffe import runtime
from caffe.errors import DataError, InputError


class Mixing:
    """Takes a batch (images N × C × H × W, labels N or N × k) and gives one that is mixed, as new tensors.

    ``mixup`` and ``cutmix`` are the α of a Beta(α, α) that the own share is drawn from, 0 for none; where both are
    given each batch is mixed in one of the two ways. With k labels an image these are mixed themselves. What is drawn
    comes from the generator that ``random_seed`` starts. Raises InputError.
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0) -> None:
        if min(mixup, cutmix) < 0 or not max(mixup, cutmix) > 0:
            raise InputError(
                f"mixup and cutmix must be at least 0, and one above it; got {mixup:g} and {cutmix:g}"
            )
        self.mixup, self.cutmix = mixup, cutmix

    def __call__(self, batch: list[torch.Tensor]) -> list[torch.Tensor]:
        """The mixed batch. Raises DataError where the batch is not images and labels."""
        if len(batch) != 2 or batch[0].ndim != 4 or len(batch[1]) != len(batch[0]):
            shapes = ", ".join(str(list(tensor.shape)) for tensor in batch)
            raise DataError(f"Only images with labels can be mixed; got tops of shape {shapes}")
        images, labels = batch
        rng = runtime.rng()
        cuts = self.cutmix > 0 and (not self.mixup or rng.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        own = float(rng.beta(alpha, alpha))
        others = torch.from_numpy(rng.permutation(len(images))).to(images.device)
        if cuts:
            height, width = images.shape[2:]
            rows, columns = round(height * (1 - own) ** 0.5), round(width * (1 - own) ** 0.5)
            top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
            mixed = images.clone()
            mixed[:, :, top : top + rows, left : left + columns] = images[
                others, :, top : top + rows, left : left + columns
            ]
            own = 1 - rows * columns / (height * width)
        else:
            mixed = torch.lerp(images[others], images, own)
        if labels.ndim > 1:
            return [mixed, torch.lerp(labels[others], labels, own)]
        keeps = torch.from_numpy(rng.random(len(images)) < own).to(images.device)
        return [mixed, torch.where(keeps, labels, labels[others])]
