# needs: nothing
"""Train a small Faster R-CNN to find circles, squares and triangles, and draw what it finds.

    python examples/faster_rcnn_shapes.py [folder]

The net is py-faster-rcnn's end-to-end one in small: a data layer in Python, convolutions, a region proposal network
with the Python layers ``rpn.anchor_target_layer`` and ``rpn.proposal_layer``, ``rpn.proposal_target_layer``,
ROIPooling, and heads for the class and the box, all trained at once, from nothing. Where py-faster-rcnn's modules
are not on the path, caffe's own take their place.

Writes train and test nets and the solver to the folder, trains for a few CPU minutes, prints the mean average
precision as it grows, and writes ``detections.png``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from ssd_shapes import COLORS, MEAN, NAMES, SIZE, draw_shapes

import caffe
from caffe import layers as L
from caffe.proto import caffe_pb2

STRIDE = 4
"""Pixels of the picture to one of the map of features."""
SCALES = (1.2, 1.8, 2.6)
"""Sides of the anchors, in 16 pixels."""
STD = (0.1, 0.1, 0.2, 0.2)
"""Offsets of boxes are divided by these before they are learned."""
TESTS = 100


class ShapesData(caffe.Layer):
    """Pictures of shapes, one at a time, as py-faster-rcnn's RoIDataLayer gives photos.

    ``param_str`` is JSON: seed; count, after how many pictures it begins again (0: never).
    top: picture (1 × 3 × H × W); height, width, scale (1 × 3); boxes (G × 5: x1, y1, x2, y2, label), in pixels.
    """

    def setup(self, bottom, top):
        settings = json.loads(self.param_str)
        self.seed, self.count = settings["seed"], settings["count"]
        self.next = 0

    def reshape(self, bottom, top):
        if not self.next:  # later shapes come with the pictures
            top[0].reshape(1, 3, SIZE, SIZE)
            top[1].reshape(1, 3)
            top[2].reshape(1, 5)

    def forward(self, bottom, top):
        number = self.next % self.count if self.count else self.next
        self.next += 1
        picture, shapes = draw_shapes(np.random.default_rng([self.seed, number]))
        top[0].data[0] = (picture.transpose(2, 0, 1) - np.float32(MEAN)) / 60
        top[1].data[0] = SIZE, SIZE, 1
        top[2].reshape(len(shapes), 5)
        top[2].data[...] = [[x1 * SIZE, y1 * SIZE, x2 * SIZE, y2 * SIZE, k] for k, x1, y1, x2, y2 in shapes]

    def backward(self, top, propagate_down, bottom):
        pass


class ForEvaluation(caffe.Layer):
    """Brings rows of FrcnnOutput and of ShapesData into the form that DetectionEvaluate reads.

    bottom: detections (D × 7 × 1 × 1: image, x1, y1, x2, y2, label, score; the first row is no detection);
    boxes (G × 5). top: detections (1 × 1 × D × 7); annotations (1 × 1 × G × 8).
    """

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1, 1, bottom[0].shape[0], 7)
        top[1].reshape(1, 1, bottom[1].shape[0], 8)

    def forward(self, bottom, top):
        found, truth = bottom[0].data.reshape(-1, 7), bottom[1].data
        top[0].data[0, 0] = np.concatenate([found[:, [0, 5, 6]], found[:, 1:5] / SIZE], axis=1)
        top[0].data[0, 0, 0] = -1  # the row that is no detection
        top[1].data[...] = 0
        top[1].data[0, 0, :, 1] = truth[:, 4]
        top[1].data[0, 0, :, 3:7] = truth[:, :4] / SIZE

    def backward(self, top, propagate_down, bottom):
        pass


def python(*bottoms: caffe.net_spec.Top, ntop: int, module: str, layer: str, **settings: object):
    """A Python layer; settings are written as py-faster-rcnn's layers read them, a line each."""
    text = "\n".join(f"'{key}': {value}" for key, value in settings.items())
    return L.Python(
        *bottoms, ntop=ntop, python_param={"module": module, "layer": layer, "param_str": text},
        propagate_down=[False] * len(bottoms),
    )  # fmt: skip


