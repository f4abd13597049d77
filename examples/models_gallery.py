# needs: plot, published models
"""A picture from every kind of published model at hand: what it is given, and what it makes of it.

    python examples/models_gallery.py OUT [NAME ...] --models DIR [--photos DIR] [--mnist DIR]

``--models`` holds a folder for each model with deploy.prototxt and weights.caffemodel (`caffe models download`
brings most of them); `$CAFFE_TEST_ASSETS` stands for a folder with models/, photos/ and mnist/. Names are those
of the functions below; without names all are drawn. One function draws one picture, and so the file is long.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import find_faces
import find_qr_code
import find_with_yolo
import matplotlib
import numpy as np
from find_faces_mtcnn import Cascade, Stage, draw, patch, square

import caffe
from caffe import boxes
from caffe.proto import caffe_pb2

matplotlib.use("Agg")
import matplotlib.pyplot as plt

IMAGENET_MEAN = np.array([104.0, 117.0, 123.0])  # blue, green, red
LANDMARKS = {"LE2": 0, "RE1": 1, "N1": 2, "N2": 2, "LM2": 3, "RM1": 4}
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@dataclass
class Assets:
    """Where things lie."""

    models: Path
    photos: Path
    mnist: Path

    def net(
        self, name: str, *, deploy: str = "deploy.prototxt", weights: str = "weights.caffemodel"
    ) -> caffe.Net:
        folder = self.models / name
        return caffe.Net(str(folder / deploy), caffe.TEST, weights=str(folder / weights))

    def photo(self, name: str) -> np.ndarray:
        found = cv2.imread(str(self.photos / name))
        if found is None:
            raise FileNotFoundError(self.photos / name)
        return found


def tiles(
    pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int, side: float = 2.2, **kwargs: object
) -> plt.Figure:
    """Pictures (BGR, or gray) side by side, each with its title."""
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(side * columns, (side + 0.35) * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, title in zip(axes.flat, pictures, titles):
        ax.imshow(picture if picture.ndim == 2 else picture[..., ::-1], cmap="gray", **kwargs)
        ax.set_title(title, fontsize=8)
    figure.tight_layout()
    return figure


def run(net: caffe.Net, data: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of a net of one input for N × C × H × W."""
    net.blobs[net.inputs[0]].reshape(*data.shape)
    net.blobs[net.inputs[0]].data[...] = data
    return {name: values.copy() for name, values in net.forward().items()}


def shares(scores: np.ndarray, names: Sequence[str], count: int = 3) -> str:
    """The likeliest classes, a line each."""
    best = np.argsort(-scores)[:count]
    return "\n".join(f"{scores[i]:.0%} {names[i]}" for i in best)


def squeezenet(at: Assets) -> plt.Figure:
    """ImageNet's thousand classes: what photos show."""
    labels_file = at.models.parent / "labels" / "synset_words.txt"
    lines = labels_file.read_text().splitlines() if labels_file.is_file() else map(str, range(1000))
    labels = [line.partition(" ")[2].split(",")[0] or line for line in lines]
    folder = at.models / "squeezenet_v1.0_deepcompression"
    classifier = caffe.Classifier(
        str(folder / "deploy.prototxt"),
        str(folder / "weights.caffemodel"),
        image_dims=(256, 256),
        mean=IMAGENET_MEAN,
        raw_scale=255,
        channel_swap=(2, 1, 0),
    )
    names = ["cat", "fish-bike", "airplane_1", "bicycles", "mountains", "001763"]
    photos = [at.photo(f"{name}.jpg") for name in names]
    scores = classifier.predict([p[..., ::-1].astype(np.float32) / 255 for p in photos])
    likely = np.exp(scores - scores.max(1, keepdims=True))  # this net ends before its softmax
    return tiles(photos, [shares(s / s.sum(), labels) for s in likely], 3, 3)


def _mtcnn(at: Assets, stages: list[Stage]) -> plt.Figure:
    cascade, pictures, titles = Cascade(stages), [], []
    for name in "faces", "faces2", "crowd1":
        photo = at.photo(f"{name}.jpg")
        found, marks = cascade.find(photo)
        large = 2 if name == "crowd1" else 1
        photo = cv2.resize(photo, None, fx=large, fy=large, interpolation=cv2.INTER_CUBIC)
        found = np.hstack([found[:, :4] * large, found[:, 4:]])
        pictures.append(draw(photo, found, marks * large))
        titles.append(f"{len(found)} faces")
    return tiles(pictures, titles, 3, 6)


