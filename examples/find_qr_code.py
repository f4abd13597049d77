# needs: published models
"""Find QR codes in a picture with the SSD of OpenCV's WeChat reader, and draw boxes around them.

    python examples/find_qr_code.py MODEL_FOLDER [--image PICTURE] [--out qr_code.png]

The folder holds deploy.prototxt and weights.caffemodel (detect.prototxt and detect.caffemodel of
github.com/WeChatCV/opencv_3rdparty). Without a picture one is made, with a code somewhere in clutter.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

import caffe

AREA = 400 * 400  # pixels that the detector is given


def make_picture(seed: int = 3) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A cluttered picture with one code, slightly turned, and where the code is: x1, y1, x2, y2."""
    rng = np.random.default_rng(seed)
    picture = np.full((480, 640, 3), 200, np.uint8)
    for _ in range(60):
        corner, size = rng.integers(0, (640, 480)), rng.integers(10, 120, 2)
        color = tuple(int(v) for v in rng.integers(60, 256, 3))
        cv2.rectangle(picture, corner.tolist(), (corner + size).tolist(), color, -1)
    code = cv2.QRCodeEncoder_create().encode("deep learning in prototxt")
    code = cv2.resize(code, (150, 150), interpolation=cv2.INTER_NEAREST)
    x, y, side, margin = 330, 190, 150, 16
    tile = np.full((side + 2 * margin, side + 2 * margin), 255, np.uint8)
    tile[margin:-margin, margin:-margin] = code
    turn = cv2.getRotationMatrix2D((tile.shape[1] / 2, tile.shape[0] / 2), 7, 1)
    turned = cv2.warpAffine(tile, turn, tile.shape[::-1], borderValue=255)
    picture[y - margin : y + side + margin, x - margin : x + side + margin] = turned[..., None]
    noisy = picture + rng.normal(0, 8, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8), (x, y, x + side, y + side)


def find(net: caffe.Net, picture: np.ndarray, threshold: float = 0.3) -> list[tuple[float, list[int]]]:
    """Score and box, in pixels, of every code in a BGR picture."""
    height, width = picture.shape[:2]
    factor = (AREA / (height * width)) ** 0.5
    gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_CUBIC)
    net.blobs["data"].reshape(1, 1, *small.shape)
    net.blobs["data"].data[...] = small / 255
    rows = net.forward()["detection_output"][0, 0]
    size = [width, height, width, height]
    return [
        (float(row[2]), [round(v * s) for v, s in zip(row[3:].tolist(), size)])
        for row in rows
        if row[1] == 1 and row[2] >= threshold
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of deploy.prototxt and weights.caffemodel")
    parser.add_argument("--image", help="the picture to look at")
    parser.add_argument("--out", default="qr_code.png")
    arguments = parser.parse_args()
    net = caffe.Net(
        str(arguments.model / "deploy.prototxt"),
        caffe.TEST,
        weights=str(arguments.model / "weights.caffemodel"),
    )
    place = None
    if arguments.image:
        picture = cv2.imread(arguments.image)
        if picture is None:
            raise SystemExit(f"{arguments.image} is no picture")
    else:
        picture, place = make_picture()
    found = find(net, picture)
    print(f"{len(found)} found")
    for score, (x1, y1, x2, y2) in found:
        print(f"  {score:.3f} at {x1}, {y1} to {x2}, {y2}")
        cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 255), 3)
        cv2.putText(picture, f"{score:.2f}", (x1, y1 - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 255), 2)
    if place is not None:
        print(f"  (it is at {place[0]}, {place[1]} to {place[2]}, {place[3]})")
    cv2.imwrite(arguments.out, picture)
    print(f"wrote {arguments.out}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
