"""Boxes: decoding, non-maximum suppression, detections. Boxes are xmin, ymin, xmax, ymax."""

from __future__ import annotations

import torch
from torch import nn


def overlapping(a: torch.Tensor, b: torch.Tensor, threshold: float) -> torch.Tensor:
    """Which boxes (B × K × 4) overlap which others (B × L × 4) by more than ``threshold``: area shared over joint."""
    low = torch.maximum(a[:, :, None, :2], b[:, None, :, :2])
    high = torch.minimum(a[:, :, None, 2:], b[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    other = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return shared > threshold * (area[:, :, None] + other[:, None, :] - shared)


def suppress(boxes: torch.Tensor, valid: torch.Tensor, threshold: float) -> torch.Tensor:
    """Which boxes (B × K × 4, best first) overlap no better one that is kept by more than ``threshold`` (B × K)."""
    kept = torch.zeros_like(valid)
    for start in range(0, boxes.shape[1], 1024):  # block by block: all pairs at once can be too many
        if not valid[:, start:].any():
            break
        block = boxes[:, start : start + 1024]
        free = valid[:, start : start + 1024]
        for earlier in range(0, start, 1024):
            others = slice(earlier, earlier + 1024)
            over = overlapping(boxes[:, others], block, threshold)
            free = free & ~(over & kept[:, others, None]).any(1)
        over, now = torch.triu(overlapping(block, block, threshold), 1), free
        while True:  # each round settles at least one more box of a chain of overlaps
            before, now = now, free & ~(over & now[:, :, None]).any(1)
            if torch.equal(now, before):
                break
        kept[:, start : start + 1024] = now
    return kept


def best(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` highest scores of the last axis and their places; of equal ones the first."""
    values, places = torch.sort(scores, dim=-1, descending=True, stable=True)
    return values[..., :count], places[..., :count]


def decode(code: torch.Tensor, priors: torch.Tensor, kind: str) -> torch.Tensor:
    """The boxes that predicted codes mean, relative to priors."""
    if kind == "corner":
        return priors + code
    size = priors[..., 2:] - priors[..., :2]
    if kind == "corner_size":
        return priors + code * torch.cat([size, size], -1)
    center = (priors[..., :2] + priors[..., 2:]) / 2 + code[..., :2] * size
    half = code[..., 2:].exp() * size / 2
    return torch.cat([center - half, center + half], -1)


class DetectionOutput(nn.Module):
    """An SSD's detections: rows image, label, score, xmin, ymin, xmax, ymax (1 × 1 × K × 7).

    Per class: of the boxes that score above ``threshold`` the ``top_k`` best, of them those that overlap no better one
    by more than ``overlap``; of an image the ``keep`` best. Where nothing is found at all, a row of -1 an image.
    """

    suppress = staticmethod(suppress)
    best = staticmethod(best)

    def __init__(
        self, classes, background=0, threshold=0.0, overlap=0.45, top_k=400, keep=200, code="center_size",
        shared=True, encoded=False, objectness=0.0
    ):  # fmt: skip
        super().__init__()
        self.classes, self.shared, self.encoded = classes, shared, encoded
        self.labels = [c for c in range(classes) if c != background]
        self.threshold, self.overlap, self.top_k, self.keep = threshold, overlap, top_k, keep
        self.code, self.objectness = code, objectness

    def forward(
        self, loc: torch.Tensor, conf: torch.Tensor, prior: torch.Tensor, *more: torch.Tensor
    ) -> torch.Tensor:
        images = loc.shape[0]
        priors, variances = prior.reshape(2, -1, 4).unbind(0)
        count = priors.shape[0]
        if len(more) > 1:  # the boxes of a first step
            first = more[1].reshape(images, count, 4)
            priors = decode(first if self.encoded else first * variances, priors, self.code)[:, :, None]
        else:
            priors = priors[None, :, None]
        code = loc.reshape(images, count, -1, 4)
        boxes = decode(code if self.encoded else code * variances[None, :, None], priors, self.code)
        scores = conf.reshape(images, count, self.classes)
        if more:
            scores = scores * (more[0].reshape(images, count, 2)[..., 1:] >= self.objectness)
        scores = scores[..., self.labels].transpose(1, 2)  # images × labels × priors
        boxes = boxes.transpose(1, 2)
        boxes = boxes.expand(-1, len(self.labels), -1, -1) if self.shared else boxes[:, self.labels]
        scores, place = self.best(scores, min(self.top_k, count) if self.top_k >= 0 else count)
        most = scores.shape[2]
        boxes = boxes.gather(2, place[..., None].expand(-1, -1, -1, 4))
        kept = self.suppress(boxes.flatten(0, 1), (scores > self.threshold).flatten(0, 1), self.overlap)
        kept = kept.reshape(images, -1)  # by label, then falling score
        scores, boxes = scores.flatten(1), boxes.flatten(1, 2)
        if -1 < self.keep < scores.shape[1]:
            ranked = torch.where(kept, scores, torch.full_like(scores, -torch.inf))
            chosen = self.best(ranked, self.keep)[1]
            among = torch.zeros_like(scores).scatter(1, chosen, torch.ones_like(scores[:, : self.keep]))
            kept = kept & (among > 0)
        image, at = kept.nonzero().unbind(1)
        label = torch.tensor(self.labels, dtype=scores.dtype, device=scores.device)[at // most]
        found = torch.cat(
            [torch.stack([image.to(scores.dtype), label, scores[image, at]], 1), boxes[image, at]], 1
        )
        none = (~kept.any()).reshape(1).expand(images).nonzero().reshape(-1, 1).to(scores.dtype)
        nothing = torch.cat([none, -torch.ones_like(none).expand(-1, 6)], 1)
        return torch.cat([found, nothing])[None, None]