def mtcnn(at: Assets) -> plt.Figure:
    """The cascade of its authors."""
    return _mtcnn(at, [Stage(at.models / f"mtcnn_det{i}") for i in (1, 2, 3)])


def mtcnn_congweilin(at: Assets) -> plt.Figure:
    """Another training of it."""
    return _mtcnn(at, [Stage(at.models / f"mtcnn_congweilin_{i}net") for i in (12, 24, 48)])


def mtcnn_cholihao(at: Assets) -> plt.Figure:
    """Another training; its fourth net looks at each landmark again."""
    names = [at.models / f"mtcnn_cholihao_det{i}" for i in (1, 2, 3)]
    cascade = Cascade([Stage(n, transposed=False, rgb=False, pairs=True) for n in names])
    refine, pictures, titles = at.net("mtcnn_cholihao_det4"), [], []
    for name in "faces", "faces2", "crowd1":
        photo = at.photo(f"{name}.jpg")
        found, marks = cascade.find(photo)
        moved = [_refined(refine, photo, box, face) for box, face in zip(found, marks)]
        large = 2 if name == "crowd1" else 1
        photo = cv2.resize(photo, None, fx=large, fy=large, interpolation=cv2.INTER_CUBIC)
        found = np.hstack([found[:, :4] * large, found[:, 4:]])
        pictures.append(draw(photo, found, np.reshape(moved, (-1, 5, 2)) * large))
        titles.append(f"{len(found)} faces")
    return tiles(pictures, titles, 3, 6)


def _refined(net: caffe.Net, photo: np.ndarray, box: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Landmarks moved by what a net says of squares around each, a quarter of the face large."""
    half = max(box[2:4] - box[:2]) / 8
    squares = [np.array([*(mark - half), *(mark + half)]) for mark in marks]
    data = [(patch(photo, s, 24).transpose(2, 0, 1) - 127.5) / 128 for s in squares]
    by = run(net, np.concatenate(data)[np.newaxis])["landmark_offset"].reshape(5, 2)
    return marks + by * 2 * half


def mtcnn_half(at: Assets) -> plt.Figure:
    """Nets half as wide for the first and last stage; the first one's weights are 16-bit."""
    ends = [Stage(at.models / f"mtcnn_half_det{i}", transposed=False, rgb=False, pairs=True) for i in (1, 3)]
    return _mtcnn(at, [ends[0], Stage(at.models / "mtcnn_det2"), ends[1]])


def ultraface(at: Assets) -> plt.Figure:
    """Ultra-Light-Fast-Generic-Face-Detector; see find_faces.py."""
    net, pictures = at.net("ultraface_rfb320"), []
    for name in "faces", "faces2", "crowd1":
        photo = at.photo(f"{name}.jpg")
        found = np.array([[*at_, score] for score, at_ in find_faces.find(net, photo)]).reshape(-1, 5)
        pictures.append(draw(photo, found, np.zeros((len(found), 5, 2))))
    return tiles(pictures, ["faces", "faces2", "crowd1"], 3, 5)


def yolo_face(at: Assets) -> plt.Figure:
    """yoloface-50k; see find_with_yolo.py."""
    net = find_with_yolo.build("face", at.models / "yoloface_50k")
    return _yolo(at, net, ["face"], ["faces", "faces2", "crowd1"])


def yolo_nano(at: Assets) -> plt.Figure:
    """MobileNetV2-YOLOv3-Nano; see find_with_yolo.py."""
    net = find_with_yolo.build("nano", at.models / "mobilenetv2_yolov3_nano_voc")
    return _yolo(at, net, find_with_yolo.VOC, ["001763", "000067", "fish-bike"])


def _yolo(at: Assets, net: caffe.Net, names: Sequence[str], photos: Sequence[str]) -> plt.Figure:
    pictures = []
    for name in photos:
        photo = at.photo(f"{name}.jpg")
        small = cv2.resize(photo, net.blobs["data"].data.shape[:1:-1], interpolation=cv2.INTER_AREA)
        found = run(net, small[np.newaxis, ..., ::-1].transpose(0, 3, 1, 2) / 256)["found"][0, 0]
        for _, label, score, *box in found[found[:, 1] > 0]:
            x1, y1, x2, y2 = (round(v) for v in box * np.tile(photo.shape[1::-1], 2))
            cv2.rectangle(photo, (x1, y1), (x2, y2), (80, 220, 80), 2)
            said = f"{names[int(label) - 1]} {score:.2f}"
            cv2.putText(photo, said, (x1, y1 - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 255), 1)
        pictures.append(photo)
    return tiles(pictures, photos, 3, 5)


def qr_code(at: Assets) -> plt.Figure:
    """WeChat's SSD for QR codes, in a picture made for it; see find_qr_code.py."""
    picture, _ = find_qr_code.make_picture()
    found = find_qr_code.find(at.net("wechat_qrcode_detect"), picture)
    for _, (x1, y1, x2, y2) in found:
        cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 255), 3)
    return tiles([picture], [f"{len(found)} found, {found[0][0]:.2f}" if found else "none"], 1, 6)


