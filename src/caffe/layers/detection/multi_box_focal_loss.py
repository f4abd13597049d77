"""MultiBoxFocalLoss."""

from __future__ import annotations

import torch

from caffe.layers.detection.multi_box_loss import MultiBoxLoss
from caffe.layers.loss._focal import focal


class MultiBoxFocalLoss(MultiBoxLoss):
    """MultiBoxLoss with the focal loss -α (1 - p)^γ log p for the confidences; α, γ from
    ``focal_loss_param``.

    bottom, top: as of MultiBoxLoss.
    Differs from Caffe: as MultiBoxLoss. Source: jolibrain/caffe ``MultiBoxFocalLoss``; Lin et al. 2017.
    """

    origin = "jolibrain/caffe"
    num_bottoms = 4
    reads = {
        "loss_param": "*",
        "multibox_loss_param": "* -objectness_score",
        "focal_loss_param": "* -type -beta -axis",
    }

    def classification(self, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        log = torch.log_softmax(rows, 1).gather(1, labels[:, None])
        return focal(log, self.param.focal_loss_param).sum()
