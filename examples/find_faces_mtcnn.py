# needs: published models
"""Find faces and their eyes, noses and mouths with MTCNN, a cascade of three nets, and draw them.

    python examples/find_faces_mtcnn.py DET1 DET2 DET3 PHOTO [PHOTO ...] [--out FOLDER]

Each DET folder holds deploy.prototxt and weights.caffemodel; `caffe models download mtcnn` brings those of its
authors. The first net looks at all places of a photo in all sizes, the second and third at what is left of them:
Zhang et al., Joint face detection and alignment using multi-task cascaded convolutional networks, 2016.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

import caffe
from caffe import boxes

SMALLEST = 24  # pixels
SHRINK = 0.709  # from one size of the photo to the next: half the area


@dataclass
class Stage:
    """A net, and how its makers fed it.

    ``transposed``: it was trained on images with x and y exchanged, as MATLAB has them in memory. ``pairs``: its
    landmarks are x, y, x, y …, not all x and then all y. Outputs are told apart by their sizes: 2 scores, 4
    corrections of a box, 10 coordinates of landmarks.
    """

    folder: Path
    transposed: bool = True
    rgb: bool = True
    pairs: bool = False
    net: caffe.Net = field(init=False)

    def __post_init__(self) -> None:
        weights = self.folder / "weights.caffemodel"
        self.net = caffe.Net(str(self.folder / "deploy.prototxt"), caffe.TEST, weights=str(weights))

    def run(self, images: np.ndarray) -> dict[int, np.ndarray]:
        """The outputs for N × H × W × 3 images, BGR, by their number of channels."""
        images = images[..., ::-1] if self.rgb else images
        data = (images.transpose((0, 3, 2, 1) if self.transposed else (0, 3, 1, 2)) - 127.5) / 128
        blob = self.net.blobs[self.net.inputs[0]]
        blob.reshape(*data.shape)
        blob.data[...] = data
        self.net.forward()
        found = [self.net.blobs[name].data for name in self.net.outputs]
        if self.transposed:
            found = [v.transpose(0, 1, 3, 2) if v.ndim == 4 else v for v in found]
        return {v.shape[1]: v for v in found}


@dataclass
class Cascade:
    """The three nets, and the scores that a box must have to be handed on."""

    stages: list[Stage]
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)

    def find(self, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (F × 5: x1, y1, x2, y2, score) and landmarks (F × 5 × 2) in pixels of a BGR photo."""
        found = self._proposals(photo)
        landmarks = np.zeros((0, 5, 2))
        for stage in 1, 2:
            if not len(found):
                return np.zeros((0, 5)), np.zeros((0, 5, 2))
            found, landmarks = self._refine(stage, photo, square(found))
        return found, landmarks

    def _proposals(self, image: np.ndarray) -> np.ndarray:
        """Boxes from the first net, at all sizes."""
        scale, found = 12 / SMALLEST, [np.zeros((0, 5))]
        while min(image.shape[:2]) * scale >= 12:
            size = int(np.ceil(image.shape[1] * scale)), int(np.ceil(image.shape[0] * scale))
            out = self.stages[0].run(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[np.newaxis])
            score = out[2][0, 1]
            y, x = np.nonzero(score > self.thresholds[0])
            low = np.stack([x, y], 1) * 2 / scale
            at = np.hstack([low, low + 12 / scale, score[y, x, np.newaxis]])
            found.append(_kept(_moved(at, out[4][0][:, y, x].T), 0.5))
            scale *= SHRINK
        return _kept(np.concatenate(found), 0.7)

    def _refine(self, stage: int, image: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the next net thinks of square boxes, and where the landmarks are."""
        out = self.stages[stage].run(np.stack([patch(image, box, 24 * stage) for box in found]))
        score = out[2].reshape(len(found), -1)[:, 1]
        likely = np.flatnonzero(score > self.thresholds[stage])
        at = np.hstack([found[likely, :4], score[likely, np.newaxis]])
        marks = np.zeros((len(likely), 5, 2))
        if 10 in out and stage == 2:
            marks = out[10][likely]
            marks = (
                marks.reshape(-1, 5, 2) if self.stages[2].pairs else marks.reshape(-1, 2, 5).swapaxes(1, 2)
            )
            marks = marks * (at[:, np.newaxis, 2:4] - at[:, np.newaxis, :2]) + at[:, np.newaxis, :2]
        at = _moved(at, out[4].reshape(-1, 4)[likely])
        kept = _suppress(at, 0.7 if stage == 1 else 0.5)
        return at[kept], marks[kept]


def _moved(found: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Boxes with their corners moved, by shares of their sides."""
    side = np.tile(found[:, 2:4] - found[:, :2], 2)
    return np.hstack([found[:, :4] + by * side, found[:, 4:]])


def _suppress(found: np.ndarray, overlap: float) -> np.ndarray:
    """Which boxes no better one overlaps."""
    order = boxes.by_score(found[:, 4])
    return order[boxes.suppress(found[order, :4], overlap)]


def _kept(found: np.ndarray, overlap: float) -> np.ndarray:
    return found[_suppress(found, overlap)] if len(found) else found


def square(found: np.ndarray) -> np.ndarray:
    """The squares around boxes of the same middle."""
    middle, side = (found[:, :2] + found[:, 2:4]) / 2, (found[:, 2:4] - found[:, :2]).max(1, keepdims=True)
    return np.hstack([middle - side / 2, middle + side / 2, found[:, 4:]])


def patch(image: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """A square of the image at a new size, black where it is outside."""
    scale = side / (box[2] - box[0])
    matrix = np.array([[scale, 0, -box[0] * scale], [0, scale, -box[1] * scale]])
    if scale < 0.5:  # shrinks: average, don't pick
        x1, y1, x2 = (round(v) for v in box[:3])
        large = max(x2 - x1, 1)
        matrix = np.array([[1.0, 0, -x1], [0, 1.0, -y1]])
        whole = cv2.warpAffine(np.ascontiguousarray(image), matrix, (large, large))
        return cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(np.ascontiguousarray(image), matrix, (side, side))


def draw(photo: np.ndarray, found: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A copy of the photo with boxes, scores and landmarks."""
    photo = photo.copy()
    for box, marks in zip(found, landmarks):
        x1, y1, x2, y2 = (round(v) for v in box[:4])
        cv2.rectangle(photo, (x1, y1), (x2, y2), (80, 220, 80), 2)
        cv2.putText(photo, f"{box[4]:.2f}", (x1, y1 - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (80, 220, 80), 1)
        for x, y in marks[marks.any(1)]:
            cv2.circle(photo, (round(x), round(y)), 2, (60, 60, 255), -1)
    return photo


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs=3, type=Path, metavar="DET")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cascade = Cascade([Stage(folder) for folder in args.folders])
    for path in args.photos:
        photo = cv2.imread(str(path))
        if photo is None:
            raise SystemExit(f"{path} is no picture")
        found, landmarks = cascade.find(photo)
        cv2.imwrite(str(args.out / f"{path.stem}_mtcnn.png"), draw(photo, found, landmarks))
        print(f"{path.name}: {len(found)} faces")


if __name__ == "__main__":
    main()
