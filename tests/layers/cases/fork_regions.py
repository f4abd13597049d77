"""Layers over regions of interest, from several forks."""

import numpy as np
from harness import Case


def rois(count: int, images: int, size: float = 7.0, scale: float = 1.0):
    """Well-formed regions that lie inside a map, as a function of the generator."""

    def make(rng: np.random.Generator) -> np.ndarray:
        start = rng.uniform(0, size * 0.4, (count, 2))
        end = start + rng.uniform(size * 0.3, size * 0.55, (count, 2))
        return np.concatenate([rng.integers(0, images, (count, 1)), start / scale, end / scale], 1)

    return make


def sizes(rng: np.random.Generator) -> np.ndarray:
    return np.array([[64, 80, 1]])


def losses(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(6).astype(float)


def scores(rng: np.random.Generator) -> np.ndarray:
    return rng.random((1, 2, 4, 5))


def cells(rng: np.random.Generator) -> np.ndarray:
    """YOLO v1's annotations of 3 × 3 cells with 4 classes."""
    there, labels = rng.random((2, 18)) < 0.5, rng.integers(0, 4, (2, 9))
    return np.concatenate([there, labels, rng.uniform(0.1, 0.9, (2, 36))], 1)


CASES = [
    Case(
        "roi_pooling",
        'type: "ROIPooling" roi_pooling_param { pooled_h: 2 pooled_w: 3 }',
        [(2, 3, 8, 9), rois(5, 2)],
    ),
    Case(
        "roi_pooling_scale",
        'type: "ROIPooling" roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.25 }',
        [(2, 3, 8, 9), rois(4, 2, scale=0.25)],
    ),
    Case(
        "roi_align_sampling",
        'type: "ROIAlign" roi_align_param { pooled_h: 2 pooled_w: 3 sampling_ratio: 2 }',
        [(2, 3, 8, 9), rois(4, 2)],
    ),
    Case(
        "roi_align_adaptive",
        'type: "ROIAlign" roi_align_param { pooled_h: 2 pooled_w: 3 sampling_ratio: 0 spatial_scale: 0.5 }',
        [(2, 3, 8, 9), rois(4, 2, scale=0.5)],
    ),
    Case(
        "roi_align_synopsys",
        'type: "ROIAlign" roi_align_param { pooled_h: 2 pooled_w: 3 }',
        [(2, 3, 8, 9), rois(4, 2)],
        gradcheck=False,  # the regions are single precision in one run, double in the other
    ),
    Case(
        "roi_align_cascade",
        'type: "ROIAlign" roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 pad_ratio: 0.1 }',
        [(2, 3, 8, 9), rois(4, 2, scale=0.5)],
    ),
    Case(
        "psroi_pooling",
        'type: "PSROIPooling" psroi_pooling_param { spatial_scale: 0.5 output_dim: 5 group_size: 2 }',
        [(2, 20, 8, 9), rois(4, 2, scale=0.5)],
    ),
    Case(
        "deformable_psroi",
        'type: "DeformablePSROIPooling" deformable_psroi_pooling_param { spatial_scale: 0.5 output_dim: 6'
        " group_size: 2 part_size: 3 sample_per_part: 2 trans_std: 0.1 }",
        [(2, 24, 8, 9), rois(5, 2, scale=0.5), (5, 4, 3, 3)],
    ),
    Case(
        "deformable_psroi_no_trans",
        'type: "DeformablePSROIPooling" deformable_psroi_pooling_param { spatial_scale: 0.5 output_dim: 5'
        " group_size: 3 sample_per_part: 2 no_trans: true }",
        [(2, 45, 8, 9), rois(4, 2, scale=0.5)],
    ),
    Case(
        "box_annotator_ohem",
        'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 2 ignore_label: 255 }',
        [rois(6, 2), losses, (6,), (6, 8)],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "proposal_synopsys",
        'type: "Proposal" proposal_param'
        " { anchor_scale: 1 anchor_ratio: 1 feat_stride: 8 anchor_base_size: 1 }",
        [scores, (1, 4, 4, 5), sizes],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "proposal_pvanet",
        'type: "Proposal" proposal_param { feat_stride: 16 base_size: 8 min_size: 4 ratio: 1 scale: 3'
        " pre_nms_topn: 12 post_nms_topn: 5 nms_thresh: 0.6 }",
        [scores, (1, 4, 4, 5), sizes],
        tops=2,
        gradcheck=False,
    ),
    Case(
        "detection_loss",
        'type: "DetectionLoss" detection_loss_param { side: 3 num_class: 4 num_object: 2 constriant: true }',
        [lambda rng: rng.random((2, 126)), cells],
        gradcheck=False,  # no derivative
    ),
]
