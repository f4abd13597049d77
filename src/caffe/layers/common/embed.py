"""Embed."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.deferred import refuse
from caffe.errors import LayerError
from caffe.tensor_layer import BlobSpec, TensorLayer


class Embed(TensorLayer):
    """A learned vector for each integer: y[…, :] = W[x[…], :] + b, as InnerProduct gives for one-hot vectors.

    bottom: x (any shape), integers in [0, input_dim), with no gradient.
    top: y (x's shape × num_output).
    blobs: W (input_dim × num_output), b (num_output) with ``bias_term``.
    Differs from Caffe: an index out of range is an error. Source: BVLC ``Embed``.
    """

    no_gradient = (0,)
    in_place = False
    reads = {"embed_param": "*"}

    def check(self, shape: Shape) -> None:
        p = self.param.embed_param
        for field in ("num_output", "input_dim"):
            if getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)

    def declare(self, shape: Shape) -> list[BlobSpec]:
        p = self.param.embed_param
        specs = [BlobSpec((p.input_dim, p.num_output), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec((p.num_output,), p.bias_filler))
        return specs

    def compute(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        index = x.long()
        last = weight.shape[0] - 1
        wrong = (index < 0) | (index > last)

        def refusal() -> LayerError:
            place = tuple(int(i) for i in wrong.nonzero()[0])
            return self.error(
                f"the index at {list(place)} must be in [0, {last}]; got {float(x[place]):g}",
                field="input_dim",
            )

        refuse(wrong, refusal)
        y = F.embedding(index.clamp(0, last), weight)
        return y if bias is None else y + bias
