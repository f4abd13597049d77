"""Fine-tuning from a folder of images to a model folder: files written, net trained, judged, reported."""

from __future__ import annotations

import itertools
import math
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from caffe import __version__
from caffe.data.image_files import read_image
from caffe.errors import InputError, SolverError
from caffe.finetuning import definition, images, report
from caffe.finetuning.images import ImageFolder, Lines
from caffe.finetuning.scores import MarkScores, Scores
from caffe.formats import model_folder, prototxt
from caffe.net.net import Net
from caffe.passes.forms import train_form
from caffe.predict.preparation import Preparation
from caffe.proto import caffe_pb2

_SMALL_SIDE = 64
_TEST_BATCH = 32
_KEPT = 2  # snapshots, beside the best


@dataclass
class Settings:
    """What is asked for; numbers of 0 stand for those that fit the data."""

    folder: Path
    out: Path
    model: str = ""
    weights: str = ""
    epochs: int = 0
    batch_size: int = 0
    rate: float = 0.0
    test_share: float = 0.2
    seed: int = 1
    freeze: str = ""
    patience: int = 0
    balance: bool = False
    mirror: bool | None = None
    """None: colour images are mirrored, gray ones (digits, scans) are not."""
    mean: tuple[float, ...] = ()
    scale: float = 0.0
    labels: str = ""
    """A file with the classes' names."""
    root: str = ""
    """Where a list's images are, if not beside it."""
    gpu: str = ""
    more: tuple[str, ...] = ()
    """Further flags of ``caffe train``."""

    def train_arguments(self, judged_by: str, patience: int) -> list[str]:
        """The arguments of the ``caffe train`` that trains by what was written, the best by a test output kept."""
        found = [
            f"--solver={self.out / 'solver.prototxt'}",
            f"--best={judged_by}",
            f"--early_stop={judged_by}",
        ]
        found += [f"--patience={patience}", f"--keep={_KEPT}"]
        found += [f"--weights={self.weights}"] if self.weights else []
        found += [f"--gpu={self.gpu}"] if self.gpu else []
        return [*found, *self.more]


def commands(arguments: list[str], name: str = "train") -> list[str]:
    """A command of caffe as it is typed."""
    return [shlex.join(["caffe", name, *arguments])]


@dataclass
class Plan:
    """What was written, and the arguments of the ``caffe train`` that trains by it."""

    settings: Settings
    images: ImageFolder
    train: Lines
    test: Lines
    preparation: Preparation
    arguments: list[str]

    @property
    def commands(self) -> list[str]:
        """As they are typed."""
        return commands(self.arguments)


def new_folder(wanted: Path) -> Path:
    """A folder that does not exist yet: the one wanted, or with a number behind its name."""
    names = (wanted if i == 1 else wanted.with_name(f"{wanted.name}_{i}") for i in itertools.count(1))
    return next(path for path in names if not path.exists())


