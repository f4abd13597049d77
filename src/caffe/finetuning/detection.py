"""Fine-tuning an SSD: from a folder of images with annotated boxes to a model folder with a report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from caffe import __version__
from caffe.data.image_files import read_image
from caffe.errors import InputError, NetError, SolverError
from caffe.finetuning import annotated, definition, report
from caffe.finetuning.annotated import Annotated, Scene
from caffe.finetuning.run import Settings, commands
from caffe.formats import model_folder, prototxt
from caffe.formats.prototxt import NetFile
from caffe.net.net import Net
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.passes.forms import with_fillers
from caffe.passes.upgrade import upgrade_net
from caffe.predict.detection import PhotoDetector
from caffe.predict.drawing import with_boxes
from caffe.predict.preparation import Preparation
from caffe.proto import caffe_pb2
from caffe.solvers.detection_eval import Judgements

Layer = caffe_pb2.LayerParameter
_SIDE = 128
_THRESHOLD = 0.5
_SHOWN = 12  # photos in the report
_OVERLAP = 0.5  # of a box with the annotated one, to count as found
_PASSING = ("Flatten", "Permute", "Reshape", "Concat", "Softmax", "Split")
"""Layers between a detector's convolutions and its output."""


class Plan:
    """What was written, and the arguments of the ``caffe train`` that trains by it."""

    def __init__(self, settings: Settings, found: Annotated) -> None:
        self.settings, self.found = settings, found
        self.train: list[Scene] = []
        self.test: list[Scene] = []
        self.mean: tuple[float, ...] = ()
        self.scale = 1.0
        self.tests = 1
        self.arguments: list[str] = []

    @property
    def commands(self) -> list[str]:
        """As they are typed."""
        return commands(self.arguments)


