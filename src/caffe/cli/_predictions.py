"""What predict, detect, segment and pose share: flags, photos, tables, pictures, JSON."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from caffe.cli import _images, paths
from caffe.errors import CaffeError, FileAccessError, MissingFileError

if TYPE_CHECKING:
    from caffe.net.net import Net
    from caffe.predict.labels import Labels
    from caffe.predict.preparation import Photo, Preparation

_F = TypeVar("_F", bound=Callable[..., Any])
_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def flags(function: _F) -> _F:
    """Add the flags of commands that predict."""
    options = [
        click.option("--labels", default="", help="The classes' names, a line each, or SSD's label map."),
        click.option(
            "--threshold",
            type=float,
            default=None,
            show_default="0.5; 0.1 of parts",
            help="The least score of a box, or of a body's part.",
        ),
        click.option(
            "--overlap", default=0.3, show_default=True, help="How much boxes of a class may overlap."
        ),
        click.option(
            "--anchors", default="", help="Widths, heights of YOLO's anchors, for nets without output layer."
        ),
        click.option(
            "--side", default="", help="Shortest,longest side that photos are resized to; own: as they are."
        ),
        click.option("--out", default="predictions", show_default=True, help="The pictures' folder; none."),
        click.option("--json/--nojson", "as_json", default=False, help="Print JSON instead of a table."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def photos(paths: Sequence[str]) -> Iterator[tuple[str, Photo]]:
    """Name and pixels (height × width × 3, blue first) of photos; folders stand for the photos in them.

    Raises MissingFileError, CorruptDataError.
    """
    from caffe.data.image_files import read_image

    for given in paths:
        path = Path(given).expanduser()
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in _ENDINGS)
            if not files:
                raise MissingFileError("There are no photos in this folder", file=path)
        for file in files:
            try:
                photo = read_image(str(file), color=True)
            except CaffeError as error:
                raise error.located(file=file) from None
            yield str(file), photo


def preparation(net: Net, given: dict[str, Any], usual: Preparation) -> Preparation:
    """How photos become inputs: as is usual for the kind of net (gray ones have no mean), changed by the flags."""
    from dataclasses import replace

    import numpy as np

    changes: dict[str, Any] = {}
    if given["folder"] is not None:
        return replace(usual, **given["folder"].preparation)
    if any(len(shape := net.blobs[name].shape) == 4 and shape[1] == 1 for name in net.inputs):
        changes["mean"] = (0.0,)
    if given["mean"] is not None:
        mean = _images.read_mean(given["mean"])
        values = np.zeros(1) if mean is None else np.asarray(mean, np.float64)
        changes["mean"] = tuple(
            float(v) for v in (values.mean(axis=(1, 2)) if values.ndim == 3 else values.ravel())
        )
    if given["input_scale"] != 1.0:
        changes["scale"] = given["input_scale"]
    if given["raw_scale"] != 255.0:
        raise click.BadParameter("predictions take pixels of 0 to 255", param_hint="--raw_scale")
    if given["channel_swap"] is not None:
        order = _images.numbers(given["channel_swap"], "--channel_swap")
        if order not in ([0, 1, 2], [2, 1, 0]):
            raise click.BadParameter(
                f"must be 2,1,0 (blue first) or 0,1,2; got '{given['channel_swap']}'",
                param_hint="--channel_swap",
            )
        changes["rgb"] = order == [0, 1, 2]
    if given["side"] and given["side"] != "own":
        sides = _images.numbers(given["side"], "--side")
        if len(sides) not in (1, 2) or min(sides) < 1:
            raise click.BadParameter(
                f"must be one or two lengths; got '{given['side']}'", param_hint="--side"
            )
        changes["short_side"], changes["long_side"] = sides[0], sides[1] if len(sides) == 2 else 0
    return replace(usual, **changes)


def labels(given: dict[str, Any], count: int, first: int = 0, known: Sequence[str] = ()) -> Labels:
    """The classes' names: of --labels, else those ``known``, else of a file beside the model."""
    from caffe.predict.labels import Labels, beside, read

    if known and not given["labels"]:
        return Labels(dict(enumerate(known, first)))

    names = read(given["labels"], first) if given["labels"] else beside(given["model"], count, first)
    if not len(names) and not given["as_json"]:
        click.echo("The classes have no names here: give them with --labels=FILE, a line each.", err=True)
    return names