def data(n: caffe.NetSpec, seed: int, count: int) -> None:
    """The picture, its size and its boxes."""
    n.data, n.im_info, n.gt_boxes = L.Python(
        ntop=3,
        python_param={
            "module": "faster_rcnn_shapes",
            "layer": "ShapesData",
            "param_str": json.dumps({"seed": seed, "count": count}),
        },
    )


def convolution(
    bottom: caffe.net_spec.Top, outputs: int, stride: int = 1, dilation: int = 1
) -> caffe.net_spec.Top:
    """3×3 convolution, ReLU."""
    made = L.Convolution(
        bottom, num_output=outputs, kernel_size=3, pad=dilation, stride=stride, dilation=dilation,
        weight_filler={"type": "msra"},
    )  # fmt: skip
    return L.ReLU(made, in_place=True)


def predicted(bottom: caffe.net_spec.Top, outputs: int) -> caffe.net_spec.Top:
    """1×1 convolution that starts near zero."""
    return L.Convolution(
        bottom, num_output=outputs, kernel_size=1, weight_filler={"type": "gaussian", "std": 0.01}
    )


def region_proposals(n: caffe.NetSpec) -> None:
    """Features, and at each of their places the score and offsets of every anchor; regions made of them."""
    x = convolution(convolution(n.data, 16, 2), 32, 2)
    x = convolution(convolution(x, 48), 64, dilation=2)
    n.features = convolution(x, 64, dilation=2)
    n.rpn = convolution(n.features, 64)
    n.rpn_cls_score = predicted(n.rpn, 2 * len(SCALES))
    n.rpn_bbox_pred = predicted(n.rpn, 4 * len(SCALES))
    n.rpn_scores = L.Reshape(n.rpn_cls_score, shape={"dim": [0, 2, -1, 0]})
    probabilities = L.Reshape(L.Softmax(n.rpn_scores), shape={"dim": [0, 2 * len(SCALES), -1, 0]})
    n.proposals = python(
        probabilities, n.rpn_bbox_pred, n.im_info, ntop=1,
        module="rpn.proposal_layer", layer="ProposalLayer",
        feat_stride=STRIDE, scales=SCALES, ratios=(1,), rpn_min_size=8,
        rpn_pre_nms_top_n=(400, 200), rpn_post_nms_top_n=(100, 40),
    )  # fmt: skip


def heads(n: caffe.NetSpec, regions: caffe.net_spec.Top) -> None:
    """The class and the box of each region."""
    pooled = L.ROIPooling(n.features, regions, pooled_h=5, pooled_w=5, spatial_scale=1 / STRIDE)
    x = L.ReLU(L.InnerProduct(pooled, num_output=128, weight_filler={"type": "msra"}), in_place=True)
    small = {"type": "gaussian", "std": 0.01}
    n.cls_score = L.InnerProduct(x, num_output=len(NAMES), weight_filler=small)
    n.bbox_pred = L.InnerProduct(x, num_output=4 * len(NAMES), weight_filler=small)


def train_net() -> caffe_pb2.NetParameter:
    """Data, region proposal network and its losses, regions to learn from, heads and their losses."""
    n = caffe.NetSpec()
    data(n, seed=1, count=0)
    region_proposals(n)
    n.rpn_labels, n.rpn_targets, n.rpn_inside, n.rpn_outside = python(
        n.rpn_cls_score, n.gt_boxes, n.im_info, n.data, ntop=4,
        module="rpn.anchor_target_layer", layer="AnchorTargetLayer",
        feat_stride=STRIDE, scales=SCALES, ratios=(1,), allowed_border=8, rpn_batchsize=128,
    )  # fmt: skip
    n.rpn_loss_cls = L.SoftmaxWithLoss(
        n.rpn_scores,
        n.rpn_labels,
        loss_param={"ignore_label": -1},
        propagate_down=[True, False],
        loss_weight=1,
    )
    n.rpn_loss_bbox = L.SmoothL1Loss(
        n.rpn_bbox_pred, n.rpn_targets, n.rpn_inside, n.rpn_outside, sigma=3, loss_weight=1
    )
    n.rois, n.labels, n.targets, n.inside, n.outside = python(
        n.proposals, n.gt_boxes, ntop=5,
        module="rpn.proposal_target_layer", layer="ProposalTargetLayer",
        num_classes=len(NAMES), batch_size=48, fg_fraction=0.4, bbox_normalize_stds=STD,
    )  # fmt: skip
    heads(n, n.rois)
    n.loss_cls = L.SoftmaxWithLoss(n.cls_score, n.labels, propagate_down=[True, False], loss_weight=1)
    n.loss_bbox = L.SmoothL1Loss(n.bbox_pred, n.targets, n.inside, n.outside, loss_weight=1)
    return n.to_proto()