def prepare(settings: Settings, progress: Callable[[], None] = lambda: None) -> Plan:
    """Look through the images, and write lists, labels, nets and solver into the folder ``out``.

    Raises what :func:`images.scan` raises, NetError, InputError.
    """
    folder = images.find(settings.folder, settings.labels, settings.root)
    given = prototxt.read_net(settings.model) if settings.model else None
    images.leave_out_damaged(folder, progress)
    net = given or _small(folder)
    size = definition.input_size(net)
    mean = settings.mean or ((104.0, 117.0, 123.0) if size.channels == 3 and settings.weights else (127.5,))
    if len(mean) == 1:
        mean *= size.channels
    if len(mean) != size.channels:
        raise InputError(
            f"The mean must have 1 or {size.channels} values, as the net's channels; got {len(mean)}"
        )
    scale = settings.scale or (1.0 if settings.weights else 1 / 127.5)
    new = definition.renew_last(net, len(folder.classes)) if settings.model else "score"
    definition.set_multipliers(net.param, new, settings.freeze, 10.0 if settings.weights else 1.0)
    train, test = images.split(folder, settings.test_share, settings.seed)
    batch = settings.batch_size or max(min(32, len(train) // 4), 1)
    if batch > len(train):
        raise InputError(f"The batch must be at most the {len(train)} images to learn from; got {batch}")
    out = settings.out
    (out / "snapshots").mkdir(parents=True)
    images.write_list(out / "train.txt", _balanced(train) if settings.balance else train, folder.marks)
    images.write_list(out / "test.txt", test, folder.marks)
    root = f"{folder.root.resolve()}/"
    tests = math.ceil(len(test) / _TEST_BATCH)
    test_batch = math.ceil(len(test) / tests)  # few images, if any, are tested on twice
    mirror = size.channels == 3 if settings.mirror is None else settings.mirror
    layers = [
        definition.data_layer(
            str(out / f"{name}.txt"),
            size,
            batch if name == "train" else test_batch,
            mean,
            scale,
            mirror=mirror and name == "train",
            shuffle=name == "train",
            root=root,
        )
        for name in ("train", "test")
    ]
    if folder.marks:
        for layer in layers:
            layer.image_data_param.label_count = len(folder.classes)
    several = bool(folder.marks)
    prototxt.write(out / "train_val.prototxt", train_form(net, layers[0], layers[1], several=several))
    prototxt.write(out / "deploy.prototxt", _one_image(net.param, "Sigmoid" if several else "Softmax"))
    epoch = math.ceil(len(train) / batch)
    epochs = settings.epochs or (12 if settings.weights else 30)
    rate = settings.rate or (0.001 if settings.weights else 0.02)
    solver = definition.solver(
        str(out / "train_val.prototxt"),
        str(out / "snapshots" / "net"),
        epoch * epochs,
        epoch,
        tests,
        rate,
        settings.seed,
    )
    prototxt.write(out / "solver.prototxt", solver)
    p = layers[1].image_data_param
    preparation = Preparation(mean, scale, resize=(p.new_height, p.new_width), smooth=False)
    arguments = settings.train_arguments(
        "loss" if several else "accuracy", settings.patience or (5 if settings.weights else 10)
    )
    return Plan(settings, folder, train, test, preparation, arguments)


def finish(plan: Plan) -> Scores | MarkScores:
    """Put the best weights into the model folder, judge them on the test images, write model.json and the report.

    Raises SolverError where training ended before its first test.
    """
    out = plan.settings.out
    best = out / "snapshots" / "net_best.caffemodel"
    if not best.exists():
        raise SolverError("Training ended before its first test: there is no snapshot to go on with")
    net = Net(str(out / "deploy.prototxt"), caffe_pb2.TEST, weights=str(best))
    net.save(out / "weights.caffemodel")
    scores, seconds = judge(net, plan)
    how = plan.preparation
    facts = {
        "Accuracy on test images": f"{scores.accuracy:.1%} ({len(plan.test)} images)",
        "Learned from": f"{len(plan.train)} images of {len(plan.images.classes)} classes",
        "Net": f"{net.name or plan.settings.model}, input {' × '.join(map(str, net.blobs[net.inputs[0]].shape[1:]))}",
        "Started from": plan.settings.weights or "no weights",
        "Time an image takes": f"{1000 * seconds:.1f} ms",
    }
    metrics = {"accuracy": scores.accuracy, "test_images": len(plan.test), "train_images": len(plan.train)}
    versions = {"caffe-torch": __version__} | {name: metadata.version(name) for name in ("torch", "numpy")}
    model_folder.ModelFolder(
        out, plan.images.classes, how.mean, how.scale, how.rgb, how.resize, metrics, versions
    ).write()
    report.write(
        out / "report.html",
        scores,
        plan.images.classes,
        plan.images.root,
        Path(f"{out / 'snapshots' / 'net'}_metrics.jsonl"),
        facts,
        [*plan.commands, *commands([str(out), "photo.jpg"], "predict")],
    )
    return scores


def judge(net: Net, plan: Plan) -> tuple[Scores | MarkScores, float]:
    """Probabilities of the test images, and the seconds that the net takes for one."""
    name = net.inputs[0]
    shape = net.blobs[name].shape
    rows, seconds = [], []
    for image, _ in plan.test:
        net.blobs[name].data[...] = plan.preparation.apply(read_image(str(plan.images.root / image)), shape)
        begin = time.perf_counter()
        net.forward()
        seconds.append(time.perf_counter() - begin)
        rows.append(np.array(net.blobs[net.outputs[0]].data, np.float32).ravel())
    probabilities = np.stack(rows)
    names, seconds_each = [image for image, _ in plan.test], float(np.median(seconds))
    if plan.images.marks:
        marks = np.array([plan.images.marks[image] for image in names], np.int64)
        return MarkScores(names, marks, probabilities), seconds_each
    if not any(step.layer.type == "Softmax" for step in net.steps[-1:]):
        exponents = np.exp(probabilities - probabilities.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    labels = np.array([label for _, label in plan.test], np.int64)
    return Scores(names, labels, probabilities), seconds_each


def _small(found: ImageFolder) -> prototxt.NetFile:
    """A small net for images of this kind: gray ones have one channel."""
    sample = [read_image(str(found.root / names[0]), color=None) for names in found.images[:8]]
    gray = all(image.ndim == 2 or image.shape[2] == 1 for image in sample)
    side = min(max(max(max(image.shape[:2]) for image in sample), 16), _SMALL_SIDE)
    return prototxt.NetFile(definition.small_net(len(found.classes), 1 if gray else 3, side))


def _one_image(param: caffe_pb2.NetParameter, ending: str) -> caffe_pb2.NetParameter:
    """The net to deploy, for an image at a time, which ends with a Softmax or Sigmoid."""
    deployed = caffe_pb2.NetParameter()
    deployed.CopyFrom(param)
    for layer in deployed.layer:
        layer.ClearField("param")
        for shape in layer.input_param.shape if layer.type == "Input" else ():
            shape.dim[0] = 1
    last = deployed.layer[-1]
    if last.type in ("Softmax", "Sigmoid"):
        last.type = ending
    else:
        deployed.layer.add(name="prob", type=ending, bottom=[last.top[0]], top=["prob"])
    return deployed


def _balanced(lines: Lines) -> Lines:
    """The lines, those of rarer classes repeated, so that every class comes up about as often."""
    counts = np.bincount([label for _, label in lines])
    return [line for line in lines for _ in range(round(counts.max() / counts[line[1]]))]
