# needs: nothing
"""Train a small SSD to find circles, squares and triangles, and draw what it finds.

    python examples/ssd_shapes.py [folder]

Makes two LMDBs of AnnotatedDatum, the train and test nets and the solver in the folder, trains for a CPU minute or
two, prints the mean average precision as it grows, and writes ``detections.png``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.data.sources.database import create
from caffe.proto import caffe_pb2

SIZE = 96
NAMES = ["background", "circle", "square", "triangle"]
COLORS = [(0, 0, 0), (60, 60, 230), (60, 200, 60), (230, 120, 40)]
MEAN = 110


def draw_shapes(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[int, float, float, float, float]]]:
    """A noisy picture and its shapes: label and box in units of the picture."""
    picture = rng.normal(rng.uniform(70, 150, 3), 12, (SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8)
    taken: list[tuple[int, float, float, float, float]] = []
    for _ in range(rng.integers(1, 4)):
        size = int(rng.integers(18, 44))
        x, y = (int(v) for v in rng.integers(0, SIZE - size, 2))
        if any(
            x < t[3] * SIZE and x + size > t[1] * SIZE and y < t[4] * SIZE and y + size > t[2] * SIZE
            for t in taken
        ):
            continue
        label = int(rng.integers(1, 4))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        if label == 1:
            cv2.circle(picture, (x + size // 2, y + size // 2), size // 2, color, -1)
        elif label == 2:
            cv2.rectangle(picture, (x, y), (x + size, y + size), color, -1)
        else:
            corners = np.array([[x + size // 2, y], [x, y + size], [x + size, y + size]])
            cv2.fillPoly(picture, [corners], color)
        taken.append((label, x / SIZE, y / SIZE, (x + size) / SIZE, (y + size) / SIZE))
    return picture, taken


def make_database(path: Path, count: int, seed: int) -> None:
    """An LMDB of ``count`` annotated pictures."""
    rng = np.random.default_rng(seed)
    with create(path, "lmdb") as writer:
        for i in range(count):
            picture, shapes = draw_shapes(rng)
            record = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
            record.datum.encoded = True
            record.datum.data = cv2.imencode(".png", picture)[1].tobytes()
            record.datum.channels, record.datum.height, record.datum.width = 3, SIZE, SIZE
            for number, (label, *box) in enumerate(shapes):
                annotation = record.annotation_group.add(group_label=label).annotation.add(instance_id=number)
                annotation.bbox.xmin, annotation.bbox.ymin, annotation.bbox.xmax, annotation.bbox.ymax = box
            writer.put(f"{i:08d}".encode(), record.SerializeToString())


def data_layer(source: Path, batch_size: int, train: bool) -> tuple[caffe.net_spec.Top, caffe.net_spec.Top]:
    """Pictures and annotations; augmented for training."""
    transform: dict[str, object] = {
        "mean_value": [MEAN] * 3,
        "scale": 1 / 60,
        "resize_param": {"height": SIZE, "width": SIZE, "resize_mode": P.Resize.WARP},
    }
    annotated: dict[str, object] = {}
    if train:
        transform |= {
            "mirror": True,
            "distort_param": {
                "brightness_prob": 0.5,
                "brightness_delta": 24,
                "hue_prob": 0.5,
                "hue_delta": 18,
            },
            "expand_param": {"prob": 0.3, "max_expand_ratio": 1.5},
            "emit_constraint": {"emit_type": caffe_pb2.EmitConstraint.CENTER},
        }
        annotated["batch_sampler"] = [
            {"max_sample": 1, "max_trials": 1},
            {
                "sampler": {"min_scale": 0.6, "min_aspect_ratio": 0.7, "max_aspect_ratio": 1.4},
                "sample_constraint": {"min_object_coverage": 0.9},
                "max_sample": 1,
                "max_trials": 20,
            },
        ]
    return L.AnnotatedData(
        ntop=2,
        data_param={"source": str(source), "batch_size": batch_size, "backend": P.Data.LMDB},
        transform_param=transform,
        annotated_data_param=annotated,
    )


def convolution(bottom: caffe.net_spec.Top, outputs: int, stride: int = 1) -> caffe.net_spec.Top:
    """3×3 convolution, batch normalization, ReLU."""
    made = L.Convolution(
        bottom, num_output=outputs, kernel_size=3, pad=1, stride=stride, bias_term=False,
        weight_filler={"type": "msra"},
    )  # fmt: skip
    made = L.BatchNorm(made, in_place=True, moving_average_fraction=0.95)
    made = L.Scale(made, bias_term=True, in_place=True)
    return L.ReLU(made, in_place=True)


def detector(n: caffe.NetSpec) -> tuple[caffe.net_spec.Top, caffe.net_spec.Top, caffe.net_spec.Top]:
    """Locations, confidences and priors of two feature maps, 12×12 and 6×6."""
    x = convolution(convolution(n.data, 16, 2), 24, 2)
    n.small = convolution(convolution(x, 32, 2), 48)
    n.large = convolution(convolution(n.small, 64, 2), 64)
    heads: list[list[caffe.net_spec.Top]] = [[], [], []]
    for top, least, most in ((n.small, 18, 30), (n.large, 30, 46)):
        for outputs, head in ((4 * 4, heads[0]), (4 * len(NAMES), heads[1])):
            predicted = L.Convolution(
                top, num_output=outputs, kernel_size=3, pad=1, weight_filler={"type": "xavier"}
            )
            head.append(L.Flatten(L.Permute(predicted, order=[0, 2, 3, 1])))
        heads[2].append(
            L.PriorBox(
                top, n.data, min_size=least, max_size=most, aspect_ratio=2, variance=[0.1, 0.1, 0.2, 0.2]
            )
        )
    return L.Concat(*heads[0]), L.Concat(*heads[1]), L.Concat(*heads[2], axis=2)


def train_net(source: Path) -> caffe_pb2.NetParameter:
    """Data, detector, MultiBoxLoss."""
    n = caffe.NetSpec()
    n.data, n.label = data_layer(source, 16, train=True)
    n.locations, n.confidences, n.priors = detector(n)
    n.loss = L.MultiBoxLoss(
        n.locations, n.confidences, n.priors, n.label,
        num_classes=len(NAMES), code_type=P.PriorBox.CENTER_SIZE, propagate_down=[True, True, False, False],
    )  # fmt: skip
    return n.to_proto()


def test_net(source: Path) -> caffe_pb2.NetParameter:
    """Data, detector, DetectionOutput, DetectionEvaluate."""
    n = caffe.NetSpec()
    n.data, n.label = data_layer(source, 25, train=False)
    n.locations, n.confidences, n.priors = detector(n)
    scores = L.Softmax(L.Reshape(n.confidences, shape={"dim": [0, -1, len(NAMES)]}), axis=2)
    n.detections = L.DetectionOutput(
        n.locations, L.Flatten(scores), n.priors,
        detection_output_param={
            "num_classes": len(NAMES),
            "code_type": P.PriorBox.CENTER_SIZE,
            "confidence_threshold": 0.05,
            "keep_top_k": 50,
            "nms_param": {"nms_threshold": 0.45, "top_k": 100},
        },
    )  # fmt: skip
    n.evaluation = L.DetectionEvaluate(n.detections, n.label, num_classes=len(NAMES))
    return n.to_proto()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="where to put everything (a new temporary folder)"
    )
    parser.add_argument("--iterations", type=int, default=400)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="ssd_shapes_"))
    folder.mkdir(parents=True, exist_ok=True)
    caffe.set_random_seed(1)
    for name, count, seed in (("train", 800, 1), ("test", 100, 2)):
        if not (folder / f"{name}_lmdb").exists():
            make_database(folder / f"{name}_lmdb", count, seed)
    solver_param = caffe_pb2.SolverParameter(
        train_net_param=train_net(folder / "train_lmdb"),
        test_net_param=[test_net(folder / "test_lmdb")],
        test_iter=[4], test_interval=100, test_initialization=False, eval_type="detection", ap_version="11point",
        type="Adam", base_lr=0.003, momentum=0.9, momentum2=0.999, delta=1e-8,
        lr_policy="multistep", gamma=0.1, stepvalue=[arguments.iterations * 3 // 4], max_iter=arguments.iterations,
        display=50, average_loss=20, snapshot_after_train=False, solver_mode=caffe_pb2.SolverParameter.CPU,
        snapshot_prefix=str(folder / "ssd"),
    )  # fmt: skip
    solver = caffe.get_solver(solver_param)
    solver.step(arguments.iterations)
    precision = solver.test(0)["evaluation"][0]
    print(f"mean average precision {precision:.3f}")

    net = solver.test_nets[0]
    net.forward()
    pictures = []
    for i in range(8):
        picture = (net.blobs["data"].data[i].transpose(1, 2, 0) * 60 + MEAN).clip(0, 255).astype(np.uint8)
        picture = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
        for image, label, score, *box in net.blobs["detections"].data[0, 0]:
            if image == i and score > 0.5:
                x1, y1, x2, y2 = (int(v * 3 * SIZE) for v in box)
                cv2.rectangle(picture, (x1, y1), (x2, y2), COLORS[int(label)], 2)
                text = f"{NAMES[int(label)]} {score:.2f}"
                cv2.putText(
                    picture, text, (x1 + 2, y1 + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1
                )
        pictures.append(picture)
    rows = [np.concatenate(pictures[i : i + 4], 1) for i in (0, 4)]
    cv2.imwrite(str(folder / "detections.png"), np.concatenate(rows))
    print(f"wrote {folder / 'detections.png'}")
    return 0 if precision >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
