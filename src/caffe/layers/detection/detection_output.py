"""DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe import boxes
from caffe.blob import Shape
from caffe.layers.detection._detection_files import DetectionFiles
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


class DetectionOutput(TensorLayer):
    """Detections of an SSD: decode the predicted boxes, suppress overlapping ones per class, keep the best.

    Per class other than ``background_label_id``: boxes whose score is above ``confidence_threshold``, of them
    the ``nms_param.top_k`` best, of them those that overlap no better one by more than ``nms_threshold``. Of
    what is left in an image the ``keep_top_k`` best.

    bottom: locations (N × P·4, or N × P·classes·4 without ``share_location``), confidences (N × P·classes;
    softmax or sigmoid already), priors (1 × 2 × P·4); [RefineDet: objectness (N × P·2), [first-step locations
    (N × P·4)]]. Synopsys: with ``no_permute`` or more than 5 bottoms, n confidences, n locations, and 1 or n
    priors; with ``no_permute`` shaped (N × classes × ratios × H·W) and (N × ratios·4 × H × W).
    top: (1 × 1 × K × 7) rows image, label, score, xmin, ymin, xmax, ymax, by image, label and falling score.
    Where nothing is found at all, N rows image, -1 …. Coordinates are in units of the image, and not clipped.

    ``save_output_param`` writes the detections to files when it has a label map and a name_size_file.
    Differs from Caffe: of equal scores at the cut of ``keep_top_k`` the first are kept; ``visualize`` has no
    effect.
    Source: weiliu89/caffe (SSD) ``DetectionOutput``, Liu et al. 2016; sfzhang15/RefineDet, Synopsys.
    """

    origin = "SSD (weiliu89/caffe), RefineDet (sfzhang15/RefineDet)"
    reads = {"detection_output_param": "* -clip"}
    num_bottoms = (3, None)
    differentiable = False
    in_place = False
    _files: DetectionFiles | None = None

    @property
    def split(self) -> int:
        """Into how many bottoms the predictions are split (Synopsys), else 0."""
        p, count = self.param.detection_output_param, self.bottom_count
        if count <= 5 and not p.no_permute:
            return 0
        if p.nbottom:
            return int(p.nbottom)
        return (count - 1) // 2 if count % 2 else count // 3

    def check(self, *shapes: Shape) -> None:
        p = self.param.detection_output_param
        if p.num_classes < 1:
            raise self.error("must be given, and at least 1", field="num_classes")
        if p.share_location and p.background_label_id == -1:
            raise self.error("must not be -1 with share_location", field="background_label_id")
        if p.nms_param.nms_threshold < 0:
            raise self.error(f"must be at least 0; got {p.nms_param.nms_threshold:g}", field="nms_threshold")
        if not 0 < p.nms_param.eta <= 1:
            raise self.error(f"must be above 0 and at most 1; got {p.nms_param.eta:g}", field="eta")
        if self.split and len(shapes) not in (2 * self.split + 1, 3 * self.split):
            raise self.shape_error(
                f"{self.split} predictions need {2 * self.split + 1} or {3 * self.split} bottoms;"
                f" got {len(shapes)}"
            )
        loc, conf, prior = self._joined([torch.empty(s, device="meta") for s in shapes])
        count = prior.shape[-1] // 4
        for what, x, each in (
            ("locations", loc, 4 if p.share_location else 4 * p.num_classes),
            ("confidences", conf, p.num_classes),
        ):
            if x.flatten(1).shape[1] != count * each:
                raise self.shape_error(
                    f"{count} priors need {count} × {each} = {count * each} {what} per image; got shape"
                    f" {list(x.shape)}"
                )
        if loc.shape[0] != conf.shape[0]:
            raise self.shape_error(f"locations of {loc.shape[0]} images, confidences of {conf.shape[0]}")

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        return [(1, 1, 1, 7)]

    def _joined(self, bottoms: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        n, p = self.split, self.param.detection_output_param
        if not n:
            return list(bottoms[:3])
        confs, locs, priors = bottoms[:n], bottoms[n : 2 * n], bottoms[2 * n :]
        if p.no_permute:
            # to the order of one prior after the other: by position, then ratio
            confs = [c.permute(0, 3, 2, 1) for c in confs]
            locs = [x.unflatten(1, (c.shape[2], -1)).permute(0, 3, 4, 1, 2) for x, c in zip(locs, confs)]
        return [
            torch.cat([x.flatten(1) for x in locs], 1),
            torch.cat([x.flatten(1) for x in confs], 1),
            torch.cat([x.reshape(1, 2, -1) for x in priors], 2),
        ]

    def compute(self, *bottoms: torch.Tensor) -> torch.Tensor:
        p = self.param.detection_output_param
        loc, conf, prior = self._joined(bottoms)
        images, device = loc.shape[0], loc.device
        priors, variances = prior.reshape(2, 1, -1, 1, 4)
        encoded = None if p.variance_encoded_in_target else variances
        if not self.split and len(bottoms) == 5:
            priors = boxes.decode(bottoms[4].reshape(images, -1, 1, 4), priors, encoded, p.code_type)
        decoded = boxes.decode(loc.reshape(images, variances.shape[1], -1, 4), priors, encoded, p.code_type)
        scores = conf.reshape(images, -1, p.num_classes).transpose(1, 2)
        if not self.split and len(bottoms) > 3:
            # a prior that is no object is background, which RefineDet takes for class 0
            no_object = bottoms[3].reshape(images, 1, -1, 2)[..., 1] < p.objectness_score
            first = (torch.arange(p.num_classes, device=device) == 0).to(scores)[:, None]
            scores = torch.where(no_object, first, scores)
        host = decoded.permute(0, 2, 1, 3).detach().contiguous().float().cpu().numpy()
        rows = [
            self._of_image(i, host[i], s)
            for i, s in enumerate(scores.detach().contiguous().float().cpu().numpy())
        ]
        detections = np.concatenate(rows) if rows else np.zeros((0, 7), np.float32)
        if p.HasField("save_output_param"):
            self._save(detections, images)
        if not len(detections):
            detections = np.full((images, 7), -1, np.float32)
            detections[:, 0] = np.arange(images)
        return torch.from_numpy(detections).to(device).view(1, 1, -1, 7)

    def _of_image(self, image: int, decoded: boxes.Array, scores: boxes.Array) -> boxes.Array:
        """Rows of one image: boxes (1 or classes × P × 4), scores (classes × P)."""
        p = self.param.detection_output_param
        top_k = p.nms_param.top_k if p.nms_param.HasField("top_k") and p.nms_param.top_k >= 0 else None
        rows = []
        for label, score in enumerate(scores):
            if label == p.background_label_id:
                continue
            of_class = decoded[0 if p.share_location else label]
            chosen = (
                np.flatnonzero(score > p.confidence_threshold) if p.HasField("confidence_threshold") else None
            )
            if chosen is None:
                chosen = boxes.by_score(score, top_k)
            else:
                chosen = chosen[boxes.by_score(score[chosen], top_k)]
            if not len(chosen):
                continue
            kept = chosen[boxes.suppress(of_class[chosen], p.nms_param.nms_threshold, p.nms_param.eta)]
            row = np.empty((len(kept), 7), np.float32)
            row[:, 0], row[:, 1], row[:, 2], row[:, 3:] = image, label, score[kept], of_class[kept]
            rows.append(row)
        detections = np.concatenate(rows) if rows else np.zeros((0, 7), np.float32)
        if -1 < p.keep_top_k < len(detections):
            detections = detections[np.sort(boxes.by_score(detections[:, 2], p.keep_top_k))]
        return detections

    def _save(self, found: boxes.Array, images: int) -> None:
        p: caffe_pb2.DetectionOutputParameter = self.param.detection_output_param
        if self._files is None:
            self._files = DetectionFiles(p.save_output_param, p.background_label_id)
        self._files.write(found, images)