def cascade_face(at: Assets) -> plt.Figure:
    """The first nets of a cascade: 12c scores places, 12-cal and 24-cal move and scale the boxes.

    The nets that sort out what is no face (24c, 48c) are not among these: most of these boxes are wrong.
    """
    photo = at.photo("faces.jpg")
    score, calibrate = at.net("cascade_face_12c"), [at.net(f"cascade_face_{i}_cal") for i in (12, 24)]
    found = []
    for side in 45, 60, 80, 110:
        step = side // 8
        y, x = np.mgrid[0 : photo.shape[0] - side : step, 0 : photo.shape[1] - side : step]
        places = np.stack([x.ravel(), y.ravel(), x.ravel() + side, y.ravel() + side], 1).astype(float)
        likely = _small(score, photo, places, 12)[:, 1]
        found.append(np.hstack([places, likely[:, np.newaxis]])[likely > 0.85])
    places = np.concatenate(found)
    pictures, titles = [_boxes(photo, places[:, :4])], [f"12c: {len(places)} places above 0.85"]
    for net, side in zip(calibrate, (12, 24)):
        places[:, :4] = _calibrated(places[:, :4], _small(net, photo, places[:, :4], side))
        places = places[boxes.by_score(places[:, 4])]
        places = places[boxes.suppress(places[:, :4], 0.4)]
        pictures.append(_boxes(photo, places[:, :4]))
        titles.append(f"{side}-cal, the best of those that overlap: {len(places)}")
    return tiles(pictures, titles, 3, 5)


def _small(net: caffe.Net, photo: np.ndarray, places: np.ndarray, side: int) -> np.ndarray:
    pieces = [patch(photo, place, side).astype(np.float32) - IMAGENET_MEAN for place in places]
    return run(net, np.stack(pieces).transpose(0, 3, 1, 2))["prob"]