def test_net() -> caffe_pb2.NetParameter:
    """Data, region proposal network, heads, detections and their evaluation."""
    n = caffe.NetSpec()
    data(n, seed=2, count=TESTS)
    region_proposals(n)
    heads(n, n.proposals)
    n.found = L.FrcnnOutput(
        L.Softmax(n.cls_score), n.bbox_pred, n.proposals, n.im_info,
        frcnn_output_param={"conf_thr": 0.05, "iou_thr": 0.3, "nms_type": "IOU", "max_det_num": 50},
        bbox_reg_param={"bbox_mean": [0.0] * 4, "bbox_std": list(STD)},
    )  # fmt: skip
    n.detections, n.annotations = python(
        n.found, n.gt_boxes, ntop=2, module="faster_rcnn_shapes", layer="ForEvaluation"
    )
    n.evaluation = L.DetectionEvaluate(n.detections, n.annotations, num_classes=len(NAMES))
    return n.to_proto()


def write_solver(folder: Path, iterations: int) -> Path:
    """The prototxts of the nets and of the solver, in the folder; returns the solver's."""
    (folder / "train.prototxt").write_text(str(train_net()))
    (folder / "test.prototxt").write_text(str(test_net()))
    solver_param = caffe_pb2.SolverParameter(
        train_net=str(folder / "train.prototxt"), test_net=[str(folder / "test.prototxt")],
        test_iter=[TESTS], test_interval=500, test_initialization=False, eval_type="detection", ap_version="11point",
        base_lr=0.01, momentum=0.9, weight_decay=0.0005, clip_gradients=35,
        lr_policy="multistep", gamma=0.1, stepvalue=[iterations * 3 // 4], max_iter=iterations,
        display=100, average_loss=100, snapshot_after_train=False, solver_mode=caffe_pb2.SolverParameter.CPU,
        snapshot_prefix=str(folder / "faster_rcnn"),
    )  # fmt: skip
    path = folder / "solver.prototxt"
    path.write_text(str(solver_param))
    return path


def draw(net: caffe.Net) -> np.ndarray:
    """The next picture of the test net, with what it finds in it."""
    net.forward()
    picture = net.blobs["data"].data[0].transpose(1, 2, 0) * 60 + MEAN
    picture = picture.round().clip(0, 255).astype(np.uint8)
    picture = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    for image, label, score, *box in net.blobs["detections"].data[0, 0]:
        if image >= 0 and score > 0.5:
            x1, y1, x2, y2 = (int(v * 3 * SIZE) for v in box)
            cv2.rectangle(picture, (x1, y1), (x2, y2), COLORS[int(label)], 2)
            text = f"{NAMES[int(label)]} {score:.2f}"
            cv2.putText(picture, text, (x1 + 2, y1 + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
    return picture


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="where to put everything (a new temporary folder)"
    )
    parser.add_argument("--iterations", type=int, default=2000)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="faster_rcnn_shapes_"))
    folder.mkdir(parents=True, exist_ok=True)
    caffe.set_random_seed(1)
    solver = caffe.SGDSolver(str(write_solver(folder, arguments.iterations)))
    solver.step(arguments.iterations)
    precision = solver.test(0)["evaluation"][0]
    print(f"mean average precision {precision:.3f}")
    pictures = [draw(solver.test_nets[0]) for _ in range(8)]
    rows = [np.concatenate(pictures[i : i + 4], 1) for i in (0, 4)]
    cv2.imwrite(str(folder / "detections.png"), np.concatenate(rows))
    print(f"wrote {folder / 'detections.png'}")
    return 0 if precision >= 0.7 else 1


if __name__ == "__main__":
    sys.exit(main())
