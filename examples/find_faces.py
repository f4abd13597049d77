# needs: published models
"""Find faces in photos with Ultra-Light-Fast-Generic-Face-Detector (RFB-320), and draw boxes around them.

    python examples/find_faces.py MODEL_FOLDER PHOTO [PHOTO ...] [--out FOLDER]

The folder holds deploy.prototxt and weights.caffemodel (caffe/model/RFB-320 of
github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB). The net gives codes and scores; priors, decoding and
suppression of overlapping boxes are done here, with the functions that DetectionOutput uses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

import caffe
from caffe import boxes

SIDES = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}  # by stride, in pixels
VARIANCES = torch.tensor([0.1, 0.1, 0.2, 0.2])


def priors(height: int, width: int) -> torch.Tensor:
    """The boxes that the net's codes start from (P × 4), in units of the image."""
    found = []
    for stride, sides in SIDES.items():
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, sides, indexing="ij")
        center = np.stack([x / columns, y / rows], -1)
        half = np.stack([side / width, side / height], -1) / 2
        found.append(np.concatenate([center - half, center + half], -1).reshape(-1, 4))
    return torch.from_numpy(np.concatenate(found)).float().clamp(0, 1)


def find(net: caffe.Net, photo: np.ndarray, threshold: float = 0.7) -> list[tuple[float, list[int]]]:
    """Score and box, in pixels, of every face in a BGR photo."""
    height, width = net.blobs["input"].data.shape[2:]
    rgb = cv2.cvtColor(cv2.resize(photo, (width, height)), cv2.COLOR_BGR2RGB)
    net.blobs["input"].data[...] = (rgb.transpose(2, 0, 1) - 127.0) / 128
    out = net.forward()
    scores = out["scores"].reshape(-1, 2)[:, 1]
    code = torch.from_numpy(out["boxes"].reshape(-1, 4))
    at = boxes.decode(code, priors(height, width), VARIANCES, boxes.CENTER_SIZE).numpy()
    likely = np.flatnonzero(scores > threshold)
    likely = likely[boxes.by_score(scores[likely])]
    kept = likely[boxes.suppress(at[likely], 0.3)]
    size = [photo.shape[1], photo.shape[0]] * 2
    return [(float(scores[i]), [round(v * s) for v, s in zip(at[i].tolist(), size)]) for i in kept]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of deploy.prototxt and weights.caffemodel")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("."), help="where the pictures go")
    arguments = parser.parse_args()
    net = caffe.Net(
        str(arguments.model / "deploy.prototxt"),
        caffe.TEST,
        weights=str(arguments.model / "weights.caffemodel"),
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    total = 0
    for path in arguments.photos:
        photo = cv2.imread(str(path))
        if photo is None:
            raise SystemExit(f"{path} is no picture")
        found = find(net, photo)
        for score, (x1, y1, x2, y2) in found:
            cv2.rectangle(photo, (x1, y1), (x2, y2), (60, 220, 60), 2)
            cv2.putText(photo, f"{score:.2f}", (x1, y1 - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 220, 60), 1)
        target = arguments.out / f"{path.stem}_faces.png"
        cv2.imwrite(str(target), photo)
        print(f"{path.name}: {len(found)} faces, wrote {target}")
        total += len(found)
    return 0 if total else 1


if __name__ == "__main__":
    sys.exit(main())