def _calibrated(places: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Boxes moved and scaled by the mean of the patterns that are likely: 5 scales × 3 × 3 moves."""
    scales, moves = np.array([0.83, 0.91, 1.0, 1.10, 1.21]), np.array([-0.17, 0.0, 0.17])
    s, x, y = (v.ravel() for v in np.meshgrid(scales, moves, moves, indexing="ij"))
    weights = np.where(scores > 0.1, scores, 0) + 1e-9
    s, x, y = (weights @ v / weights.sum(1) for v in (s, x, y))
    side = (places[:, 2] - places[:, 0]) / s
    left, top = places[:, 0] - x * side, places[:, 1] - y * side
    return np.stack([left, top, left + side, top + side], 1)


def _boxes(photo: np.ndarray, places: np.ndarray) -> np.ndarray:
    photo = photo.copy()
    for x1, y1, x2, y2 in places.round().astype(int).tolist():
        cv2.rectangle(photo, (x1, y1), (x2, y2), (80, 220, 80), 1)
    return photo


def deepface(at: Assets) -> plt.Figure:
    """A face detector of 48×48 pixels, and one made fully convolutional, whose first channel is of faces.

    The map is high at faces, but not low elsewhere: its colours go from its least to its largest value.
    """
    photo = at.photo("faces.jpg")
    whole, pieces = at.net("deepface_facedetect_baseline_fc"), at.net("deepface_facedetect_baseline")
    small = cv2.resize(photo, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    likely = run(whole, small.transpose(2, 0, 1)[np.newaxis])["prob"][0, 0]
    shown = cv2.resize((likely - likely.min()) / np.ptp(likely), photo.shape[1::-1])
    heat = cv2.applyColorMap((shown * 255).astype(np.uint8), cv2.COLORMAP_JET)
    places = np.array(
        [[80, 10, 170, 100], [285, 80, 375, 170], [160, 250, 250, 340], [0, 150, 90, 240]], float
    )
    cut = [patch(photo, place, 48) for place in places]
    scores = run(pieces, np.stack(cut).transpose(0, 3, 1, 2))["prob"][:, 1]
    titles = [f"map, from {likely.min():.2f} to {likely.max():.2f}", *(f"{s:.2f} a face" for s in scores)]
    return tiles([cv2.addWeighted(photo, 0.5, heat, 0.5, 0), *cut], titles, 5, 3)


def _faces(at: Assets) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Photos with the square around each face in them, and its five landmarks, by MTCNN."""
    cascade = Cascade([Stage(at.models / f"mtcnn_det{i}") for i in (1, 2, 3)])
    found = []
    for name in "faces", "faces2":
        photo = at.photo(f"{name}.jpg")
        places, marks = cascade.find(photo)
        found += [(photo, place, mark) for place, mark in zip(square(places), marks)]
    return found


def landmarks(at: Assets) -> plt.Figure:
    """VanFace's 68 landmarks, VanillaCNN's five, and the second level of deep-landmark, which moves five by little."""
    van, vanilla = at.net("vanface_landmark68"), at.net("vanillacnn")
    second = {name: at.net(f"deeplandmark_2_{name}") for name in LANDMARKS}
    pictures, titles = [], []
    for photo, place, marks in _faces(at):
        view = np.array(
            [*(place[:2] - 0.1 * (place[2] - place[0])), *(place[2:4] + 0.1 * (place[2] - place[0]))]
        )
        for title, points in (
            ("VanFace", _van(van, photo, place)),
            ("VanillaCNN", _vanilla(vanilla, photo, place)),
            ("MTCNN", marks),
            ("deep-landmark from there", _second(second, photo, place, marks)),
        ):
            shown = patch(photo, view, 240)
            for x, y in (points - view[:2]) * 240 / (view[2] - view[0]):
                cv2.circle(shown, (round(x), round(y)), 3, (60, 60, 255), -1, cv2.LINE_AA)
            pictures.append(shown)
            titles.append(title)
    return tiles(pictures, titles, 4, 3)


def _plain(values: np.ndarray) -> np.ndarray:
    """Mean 0, deviation 1."""
    return (values - values.mean()) / max(values.std(), 1e-6)


def _gray(photo: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    gray = cv2.cvtColor(patch(photo, place, side), cv2.COLOR_BGR2GRAY).astype(np.float32)
    return _plain(gray)[np.newaxis, np.newaxis]


def _van(net: caffe.Net, photo: np.ndarray, place: np.ndarray) -> np.ndarray:
    shape = run(net, _gray(photo, place, 60))["Dense3"].reshape(68, 2)
    return place[:2] + shape * (place[2] - place[0])


def _vanilla(net: caffe.Net, photo: np.ndarray, place: np.ndarray) -> np.ndarray:
    data = _plain(patch(photo, place, 40).astype(np.float32)).transpose(2, 0, 1)[np.newaxis]
    return place[:2] + (run(net, data)["Dense2"].reshape(5, 2) + 0.5) * (place[2] - place[0])


def _second(
    nets: dict[str, caffe.Net], photo: np.ndarray, place: np.ndarray, marks: np.ndarray
) -> np.ndarray:
    """Each landmark is where the nets for it say, in a patch around where it was."""
    moved: dict[int, list[np.ndarray]] = {}
    for name, net in nets.items():
        half = (place[2] - place[0]) * (0.16 if name.endswith("1") else 0.18)
        mark = marks[LANDMARKS[name]]
        around = np.array([*(mark - half), *(mark + half)])
        at = run(net, _gray(photo, around, 15))["fc2"].reshape(2)
        moved.setdefault(LANDMARKS[name], []).append(around[:2] + at * 2 * half)
    return np.stack([np.mean(moved[i], axis=0) for i in sorted(moved)])


def digits(at: Assets) -> plt.Figure:
    """Four LeNets of different people look at MNIST's test images."""
    import gzip

    def read(name: str, skip: int) -> np.ndarray:
        return np.frombuffer(gzip.open(at.mnist / name).read(), np.uint8)[skip:]

    images = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:1000]
    labels = read("t10k-labels-idx1-ubyte.gz", 8)[:1000]
    lines = []
    for name in "lenet_v1_everpeace", "lenet_v2_caffe_tensorflow", "mnist_kzkapr":
        out = run(at.net(name), images / 256)
        guesses = next(iter(out.values())).reshape(1000, -1).argmax(1)
        lines.append(f"{name}: {(guesses == labels).mean():.1%} of 1,000 right")
    titles = [str(g) if g == label else f"{g} (is {label})" for g, label in zip(guesses, labels)]
    figure = tiles(list(images[:24, 0]), titles[:24], 8, 1)
    figure.text(0.01, 0.0, "\n".join(lines), fontsize=7)
    return figure


def cifar(at: Assets) -> plt.Figure:
    """CIFAR-10's ten classes, in photos made 32×32; the mean image is replaced by the data set's mean colour."""
    places = {"airplane_1": None, "cat": None, "001763": (0, 60, 330, 330), "fish-bike": None}
    photos = [at.photo(f"{name}.jpg") for name in places]
    small = [cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA) for p in photos]
    data = np.stack(small).transpose(0, 3, 1, 2) - np.array([113.9, 123.0, 125.3]).reshape(3, 1, 1)
    nets = {
        "full": at.net("cifar10_full_v2_yuvval"),
        "quick": at.net("cifar10_quick_v2_ictchase"),
        "quick, HDF5": at.net("cifar10_quick_h5_bxuan", weights="weights.caffemodel.h5"),
    }
    pictures, titles = [], []
    for kind, net in nets.items():
        for image, scores in zip(small, run(net, data)["prob"]):
            pictures.append(image)
            titles.append(f"{kind}\n{shares(scores, CIFAR, 2)}")
    return tiles(pictures, titles, 4)