def prepare(settings: Settings, found: Annotated, progress: Callable[[], None]) -> Plan:
    """Write databases, label map, nets and solver into the folder ``out``. Raises NetError, InputError, DataError."""
    if not 0 < settings.test_share < 1:
        raise InputError(
            f"The share of images to test on must be between 0 and 1; got {settings.test_share:g}"
        )
    classes = len(found.classes) + 1
    net = prototxt.read_net(settings.model) if settings.model else NetFile(small_ssd(classes))
    size = definition.input_size(net)
    if size.channels not in (1, 3):
        raise NetError(
            f"takes images of {size.channels} channels; there are gray and colour ones", file=net.file
        )
    if settings.model:
        renew(net, classes)
    definition.set_multipliers(net.param, "", settings.freeze)
    plan = Plan(settings, found)
    colour = size.channels == 3
    plan.mean = settings.mean or ((104.0, 117.0, 123.0) if settings.weights and colour else (127.5,))
    plan.mean = plan.mean * size.channels if len(plan.mean) == 1 else plan.mean
    if len(plan.mean) != size.channels:
        raise InputError(f"The mean must have 1 or {size.channels} values; got {len(plan.mean)}")
    plan.scale = settings.scale or (1.0 if settings.weights else 1 / 127.5)
    out = settings.out
    (out / "snapshots").mkdir(parents=True)
    train, test = annotated.split(found, settings.test_share, settings.seed)
    plan.train = annotated.write(found, train, out / "train_lmdb", progress)
    plan.test = annotated.write(found, test, out / "test_lmdb", progress)
    labels = caffe_pb2.LabelMap()
    for i, name in enumerate(["background", *found.classes]):
        labels.item.add(name="none_of_the_above" if not i else name, label=i, display_name=name)
    prototxt.write(out / "labelmap.prototxt", labels)
    batch = settings.batch_size or max(min(16, len(plan.train) // 2), 1)
    count = len(plan.test)
    test_batch = next(i for i in (8, 7, 6, 5, 4, 3, 2, 1) if count % i == 0)  # each is judged once
    plan.tests = count // test_batch
    sources = [
        _source(out / "train_lmdb", size, batch, plan, train=True),
        _source(out / "test_lmdb", size, test_batch, plan, train=False),
    ]
    prototxt.write(out / "train_val.prototxt", train_form(net, sources[0], sources[1], classes))
    deploy = caffe_pb2.NetParameter()
    deploy.CopyFrom(net.param)
    for layer in deploy.layer:
        layer.ClearField("param")
        for shape in layer.input_param.shape if layer.type == "Input" else ():
            shape.dim[0] = 1
    prototxt.write(out / "deploy.prototxt", deploy)
    epoch = math.ceil(len(plan.train) / batch)
    epochs = settings.epochs or (30 if settings.weights else 40)
    rate = settings.rate or (0.001 if settings.weights else 0.003)
    solver = definition.solver(
        str(out / "train_val.prototxt"),
        str(out / "snapshots" / "net"),
        epoch * epochs,
        epoch * max(epochs // 12, 1),
        plan.tests,
        rate,
        settings.seed,
    )
    solver.eval_type, solver.ap_version, solver.test_initialization = "detection", "MaxIntegral", False
    if not settings.weights:
        solver.type, solver.momentum2, solver.delta = "Adam", 0.999, 1e-8
    prototxt.write(out / "solver.prototxt", solver)
    plan.arguments = settings.train_arguments("detection_eval", settings.patience or 6)
    return plan


def train_form(net: NetFile, train: Layer, test: Layer, classes: int) -> caffe_pb2.NetParameter:
    """The net that is trained: its data, MultiBoxLoss in TRAIN, DetectionOutput and DetectionEvaluate in TEST.

    ``net`` is the net to deploy. Raises NetError where it does not end as SSD's do.
    """
    upgrade_net(net)
    output = _output(net)
    locations, scores, priors = output.bottom
    given = next(top for layer in net.param.layer if layer.type == "Input" for top in layer.top)
    chain = _between(net, scores)
    joined = next((layer for layer in chain if layer.type == "Concat"), None)
    if joined is None:
        raise NetError("must end as SSD's nets do, with a Concat of all maps' scores", file=net.file)
    after = {layer.name for layer in chain[: chain.index(joined)]}  # what makes probabilities of the scores
    found = caffe_pb2.NetParameter(name=net.param.name)
    for phase, source in ((caffe_pb2.TRAIN, train), (caffe_pb2.TEST, test)):
        layer = found.layer.add()
        layer.CopyFrom(source)
        layer.top[:] = [given, "label"]
        layer.include.add().phase = phase
    for layer in net.param.layer:
        if layer.type == "Input":
            continue
        copy = found.layer.add()
        copy.CopyFrom(layer)
        with_fillers(copy)
        if layer.name in after or layer is output:
            del copy.include[:]
            copy.include.add().phase = caffe_pb2.TEST
    loss = found.layer.add(
        name="mbox_loss",
        type="MultiBoxLoss",
        bottom=[locations, joined.top[0], priors, "label"],
        top=["mbox_loss"],
    )
    loss.include.add().phase = caffe_pb2.TRAIN
    loss.propagate_down.extend([True, True, False, False])
    own, given_by = loss.multibox_loss_param, output.detection_output_param
    own.num_classes, own.share_location = classes, given_by.share_location
    own.background_label_id, own.code_type = given_by.background_label_id, given_by.code_type
    loss.loss_param.normalization = caffe_pb2.LossParameter.VALID
    judge = found.layer.add(
        name="detection_eval",
        type="DetectionEvaluate",
        bottom=[output.top[0], "label"],
        top=["detection_eval"],
    )
    judge.include.add().phase = caffe_pb2.TEST
    judge.detection_evaluate_param.num_classes = classes
    judge.detection_evaluate_param.overlap_threshold = _OVERLAP
    judge.detection_evaluate_param.evaluate_difficult_gt = False
    return found


def renew(net: NetFile, classes: int) -> None:
    """Give the layers that tell classes apart other names, and outputs for ``classes`` with the background.

    Raises NetError where the net does not end as SSD's do.
    """
    upgrade_net(net)
    output = _output(net)
    old = output.detection_output_param.num_classes
    chain = _between(net, output.bottom[1])
    learned = [layer for layer in chain if layer.type == "Convolution"]
    if not learned or any(layer.convolution_param.num_output % old for layer in learned):
        raise NetError(
            f"must end as SSD's nets do: convolutions with a score for each of {old} classes, up to DetectionOutput",
            file=net.file,
        )
    for layer in learned:
        p = layer.convolution_param
        p.num_output = p.num_output // old * classes
        layer.name = f"{layer.name}_{classes}_classes"
    for layer in chain:
        if layer.type == "Reshape":
            dims = layer.reshape_param.shape.dim
            dims[:] = [classes if dim == old else dim for dim in dims]
    output.detection_output_param.num_classes = classes


def _output(net: NetFile) -> Layer:
    found = [layer for layer in net.param.layer if layer.type == "DetectionOutput"]
    if len(found) != 1 or len(found[0].bottom) != 3:
        raise NetError(
            f"must have one DetectionOutput of locations, scores and priors, as SSD's nets; it has {len(found)}",
            file=net.file,
            fix="Give an SSD's deploy prototxt, or leave --model out for a small one",
        )
    return found[0]


def _between(net: NetFile, blob: str) -> list[Layer]:
    """The layers that make a blob, back to the nearest convolutions, the last first."""
    found: list[Layer] = []
    wanted = {blob}
    for layer in reversed(net.param.layer):
        if wanted & set(layer.top):
            found.append(layer)
            if layer.type in _PASSING:
                wanted |= set(layer.bottom)
    return found


def _source(path: Path, size: definition.InputSize, batch: int, plan: Plan, train: bool) -> Layer:
    """AnnotatedData over a database; for training with SSD's changes of place, size and light."""
    layer = Layer(name="data", type="AnnotatedData", top=["data", "label"])
    layer.data_param.source, layer.data_param.batch_size = str(path), batch
    layer.data_param.backend = caffe_pb2.DataParameter.LMDB
    t = layer.transform_param
    t.mean_value.extend(plan.mean)
    if size.channels == 1:
        t.force_gray = True
    if plan.scale != 1.0:
        t.scale = plan.scale
    resize = t.resize_param.add(
        prob=1, resize_mode=caffe_pb2.ResizeParameter.WARP, height=size.height, width=size.width
    )
    resize.interp_mode.append(caffe_pb2.ResizeParameter.LINEAR)
    sampler = layer.annotated_data_param.batch_sampler.add(max_sample=1, max_trials=1)
    if not train:
        return layer
    t.mirror = plan.settings.mirror is not False
    t.emit_constraint.emit_type = caffe_pb2.EmitConstraint.CENTER
    t.distort_param.brightness_prob, t.distort_param.brightness_delta = 0.5, 32
    t.distort_param.contrast_prob, t.distort_param.contrast_lower, t.distort_param.contrast_upper = (
        0.5,
        0.5,
        1.5,
    )
    t.distort_param.hue_prob, t.distort_param.hue_delta = 0.5, 18
    t.distort_param.saturation_prob = 0.5
    t.distort_param.saturation_lower, t.distort_param.saturation_upper = 0.5, 1.5
    t.expand_param.prob, t.expand_param.max_expand_ratio = 0.5, 2.0
    for overlap in (0.1, 0.5, 0.9):
        sampler = layer.annotated_data_param.batch_sampler.add(max_sample=1, max_trials=50)
        sampler.sampler.min_scale, sampler.sampler.max_scale = 0.5, 1.0
        sampler.sampler.min_aspect_ratio, sampler.sampler.max_aspect_ratio = 0.5, 2.0
        sampler.sample_constraint.min_jaccard_overlap = overlap
    return layer


def small_ssd(classes: int, side: int = _SIDE) -> caffe_pb2.NetParameter:
    """An SSD that learns from some hundred images without weights to start from: three maps of a few layers."""
    n = NetSpec()
    n.data = L.Input(shape=[1, 3, side, side])

    def block(name: str, bottom: Any, width: int, stride: int = 1) -> Any:
        conv = L.Convolution(
            bottom,
            num_output=width,
            kernel_size=3,
            pad=1,
            stride=stride,
            bias_term=False,
            weight_filler={"type": "msra"},
        )
        n[f"conv{name}"] = conv
        n[f"bn{name}"] = L.BatchNorm(conv, moving_average_fraction=0.95, in_place=True)
        n[f"scale{name}"] = L.Scale(n[f"bn{name}"], bias_term=True, in_place=True)
        n[f"relu{name}"] = L.ReLU(n[f"scale{name}"], in_place=True)
        return n[f"relu{name}"]

    x = block("1", n.data, 16, 2)
    x = block("2", x, 24, 2)
    maps = {}
    for i, width in ((3, 48), (4, 64), (5, 96)):
        x = block(f"{i}_2", block(f"{i}_1", x, width, 2), width)
        maps[i] = x
    heads: dict[str, list[Top]] = {"loc": [], "conf": [], "prior": []}
    sizes = [round(side * share) for share in (0.1, 0.25, 0.5, 0.9)]
    for (i, top), least, most in zip(maps.items(), sizes, sizes[1:]):
        for what, outputs in (("loc", 4), ("conf", classes)):
            n[f"map{i}_{what}"] = L.Convolution(
                top, num_output=4 * outputs, kernel_size=3, pad=1, weight_filler={"type": "xavier"}
            )
            n[f"map{i}_{what}_perm"] = L.Permute(n[f"map{i}_{what}"], order=[0, 2, 3, 1])
            n[f"map{i}_{what}_flat"] = L.Flatten(n[f"map{i}_{what}_perm"])
            heads[what].append(n[f"map{i}_{what}_flat"])
        n[f"map{i}_prior"] = L.PriorBox(
            top, n.data, min_size=least, max_size=most, aspect_ratio=2, variance=[0.1, 0.1, 0.2, 0.2]
        )
        heads["prior"].append(n[f"map{i}_prior"])
    n.mbox_loc = L.Concat(*heads["loc"], axis=1)
    n.mbox_conf = L.Concat(*heads["conf"], axis=1)
    n.mbox_priorbox = L.Concat(*heads["prior"], axis=2)
    n.mbox_conf_reshape = L.Reshape(n.mbox_conf, shape={"dim": [0, -1, classes]})
    n.mbox_conf_softmax = L.Softmax(n.mbox_conf_reshape, axis=2)
    n.mbox_conf_flatten = L.Flatten(n.mbox_conf_softmax)
    n.detection_out = L.DetectionOutput(
        n.mbox_loc,
        n.mbox_conf_flatten,
        n.mbox_priorbox,
        detection_output_param={
            "num_classes": classes,
            "code_type": caffe_pb2.PriorBoxParameter.CENTER_SIZE,
            "confidence_threshold": 0.01,
            "keep_top_k": 100,
            "nms_param": {"nms_threshold": 0.45, "top_k": 200},
        },
    )
    param = n.to_proto()
    param.name = "small_ssd"
    return param


def finish(plan: Plan) -> float:
    """Put the best weights into the model folder, judge them, write model.json and the report with pictures.

    Returns the mean average precision. Raises SolverError where training ended before its first test.
    """
    out, found = plan.settings.out, plan.found
    best = out / "snapshots" / "net_best.caffemodel"
    if not best.exists():
        raise SolverError("Training ended before its first test: there is no snapshot to go on with")
    net = Net(str(out / "deploy.prototxt"), caffe_pb2.TEST, weights=str(best))
    net.save(out / "weights.caffemodel")
    precisions = judge(plan, best)
    mean_precision = sum(precisions) / len(precisions)
    how = Preparation(plan.mean, plan.scale, smooth=False)
    detector = PhotoDetector(net, how, _THRESHOLD)
    pictures, seconds = [], []
    for scene in plan.test[:_SHOWN]:
        photo = read_image(str(found.root / scene.file))
        begin = time.perf_counter()
        things = detector.find(photo)
        seconds.append(time.perf_counter() - begin)
        pictures.append((scene.file, with_boxes(photo, things, lambda label: found.classes[label - 1])))
    facts = {
        "Mean average precision": f"{mean_precision:.3f} ({len(plan.test)} images, boxes that overlap by half)",
        "Learned from": f"{len(plan.train)} images, {len(found.classes)} classes",
        "Net": f"{net.name or plan.settings.model}, input {' × '.join(map(str, net.blobs[net.inputs[0]].shape[1:]))}",
        "Started from": plan.settings.weights or "no weights",
        "Time an image takes": f"{1000 * float(np.median(seconds)):.1f} ms",
    }
    metrics = {
        "mean_average_precision": mean_precision,
        "test_images": len(plan.test),
        "train_images": len(plan.train),
    }
    versions = {"caffe-torch": __version__} | {name: metadata.version(name) for name in ("torch", "numpy")}
    model_folder.ModelFolder(
        out, found.classes, plan.mean, plan.scale, False, (0, 0), metrics, versions
    ).write()
    counts = [
        sum(thing.name == name for scene in plan.test for thing in scene.things) for name in found.classes
    ]
    report.write_detection(
        out / "report.html",
        [(name, precision, count) for name, precision, count in zip(found.classes, precisions, counts)],
        pictures,
        Path(f"{out / 'snapshots' / 'net'}_metrics.jsonl"),
        facts,
        [*plan.commands, *commands([str(out), "photo.jpg"], "detect")],
    )
    return mean_precision


def judge(plan: Plan, weights: Path) -> list[float]:
    """Each class's average precision on the test images; 0 where nothing was found."""
    net = Net(str(plan.settings.out / "train_val.prototxt"), caffe_pb2.TEST, weights=str(weights))
    judged = Judgements()
    for _ in range(plan.tests):
        net.forward()
        judged.add(net.blobs["detection_eval"].data)
    net.close()
    found = judged.precisions("MaxIntegral")
    return [found.get(label) or 0.0 for label in range(1, len(plan.found.classes) + 1)]