def anchors(text: str) -> list[tuple[float, float]]:
    """``10,13,16,30`` as pairs."""
    try:
        values = [float(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError:
        values = [0.0]
    if len(values) % 2 or any(v <= 0 for v in values):
        raise click.BadParameter(
            f"must be widths and heights, in pairs; got '{text}'", param_hint="--anchors"
        )
    return list(zip(values[::2], values[1::2]))


def write_picture(folder: str, photo: str, kind: str, picture: Photo) -> Path | None:
    """Write ``photo_kind.png`` into the folder, under a name that is not taken yet. Raises FileAccessError."""
    if not folder or folder == "none":
        return None
    import cv2

    from caffe.formats import atomic

    done, data = cv2.imencode(".png", picture)
    stem = f"{Path(photo).stem}_{kind}"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError(f"The folder cannot be made: {error.strerror}", file=folder) from None
    names = (f"{stem}.png" if i == 1 else f"{stem}_{i}.png" for i in itertools.count(1))
    path = next(path for path in (Path(folder) / name for name in names) if not path.exists())
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(data.tobytes() if done else b"")
    return path


def run(photo_paths: Sequence[str], given: dict[str, Any], wanted: str = "") -> int:
    """Predict for photos and print what was found. ``wanted``: the kind that the net must have. Raises InputError."""
    from caffe.cli import devices
    from caffe.net.net import Net
    from caffe.predict.kinds import Kind, answer_of
    from caffe.proto import caffe_pb2

    photo_paths = _images.take_model(photo_paths, given)
    for path in photo_paths:
        paths.must_exist(path)
    if given["threshold"] is not None and not 0 <= given["threshold"] <= 1:
        raise click.BadParameter(f"must be from 0 to 1; got {given['threshold']}", param_hint="--threshold")
    devices.use(given["gpu"])
    net = Net(given["model"], caffe_pb2.TEST, weights=given["weights"])
    kind = Kind(wanted) if wanted else answer_of(net).kind
    predictions = list(
        {Kind.BOXES: _boxes, Kind.PIXELS: _pixels, Kind.POSE: _people, Kind.CLASSES: _classes}[kind](
            net, photo_paths, given
        )
    )
    if given["as_json"]:
        click.echo(json.dumps(predictions, indent=1))
    return 0


def _boxes(net: Net, paths: Sequence[str], given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from caffe.predict.detection import PREPARATIONS, PhotoDetector
    from caffe.predict.drawing import with_boxes
    from caffe.predict.kinds import Kind, answer_of

    answer = answer_of(net)
    usual = PREPARATIONS.get(answer.form if answer.kind is Kind.BOXES else "rows", PREPARATIONS["rows"])
    detector = PhotoDetector(
        net,
        preparation(net, given, usual),
        0.5 if given["threshold"] is None else given["threshold"],
        given["overlap"],
        anchors(given["anchors"]),
    )
    known = ["face"] if detector.form == "priors" else []
    names = labels(given, _class_count(detector.net, detector.form), first=1, known=known)
    for path, photo in photos(paths):
        boxes = detector.find(photo)
        picture = write_picture(given["out"], path, "boxes", with_boxes(photo, boxes, names))
        yield {
            "image": path,
            "size": [photo.shape[1], photo.shape[0]],
            "found": [
                {"class": one.label, "label": names(one.label), "score": one.score, "box": list(one.box)}
                for one in boxes
            ],
            "picture": picture and str(picture),
        }
        if not given["as_json"]:
            click.echo(
                f"{path}: {len(boxes) or 'nothing'} found" + (f", picture {picture}" if picture else "")
            )
            width = max((len(names(one.label)) for one in boxes), default=0)
            for one in boxes:
                x1, y1, x2, y2 = (round(v) for v in one.box)
                click.echo(f"  {one.score:.3f}  {names(one.label):{width}}  {x1}, {y1} to {x2}, {y2}")


def _class_count(net: Net, form: str) -> int:
    """How many classes a detector has, the background counted; 0 where it does not say."""
    counts = [
        getattr(step.layer.param, field).num_classes + extra
        for step in net.steps
        for field, extra in (("detection_output_param", 0), ("yolov3_detection_output_param", 1))
        if step.layer.param.HasField(field)
    ]
    return int(counts[-1]) if counts else 2 if form == "priors" else 0


def _pixels(net: Net, paths: Sequence[str], given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    import numpy as np

    from caffe.predict.drawing import with_classes
    from caffe.predict.preparation import Preparation
    from caffe.predict.segmentation import Segmenter

    segmenter = Segmenter(net, preparation(net, given, Preparation()), own_size=given["side"] == "own")
    count = net.blobs[net.outputs[-1]].shape[1]
    names = labels(given, count)
    for path, photo in photos(paths):
        classes = segmenter.classes(photo)
        numbers, counts = np.unique(classes, return_counts=True)
        shares = sorted(zip(counts / classes.size, numbers), reverse=True)
        picture = write_picture(given["out"], path, "classes", with_classes(photo, classes, names))
        yield {
            "image": path,
            "size": [photo.shape[1], photo.shape[0]],
            "pixels": [
                {"class": int(n), "label": names(int(n)), "share": float(share)} for share, n in shares
            ],
            "picture": picture and str(picture),
        }
        if not given["as_json"]:
            click.echo(f"{path}: {len(numbers)} classes" + (f", picture {picture}" if picture else ""))
            for share, number in shares[:20]:
                click.echo(f"  {share:6.1%}  {names(int(number))}")


def _people(net: Net, paths: Sequence[str], given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from caffe.predict.drawing import with_people
    from caffe.predict.pose import PREPARATION, PoseEstimator

    threshold = 0.1 if given["threshold"] is None else given["threshold"]
    estimator = PoseEstimator(
        net, preparation(net, given, PREPARATION), threshold, own_size=given["side"] == "own"
    )
    skeleton = estimator.skeleton
    for path, photo in photos(paths):
        people = estimator.find(photo)
        picture = write_picture(given["out"], path, "pose", with_people(photo, people, skeleton))
        yield {
            "image": path,
            "size": [photo.shape[1], photo.shape[0]],
            "skeleton": skeleton.name,
            "people": [
                {
                    "score": person.score,
                    "points": {skeleton.parts[part]: list(point) for part, point in person.points.items()},
                }
                for person in people
            ],
            "picture": picture and str(picture),
        }
        if not given["as_json"]:
            what = {"hand": "hand", "face": "face"}.get(
                skeleton.name, "person" if len(people) == 1 else "people"
            )
            click.echo(f"{path}: {len(people) or 'no'} {what}" + (f", picture {picture}" if picture else ""))
            for person in people:
                parts = len(person.points)
                click.echo(f"  {person.score:.3f}  {parts} of {len(skeleton.parts)} parts")
                for part, (x, y, score) in person.points.items():
                    click.echo(f"    {score:.3f}  {skeleton.parts[part]:15}  {round(x)}, {round(y)}")


def _classes(net: Net, paths: Sequence[str], given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    import numpy as np

    from caffe.predict.kinds import answer_of
    from caffe.predict.preparation import Preparation

    answer = answer_of(net)
    image = next(name for name in net.inputs if len(net.blobs[name].shape) == 4)
    shape = net.blobs[image].shape
    usual = preparation(net, given, Preparation())
    net.blobs[image].reshape(1, *shape[1:])
    names = labels(given, int(np.prod(net.blobs[answer.outputs[0]].shape[1:])))
    for path, photo in photos(paths):
        net.blobs[image].data[...] = usual.apply(photo, shape)
        net.forward()
        scores = np.asarray(net.blobs[answer.outputs[0]].data)[0].ravel()
        best = np.argsort(-scores, kind="stable")[:5].tolist()
        yield {
            "image": path,
            "probabilities": answer.probabilities,
            "classes": [{"class": i, "label": names(i), "score": float(scores[i])} for i in best],
        }
        if not given["as_json"]:
            what = "probabilities" if answer.probabilities else "scores (the net ends without Softmax)"
            click.echo(f"{path}: {what}")
            for i in best:
                click.echo(f"  {scores[i]:.4f}  {names(i)}")