def impact_scar(at: Assets) -> plt.Figure:
    """Three kinds of surfaces, one image of each; red is the first channel, as in CIFAR-10's files."""
    folder, net = at.models / "impact_scar_cifar10quick", at.net("impact_scar_cifar10quick")
    mean = caffe.io.blobproto_to_array(
        caffe_pb2.BlobProto.FromString((folder / "mean.binaryproto").read_bytes())
    )[0]
    pictures = [cv2.imread(str(folder / f"{i}_0001.jpg")) for i in range(3)]
    data = np.stack([cv2.resize(p[..., ::-1], (32, 32)).transpose(2, 0, 1) - mean for p in pictures])
    scores = run(net, data)["prob"]
    return tiles(pictures, [f"is {i}\n{shares(s, '012')}" for i, s in enumerate(scores)], 3)


def verifycode(at: Assets) -> plt.Figure:
    """Characters of captchas, from the LMDB that its makers published."""
    import tempfile
    from shutil import copyfile

    from caffe.data.sources.database import open_database
    from caffe.formats.datum import parse

    folder = at.models / "verifycode"
    names = [line.partition("-")[2] for line in (folder / "label.txt").read_text().split()]
    with tempfile.TemporaryDirectory() as copy:  # LMDB writes a lock beside the data
        copyfile(folder / "test_lmdb" / "data.mdb", Path(copy) / "data.mdb")
        database = open_database(copy)
        records = [parse(bytes(record)) for _, record in database.items()]
        images, labels = np.stack([r.pixels() for r in records]), [int(r.label) for r in records]
        database.close()
    guesses = run(at.net("verifycode"), images / 256)["prob"].argmax(1)
    titles = [
        names[g] if g == label else f"{names[g]} (is {names[label]})" for g, label in zip(guesses, labels)
    ]
    figure = tiles([i.transpose(1, 2, 0) for i in images[:32]], titles[:32], 8, 1)
    figure.text(0.01, 0.0, f"{np.mean(guesses == np.array(labels)):.1%} of {len(labels)} right", fontsize=8)
    return figure


