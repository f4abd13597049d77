# needs: published models
"""Find things of 20 kinds, or faces, with small YOLO v3 nets of github.com/dog-qiuqiu/MobileNet-Yolo.

    python examples/find_with_yolo.py nano|face MODEL_FOLDER PHOTO [PHOTO ...] [--out FOLDER]

``nano`` is MobileNetV2-YOLOv3-Nano-voc, ``face`` yoloface-50k; the folder holds their deploy.prototxt and
weights.caffemodel. The published nets end with the raw maps of predictions: a Yolov3DetectionOutput layer is put
behind them here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

VOC = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
    "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike",
    "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
OUTPUTS = {
    "nano": """name: "found" type: "Yolov3DetectionOutput" bottom: "layer79-conv" bottom: "layer69-conv" top: "found"
        yolov3_detection_output_param { num_classes: 20 mask: 0 mask: 1 mask: 2 mask: 3 mask: 4 mask: 5
        biases: 26 biases: 48 biases: 67 biases: 84 biases: 72 biases: 175
        biases: 189 biases: 126 biases: 137 biases: 236 biases: 265 biases: 259
        anchors_scale: 16 anchors_scale: 32 confidence_threshold: 0.3 }""",
    "face": """name: "found" type: "Yolov3DetectionOutput" bottom: "layer33-conv" top: "found"
        yolov3_detection_output_param { num_classes: 1 mask_group_num: 1 mask: 0 mask: 1 mask: 2 anchors_scale: 8
        biases: 7 biases: 12 biases: 12 biases: 19 biases: 22 biases: 29 confidence_threshold: 0.4 }""",
}


def build(kind: str, folder: Path) -> caffe.Net:
    """The published net with a layer that makes boxes of its maps."""
    param = caffe_pb2.NetParameter()
    text_format.Parse((folder / "deploy.prototxt").read_text(), param)
    text_format.Parse(OUTPUTS[kind], param.layer.add())
    net = caffe.Net(param, caffe.TEST)
    net.copy_from(str(folder / "weights.caffemodel"))
    return net


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=sorted(OUTPUTS))
    parser.add_argument("model", type=Path, help="folder of deploy.prototxt and weights.caffemodel")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("."), help="where the pictures go")
    arguments = parser.parse_args()
    net = build(arguments.kind, arguments.model)
    names = VOC if arguments.kind == "nano" else ["face"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    total = 0
    for path in arguments.photos:
        photo = cv2.imread(str(path))
        if photo is None:
            raise SystemExit(f"{path} is no picture")
        height, width = net.blobs["data"].data.shape[2:]
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        net.blobs["data"].data[...] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).transpose(2, 0, 1) / 256
        size = [photo.shape[1], photo.shape[0]] * 2
        rows = [row for row in net.forward()["found"][0, 0] if row[1] > 0]
        for _, label, score, *box in rows:
            x1, y1, x2, y2 = (round(float(v) * s) for v, s in zip(box, size))
            text = f"{names[int(label) - 1]} {score:.2f}"
            print(f"{path.name}: {text} at {x1}, {y1} to {x2}, {y2}")
            cv2.rectangle(photo, (x1, y1), (x2, y2), (40, 160, 250), 2)
            cv2.putText(photo, text, (x1 + 3, y1 + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 160, 250), 1)
        cv2.imwrite(str(arguments.out / f"{path.stem}_{arguments.kind}.png"), photo)
        total += len(rows)
    print(f"{total} found; pictures in {arguments.out}")
    return 0 if total else 1


if __name__ == "__main__":
    sys.exit(main())
