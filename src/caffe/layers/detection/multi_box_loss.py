"""MultiBoxLoss. (Longer than other layers: matching, mining and two losses meet in it.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from caffe import boxes
from caffe.blob import Shape
from caffe.layers.detection import _multibox
from caffe.layers.loss._floor import at_least
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

Loss = caffe_pb2.LossParameter
LARGEST = 87.33654  # -log of the smallest normal float, the original's bound of a softmax loss


@dataclass
class Positives:
    """Of each matched prediction its image, prior, class of location, box to predict (M × 4), label."""

    image: torch.Tensor
    prior: torch.Tensor
    location: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor


class MultiBoxLoss(TensorLayer):
    """The loss of an SSD: L = (loc_weight · Σ localization + Σ confidence) / normalizer.

    Priors are matched to annotated boxes (``match_type``, ``overlap_threshold``); matched ones are to predict
    box and label, the hardest of the others (``mining_type``) background. Localization is smooth L1 or ½ d²
    of the codes (``loc_loss_type``, ``code_type``), confidence is softmax or sigmoid cross entropy. The
    normalizer is by ``loss_param`` the number of matches (VALID), N·P (FULL), N (BATCH_SIZE) or 1 (NONE), at
    least 1. ``propagate_down`` switches the two halves of the loss on and off. Images without a box count
    only without mining.

    bottom: locations (N × P·4, or N × P·classes·4 without ``share_location``), confidences (N × P·classes,
    before softmax), priors (1 × 2 × P·4), annotations (1 × 1 × M × 8) rows image, label, instance, xmin,
    ymin, xmax, ymax, difficult; rows of image -1 count for nothing; [RefineDet: objectness (N × P·2), after
    softmax, [first-step locations (N × P·4)]]. top: L, a single number.

    RefineDet: priors whose objectness is below ``objectness_score`` are not mined; first-step locations move
    the priors, of each image, before they are matched and coded. Where ``objectness_score`` is given and
    ``num_classes`` is 2, all labels above 1 are 1.

    As in the original: with ``encode_variance_in_target`` the gradient lacks the division by the variance;
    LOGISTIC with mining NONE sets the targets of image i at i·P in place of i·P·classes; with ``nms_param``
    an absent top_k is 0. As in RefineDet: what is decoded or mined as a hard example is by the priors
    before they are moved.
    Differs from Caffe: of equal losses the first are mined; with ``nms_param`` and objectness, RefineDet mines
    other priors than it suppressed.
    Source: weiliu89/caffe (SSD) ``MultiBoxLoss``, Liu et al. 2016; sfzhang15/RefineDet, Zhang et al. 2018.
    """

    origin = "SSD (weiliu89/caffe), RefineDet (sfzhang15/RefineDet)"
    reads = {"loss_param": "*", "multibox_loss_param": "*"}
    num_bottoms: ClassVar[int | tuple[int, int | None]] = (4, 6)
    is_loss = True
    auto_tops = True
    no_gradient = (2, 3, 4, 5)
    in_place = False

    def check(self, loc: Shape, conf: Shape, prior: Shape, truth: Shape, *first: Shape) -> None:
        p = self.param.multibox_loss_param
        if p.num_classes < 1:
            raise self.error("must be given, and at least 1", field="num_classes")
        mining = p.mining_type != p.NONE
        if p.HasField("do_neg_mining") and p.do_neg_mining != mining:
            raise self.error("contradicts mining_type", field="do_neg_mining", fix="Remove do_neg_mining")
        if mining and not p.share_location:
            raise self.error("must be NONE without share_location", field="mining_type")
        if mining and p.neg_pos_ratio <= 0:
            raise self.error(f"must be above 0; got {p.neg_pos_ratio:g}", field="neg_pos_ratio")
        if p.mining_type == p.HARD_EXAMPLE and p.sample_size < 1:
            raise self.error(f"must be at least 1; got {p.sample_size}", field="sample_size")
        if p.map_object_to_agnostic and p.num_classes != 2:
            raise self.error(
                f"must be 2 with map_object_to_agnostic; got {p.num_classes}", field="num_classes"
            )
        if p.conf_loss_type != p.LOGISTIC and p.background_label_id >= p.num_classes:
            raise self.error(
                f"must be below num_classes; got {p.background_label_id}", field="background_label_id"
            )
        if self.param.loss_param.normalization == Loss.PRE_FIXED:
            raise self.error("must be VALID, FULL, BATCH_SIZE or NONE; got PRE_FIXED", field="normalization")
        size = prior[2] if len(prior) > 2 else 0
        if len(prior) < 3 or prior[1] != 2 or size % 4 or len(truth) != 4 or np.prod(truth) < 8 * truth[2]:
            raise self.shape_error(
                f"priors must be 1×2×P·4 and annotations 1×1×M×8; got {list(prior)} and {list(truth)}"
            )
        if len(first) > 1 and not p.share_location:
            raise self.error("must be true with first-step locations", field="share_location")
        for what, shape, each in (
            ("locations", loc, 4 if p.share_location else 4 * p.num_classes),
            ("confidences", conf, p.num_classes),
            *zip(("values of objectness", "first-step locations"), first, (2, 4)),
        ):
            if len(shape) < 2 or int(np.prod(shape[1:])) != size // 4 * each:
                raise self.shape_error(
                    f"{size // 4} priors need N × {size // 4}·{each} {what}; got shape {list(shape)}"
                )
        if any(shape[0] != loc[0] for shape in (conf, *first)):
            raise self.shape_error(
                f"all predictions must be of as many images; got {', '.join(str(s[0]) for s in (loc, conf, *first))}"
            )

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [()]

    def compute(
        self,
        loc: torch.Tensor,
        conf: torch.Tensor,
        prior: torch.Tensor,
        truth: torch.Tensor,
        objectness: torch.Tensor | None = None,
        first: torch.Tensor | None = None,
    ) -> torch.Tensor:
        p = self.param.multibox_loss_param
        priors, variances = prior.detach().reshape(2, -1, 4)
        count = priors.shape[0]
        loc = loc.reshape(loc.shape[0], count, -1, 4)
        conf = conf.reshape(conf.shape[0], count, p.num_classes)
        moved = priors.expand(loc.shape[0], -1, -1)
        if first is not None:
            encoded = None if p.encode_variance_in_target else variances
            moved = boxes.decode(first.detach().reshape(loc.shape[0], count, 4), priors, encoded, p.code_type)
        mined = None if objectness is None else objectness.reshape(*conf.shape[:2], 2)[..., 1]
        with torch.no_grad():
            positives, negatives = self._assign(
                loc.detach(), conf.detach(), priors, variances, truth, moved, mined
            )
        matches = len(positives.labels)
        halves = list(self.param.propagate_down) or [True, True]
        total = conf.new_zeros(())
        if halves[0] and matches:
            total = total + p.loc_weight * self._localization(loc, positives, moved, variances)
        if len(halves) > 1 and halves[1]:
            total = total + self._confidence(conf, positives, negatives)
        return total / self._normalizer(loc.shape[0], count, matches)

    def _normalizer(self, images: int, priors: int, matches: int) -> int:
        p = self.param.loss_param
        mode = p.normalization
        if p.HasField("normalize") and not p.HasField("normalization"):
            mode = Loss.VALID if p.normalize else Loss.BATCH_SIZE
        return max(1, {Loss.VALID: matches, Loss.FULL: images * priors, Loss.BATCH_SIZE: images}.get(mode, 1))

    def _assign(
        self,
        loc: torch.Tensor,
        conf: torch.Tensor,
        priors: torch.Tensor,
        variances: torch.Tensor,
        truth: torch.Tensor,
        moved: torch.Tensor,
        objectness: torch.Tensor | None,
    ) -> tuple[Positives, torch.Tensor | None]:
        """The positives, and the indices in N·P of the negatives (None where all priors count).

        ``moved`` (N × P × 4) are the priors of each image, ``objectness`` (N × P) says which are mined.
        """
        p = self.param.multibox_loss_param
        encoded = None if p.encode_variance_in_target else variances[:, None]
        decoded = None
        if not p.use_prior_for_matching or (p.HasField("nms_param") and not p.use_prior_for_nms):
            decoded = boxes.decode(loc, priors[:, None], encoded, p.code_type).float().cpu().numpy()
        if truth.shape[3] != 8:  # random values in benchmarks: the first M·8 of them, as in the original
            truth = truth.flatten()[: 8 * truth.shape[2]]
        truths = _multibox.truths(truth.float().cpu().numpy().reshape(-1, 8), len(loc), p.use_difficult_gt)
        for i, of_image in enumerate(truths):
            if p.map_object_to_agnostic:
                of_image.labels[:] = p.background_label_id + 1
            elif p.num_classes == 2 and p.HasField("objectness_score"):
                np.minimum(of_image.labels, 1, out=of_image.labels)
            wrong = (of_image.labels == p.background_label_id) | (of_image.labels < 0)
            wrong |= of_image.labels >= p.num_classes
            if wrong.any():
                raise self.error(
                    f"a label of image {i} must be in [0, {p.num_classes - 1}] and not the background's"
                    f" {p.background_label_id}; got {of_image.labels[wrong][0]}"
                )
        where = priors.float().cpu().numpy()
        by = moved.float().cpu().numpy()
        matches = _multibox.find_matches(p, truths, by, None if p.use_prior_for_matching else decoded)
        positives = self._positives(matches, truths, loc.device)
        if p.mining_type == p.NONE:
            return positives, None
        loss = self._mining_loss(loc, conf, positives, priors.expand_as(moved), variances)
        mined = np.ones(loss.shape, bool)
        if objectness is not None:
            mined = (objectness.float() >= p.objectness_score).cpu().numpy()
        negatives = [np.zeros(0, dtype=np.int64)]
        for m in matches:
            candidates = where if p.use_prior_for_nms or decoded is None else decoded[m.image, :, 0]
            negatives.append(
                m.image * len(where) + _multibox.mine(p, m, loss[m.image], candidates, mined[m.image])
            )
        if p.mining_type == p.HARD_EXAMPLE:
            positives = self._positives(matches, truths, loc.device)
        return positives, torch.from_numpy(np.concatenate(negatives)).to(loc.device)

    def _positives(
        self, matches: Sequence[_multibox.Matches], found: Sequence[_multibox.Truth], device: torch.device
    ) -> Positives:
        rows = [(m, np.flatnonzero(m.truth >= 0)) for m in matches]
        empty = np.zeros(0, dtype=np.int64)
        parts: list[list[boxes.Array]] = [
            [empty, *(np.full(len(j), m.image) for m, j in rows)],
            [empty, *(j for _, j in rows)],
            [empty, *(np.full(len(j), m.location) for m, j in rows)],
            [np.zeros((0, 4), np.float32), *(found[m.image].boxes[m.truth[j]] for m, j in rows)],
            [empty, *(found[m.image].labels[m.truth[j]] for m, j in rows)],
        ]
        return Positives(*(torch.from_numpy(np.concatenate(part)).to(device) for part in parts))

    def _codes(
        self, loc: torch.Tensor, m: Positives, priors: torch.Tensor, variances: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicted and wanted codes (M × 4 each), for the priors of each image (N × P × 4)."""
        p = self.param.multibox_loss_param
        prior, variance = priors[m.image, m.prior], variances[m.prior]
        encoded = None if p.encode_variance_in_target else variance
        wanted = boxes.encode(m.boxes.to(prior.dtype), prior, encoded, p.code_type)
        predicted = loc[m.image, m.prior, m.location]
        if p.bp_inside:
            at = (
                prior
                if p.use_prior_for_matching
                else boxes.decode(predicted.detach(), prior, encoded, p.code_type)
            )
            predicted = torch.where((at < 0) | (at > 1), wanted, predicted)
        if p.encode_variance_in_target:
            # the value only: the original's gradient is not divided
            predicted = predicted + (predicted / variance - predicted).detach()
            wanted = wanted / variance
        return predicted, wanted

    def _localization(
        self, loc: torch.Tensor, m: Positives, priors: torch.Tensor, variances: torch.Tensor
    ) -> torch.Tensor:
        return self._distance(*self._codes(loc, m, priors, variances)).sum()

    def _distance(self, predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        p = self.param.multibox_loss_param
        if p.loc_loss_type == p.L2:
            return (predicted - wanted).square() / 2
        return F.smooth_l1_loss(predicted, wanted, reduction="none")

    def _mining_loss(
        self,
        loc: torch.Tensor,
        conf: torch.Tensor,
        m: Positives,
        priors: torch.Tensor,
        variances: torch.Tensor,
    ) -> boxes.Array:
        """What ranks the priors (N × P): the confidence loss, for hard examples plus the localization
        loss.
        """
        p = self.param.multibox_loss_param
        labels = torch.full(conf.shape[:2], p.background_label_id, device=conf.device)
        labels[m.image, m.prior] = m.labels
        if p.conf_loss_type == p.LOGISTIC:
            target = (torch.arange(p.num_classes, device=conf.device) == labels[..., None]).to(conf.dtype)
            loss = F.binary_cross_entropy_with_logits(conf, target, reduction="none").sum(2)
        else:
            loss = F.cross_entropy(conf.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
            loss = loss.clamp(max=LARGEST)
        if p.mining_type == p.HARD_EXAMPLE:
            loss[m.image, m.prior] += self._distance(*self._codes(loc, m, priors, variances)).sum(1)
        ranking: boxes.Array = loss.float().cpu().numpy()
        return ranking

    def _confidence(self, conf: torch.Tensor, m: Positives, negatives: torch.Tensor | None) -> torch.Tensor:
        p = self.param.multibox_loss_param
        background = p.background_label_id
        rows = conf.flatten(0, 1)
        if negatives is None:
            labels = torch.full(rows.shape[:1], background, device=conf.device)
            labels[m.image * conf.shape[1] + m.prior] = m.labels
        else:
            chosen = torch.cat([m.image * conf.shape[1] + m.prior, negatives])
            labels = torch.cat([m.labels, torch.full_like(negatives, background)])
            rows = rows[chosen]
        if p.conf_loss_type != p.LOGISTIC:
            return self.classification(rows, labels)
        target = torch.full_like(rows, background)
        if negatives is None:
            target.view(-1)[m.image * conf.shape[1] + m.prior * p.num_classes + m.labels] = 1
        else:
            chosen = torch.nonzero(labels < p.num_classes).flatten()
            target[chosen, labels[chosen]] = 1
        return F.binary_cross_entropy_with_logits(rows, target, reduction="sum")

    def classification(self, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The summed confidence loss of scores (R × classes) for labels (R)."""
        each = torch.log_softmax(rows, 1).gather(1, labels[:, None])
        return -at_least(each, -LARGEST).sum()
