"""DenseBlock."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.activation._dropout import dropout
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, Stateful, TensorLayer


class DenseBlock(TensorLayer):
    """DenseNet's block in one layer: numTransition times x = [x, conv(ReLU(BN(x)))], growthRate channels
    each.

    bottom: x (N × C × H × W). top: C + numTransition·growthRate channels.
    blobs: each of T transitions' kernels (growthRate × C_t × filter_H × filter_W), then each one's scale (1
    × C_t × 1 × 1), shift, running mean, running variance, then the number of updates (1).
    Differs from Caffe: no bottlenecks (``use_BC``). Source: Tongcheng/caffe, senlinuc/caffe_ocr; Huang et
    al. 2017.
    """

    origin = "DenseNet in one layer (Tongcheng/caffe)"
    reads = {"denseblock_param": "*"}
    in_place = False

    def check(self, shape: Shape) -> None:
        p = self.param.denseblock_param
        if p.use_BC:
            raise self.error("blocks with bottlenecks are not supported", field="use_BC")
        if p.use_dropout and not 0 <= p.dropout_amount < 1:
            raise self.error(
                f"must be at least 0 and below 1; got {p.dropout_amount:g}", field="dropout_amount"
            )
        for field in ("numTransition", "growthRate"):
            if getattr(p, field) < 1:
                raise self.error(f"must be given and at least 1; got {getattr(p, field)}", field=field)
        if p.numTransition > 10_000:
            raise self.error(f"must be at most 10,000; got {p.numTransition}", field="numTransition")
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must be N×C×H×W; got shape {list(shape)}")
        if len(self.blobs) and self.blobs[0].shape[1] != shape[1]:
            raise self.shape_error(
                f"the bottom must have {self.blobs[0].shape[1]} channels, for which the layer was made;"
                f" got {shape[1]}"
            )

    def declare(self, shape: Shape) -> list[BlobSpec]:
        p = self.param.denseblock_param
        channels = [shape[1] + t * p.growthRate for t in range(p.numTransition)]
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        kernel = (p.filter_H, p.filter_W)
        return [
            *(BlobSpec((p.growthRate, c, *kernel), p.Filter_Filler) for c in channels),
            *(BlobSpec((1, c, 1, 1), p.BN_Scaler_Filler) for c in channels),
            *(BlobSpec((1, c, 1, 1), p.BN_Bias_Filler) for c in channels),
            *(BlobSpec((1, c, 1, 1), learns=False) for c in channels),
            *(BlobSpec((1, c, 1, 1), one, learns=False) for c in channels),
            BlobSpec((1,), learns=False),
        ]

    @property
    def draws(self) -> bool:
        return self.param.denseblock_param.use_dropout and self.phase == caffe_pb2.TRAIN

    def compute(self, x: torch.Tensor, *blobs: torch.Tensor) -> torch.Tensor | Stateful:
        p = self.param.denseblock_param
        count = p.numTransition
        train = self.phase == caffe_pb2.TRAIN
        kernels, scales, shifts, means, variances = (blobs[k * count : (k + 1) * count] for k in range(5))
        share = 1 - (p.moving_average_fraction if p.HasField("moving_average_fraction") else 0.9)
        state: list[torch.Tensor] = []
        for t in range(count):
            mean, variance = means[t].reshape(-1), variances[t].reshape(-1)
            if train:  # batch_norm moves them in place
                mean, variance = mean.clone(), variance.clone()
                state[t:t] = [mean]
                state.append(variance)
            normal = F.batch_norm(
                x, mean, variance, scales[t].reshape(-1), shifts[t].reshape(-1), train, share
            )
            new = F.conv2d(F.relu(normal), kernels[t], padding=(p.pad_h, p.pad_w))
            if p.use_dropout and train:
                new = dropout(new, p.dropout_amount)
            x = torch.cat([x, new], 1)
        if not train:
            return x
        return Stateful(x, [*(s.view(1, -1, 1, 1) for s in state), blobs[-1] + 1])
