"""LargeMarginInnerProduct."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.layers.common.margin_inner_product import PHASES, check_vectors, psi_of
from caffe.layers.loss._labels import class_labels
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class LargeMarginInnerProduct(TensorLayer):
    """L-Softmax: the label's logit |w||x|·cos(θ) becomes |w||x|·(λ·cos(θ) + ψ(θ)) / (1 + λ).

    ψ and λ as in MarginInnerProduct, but the weights keep their length; the gradients are the derivatives.

    bottom: x (N × …, the axes from ``axis`` on one vector of K values); labels (N).
    top: y (N × num_output); optionally λ (1 value). blobs: weights (num_output × K), bias (num_output) with
    ``bias_term``.
    Differs from Caffe: nothing known. Source: wy1iu/LargeMargin_Softmax_Loss; Liu et al. 2016.
    """

    num_bottoms = 2
    num_tops = (1, 2)
    no_gradient = (1,)
    origin = "L-Softmax (wy1iu/LargeMargin_Softmax_Loss)"
    reads = {"largemargin_inner_product_param": "*"}

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        super().__init__(param)
        self.iteration = param.largemargin_inner_product_param.iteration

    def check(self, x: Shape, labels: Shape) -> None:
        p = self.param.largemargin_inner_product_param
        check_vectors(self, p.num_output, p.axis, x, labels)

    def declare(self, x: Shape, labels: Shape) -> list[BlobSpec]:
        p = self.param.largemargin_inner_product_param
        weights = BlobSpec((p.num_output, math.prod(x[self.axis(p.axis, x) :])), p.weight_filler)
        return [weights, BlobSpec((p.num_output,), p.bias_filler)] if p.bias_term else [weights]

    def compute(
        self, x: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        p = self.param.largemargin_inner_product_param
        if self.phase == caffe_pb2.TRAIN and not x.is_meta:
            self.iteration += 1
        lam = max(p.lambda_min, p.base * (1 + p.gamma * self.iteration) ** -p.power)
        rows = x.flatten(self.axis(p.axis, tuple(x.shape))).flatten(0, -2)
        y = rows @ weight.t()
        m = PHASES[p.LargeMarginType.Name(p.type)]
        if m > 1:
            index, _ = class_labels(self, labels, y.detach(), 1)
            length = rows.norm(dim=1, keepdim=True) * weight.norm(dim=1)[index]
            own = torch.gather(y, 1, index)
            psi, _ = psi_of(own / length, m)
            y = y.scatter(1, index, (lam * own + length * psi) / (1 + lam))
        y = y if bias is None else y + bias
        return y if self.top_count == 1 else (y, torch.full((1,), lam, dtype=x.dtype, device=x.device))