def pansharpen(at: Assets) -> plt.Figure:
    """Colours of few pixels and a sharp gray image make sharp colours.

    Trained on satellite images of four bands; here a photo, whose fourth band is its green.
    """
    photo = (
        cv2.resize(at.photo("mountains.jpg"), (448, 336), interpolation=cv2.INTER_AREA).astype(np.float32)
        / 255
    )
    bands = np.dstack([photo, photo[..., 1]])
    low = cv2.resize(bands, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    low = cv2.resize(low, bands.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    data = np.dstack([low, bands.mean(2)]).transpose(2, 0, 1)[np.newaxis]
    net = _without_loss(at, "msdcnn_pansharpen", data.shape)
    sharp = run(net, data)["sum3"][0].transpose(1, 2, 0)
    edge = (bands.shape[0] - sharp.shape[0]) // 2
    inner = (slice(edge, -edge), slice(edge, -edge), slice(0, 3))
    pictures = [v[inner] if v.shape == bands.shape else v[..., :3] for v in (low, sharp, bands)]
    errors = [f" (error {np.abs(p - bands[inner]).mean():.4f})" for p in pictures]
    titles = [name + e for name, e in zip(("given", "MSDCNN", "true"), errors)]
    return tiles([p.clip(0, 1) for p in pictures], titles, 3, 4)


def _without_loss(at: Assets, model: str, shape: Sequence[int]) -> caffe.Net:
    """A net as it was trained, over an Input of a shape, without what its labels need.

    The definition comes out of the weights, which hold it too: DCED's are not of the prototxt beside them.
    """
    from caffe.formats import binaryproto

    weights = at.models / model / "weights.caffemodel"
    trained = binaryproto.read_net(weights).layer
    kept = [x for x in trained if x.type not in ("EuclideanLoss", "HDF5Data", "Flatten")]
    for layer in kept:
        layer.ClearField("blobs")
    data = caffe_pb2.LayerParameter(name="data", type="Input", top=["data"])
    data.input_param.shape.add().dim.extend(shape)
    net = caffe.Net(caffe_pb2.NetParameter(layer=[data, *kept]), caffe.TEST)
    net.copy_from(str(weights))
    return net


def dced(at: Assets) -> plt.Figure:
    """Super-resolution of brain MRI, in 3D: here of Shepp and Logan's phantom of a head, blurred in all directions."""
    true = _phantom(16, 96)
    low = cv2.GaussianBlur(true.reshape(len(true), -1), (1, 7), sigmaX=1, sigmaY=1).reshape(true.shape)
    low = np.stack([cv2.GaussianBlur(v, (7, 7), sigmaX=1) for v in low])
    net = _without_loss(at, "dced_jinglongdu", (1, 1, *true.shape))
    made = run(net, low[np.newaxis, np.newaxis])["sum"][0, 0]
    pictures = [v[8] for v in (low, made, true)]
    errors = [np.sqrt(np.mean((v - true) ** 2)) for v in (low, made, true)]
    titles = [f"{name} (error {e:.4f})" for name, e in zip(("given", "DCED", "true"), errors)]
    return tiles(pictures, titles, 3, 4, vmin=0, vmax=1)


def _phantom(depth: int, side: int) -> np.ndarray:
    """Ellipsoids after Shepp and Logan 1974, with Toft's contrasts: slices × rows × columns."""
    z, y, x = np.mgrid[-depth / side : depth / side : depth * 1j, 1 : -1 : side * 1j, -1 : 1 : side * 1j]
    image = np.zeros(x.shape, np.float32)
    for value, a, b, h, x0, y0, turn in (
        (1.0, 0.69, 0.92, 0.81, 0, 0, 0), (-0.8, 0.6624, 0.874, 0.78, 0, -0.0184, 0),
        (-0.2, 0.11, 0.31, 0.22, 0.22, 0, -18), (-0.2, 0.16, 0.41, 0.28, -0.22, 0, 18),
        (0.1, 0.21, 0.25, 0.41, 0, 0.35, 0), (0.1, 0.046, 0.046, 0.05, 0, 0.1, 0),
        (0.1, 0.046, 0.046, 0.05, 0, -0.1, 0), (0.1, 0.046, 0.023, 0.05, -0.08, -0.605, 0),
        (0.1, 0.046, 0.023, 0.05, 0.06, -0.605, 0),
    ):  # fmt: skip
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        u, v = (x - x0) * c + (y - y0) * s, (y - y0) * c - (x - x0) * s
        image[(u / a) ** 2 + (v / b) ** 2 + (z / h) ** 2 <= 1] += value
    return image


def lanes(at: Assets) -> plt.Figure:
    """Where lane lines are, over a drawn road: a segmentation overlay."""
    road = _road()
    data = (road.astype(np.float32) - 127.5) * 0.007843
    net = at.net("tusimple_mobilenet_yolov3_lite")
    found = run(net, cv2.resize(data, (512, 512)).transpose(2, 0, 1)[np.newaxis])
    mask = cv2.resize(found["sigmoid"][0, 0], road.shape[1::-1])
    shown = road.copy()
    shown[mask > 0.5] = shown[mask > 0.5] // 2 + np.array([0, 127, 0], np.uint8)
    return tiles([road, (mask * 255).astype(np.uint8), shown], ["given", "score", "above a half"], 3, 4)


def _road() -> np.ndarray:
    """Asphalt to the horizon under a pale sky, with four lines."""
    rng = np.random.default_rng(5)
    road = np.full((720, 1280, 3), (225, 205, 185), np.uint8)
    cv2.rectangle(road, (0, 300), (1280, 720), (90, 130, 105), -1)
    cv2.fillPoly(road, [np.array([[600, 300], [680, 300], [1500, 720], [-220, 720]])], (95, 95, 95))
    for i, x in enumerate((-150, 370, 910, 1430)):
        for t in np.arange(0.03, 1, 0.1) ** 1.5 if i in (1, 2) else [0.0]:
            end = min(t * 1.35, 1) if t else 1
            xs, ys = [640 + (x - 640) * v for v in (t, end)], [300 + 420 * v for v in (t, end)]
            width = [2 + 14 * v for v in (t, end)]
            corners = [[xs[0] - width[0] / 2, ys[0]], [xs[0] + width[0] / 2, ys[0]],
                       [xs[1] + width[1] / 2, ys[1]], [xs[1] - width[1] / 2, ys[1]]]  # fmt: skip
            cv2.fillPoly(road, [np.array(corners).round().astype(int)], (235, 235, 235), cv2.LINE_AA)
    return (road + rng.normal(0, 5, road.shape)).clip(0, 255).astype(np.uint8)


def filters(at: Assets) -> plt.Figure:
    """Nets whose data nobody published: what their first layers look for."""
    pictures, titles = [], []
    for name in "usb_defect_classification", "gemhunt_coins":
        for kernel in at.net(name).params["conv1"][0].data[:10]:
            image = kernel.transpose(1, 2, 0)
            image = (image - image.min()) / max(image.max() - image.min(), 1e-9)
            pictures.append(image if image.shape[2] == 3 else image[..., 0])
            titles.append(name.split("_")[0])
    return tiles(pictures, titles, 10, 1)


GALLERY: dict[str, Callable[[Assets], plt.Figure]] = {
    f.__name__: f
    for f in (
        squeezenet, cifar, digits, verifycode, impact_scar, mtcnn, mtcnn_congweilin, mtcnn_cholihao, mtcnn_half,
        ultraface, yolo_face, cascade_face, deepface, landmarks, yolo_nano, qr_code, lanes, pansharpen, dced, filters,
    )
}  # fmt: skip


def main() -> None:
    """Draw what is asked for."""
    here = Path(os.environ.get("CAFFE_TEST_ASSETS", "."))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("names", nargs="*", help=", ".join(GALLERY))
    for kind in "models", "photos", "mnist":
        parser.add_argument(f"--{kind}", type=Path, default=here / kind)
    args = parser.parse_args()
    unknown = set(args.names) - set(GALLERY)
    if unknown:
        parser.error(f"names must be among {', '.join(GALLERY)}; got {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or GALLERY:
        started = time.perf_counter()
        figure = GALLERY[name](Assets(args.models, args.photos, args.mnist))
        figure.savefig(args.out / f"{name}.png", dpi=100, bbox_inches="tight")
        plt.close(figure)
        print(f"{args.out / name}.png  {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
