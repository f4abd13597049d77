"""Nets of the zoo without their data: what a data layer would give becomes an input of a likely shape."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch

import caffe
from caffe import fillers, layer_factory
from caffe.errors import CaffeError
from caffe.formats import prototxt
from caffe.net import build
from caffe.passes.filter import included
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

DATA = {
    *(
        "Data",
        "AnnotatedData",
        "ImageData",
        "HDF5Data",
        "MemoryData",
        "WindowData",
        "DenseImageData",
        "VideoData",
    ),
    *(
        "ImageSegData",
        "WindowSegData",
        "ImageLabelmapData",
        "SegData",
        "DetectionData",
        "EvalData",
        "BoxData",
    ),
    *("BinaryData", "CPMData", "LaneData", "DataHeatmap", "CustomData"),
}
DENSE = re.compile(r'"(Deconvolution|Interp|Upsample|Crop|SegAccuracy|DenseImageData)"|DECONVOLUTION')
SOLVER = re.compile(r"^\s*(base_lr|max_iter|test_iter|lr_policy|train_net|net|solver_mode)\s*:", re.M)
USUAL = {
    "autoencoder": (1, 28, 28),
    "siamese": (2, 28, 28),
    "mnist": (1, 28, 28),
    "digit": (1, 28, 28),
    "cifar": (3, 32, 32),
    "segnet": (3, 360, 480),
    "ocr": (3, 32, 280),
    "facealignment": (3, 39, 39),
    "vdsr": (1, 41, 41),
}
"""Channels, height and width by a word in the path, where a data layer says nothing."""
TRIES = 8
NET = re.compile(r"^\s*(layers?|input|input_dim|input_shape)\s*[:{]", re.M)


@dataclass
class Outcome:
    """What became of one file."""

    file: str
    kind: str  # net, solver or other
    parses: bool
    builds: bool
    reason: str = ""
    stand_ins: bool = False
    """Whether it builds only with stand-ins for Python layers whose code is not in the zoo."""
    refused: list[str] = field(default_factory=list)
    """Gradients that the net asks for and a layer refuses."""


class ZooStandIn(TensorLayer):
    """In place of a Python layer whose code is not there: each top is a region or has the first bottom's shape."""

    num_bottoms = (0, None)
    num_tops = (0, None)
    in_place = False

    def compute(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        p = self.param.python_param
        guesses: dict[str, list[int]] = json.loads(p.param_str)
        shapes = [
            guesses.get(top) or ([1, 5] if "rois" in top else bottoms[0].shape) for top in self.param.top
        ]
        return tuple(bottoms[0].new_zeros(tuple(shape)) for shape in shapes)


def files(zoo: Path) -> Iterator[Path]:
    """Every file of the zoo."""
    yield from (p for p in sorted(zoo.rglob("*")) if p.is_file())


@contextmanager
def only_shapes() -> Iterator[None]:
    """Parameters are left unfilled, and the Python layers' stand-in is known."""
    with (
        fillers.deferred(),
        mock.patch.dict(layer_factory._registered, {"ZooStandIn": ZooStandIn}),
    ):
        yield


def try_files(paths: Sequence[Path], zoo: Path) -> list[Outcome]:
    """What becomes of some files; an exception that is none of ours counts as a crash."""
    torch.set_num_threads(1)
    outcomes = []
    with only_shapes(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            try:
                outcomes.append(try_file(path, zoo))
            except Exception as error:
                name = path.relative_to(zoo).as_posix()
                outcomes.append(Outcome(name, "net", True, False, f"CRASH {error!r}"))
    return outcomes


def try_file(path: Path, zoo: Path) -> Outcome:
    """Parse one file, and build it where it is a net."""
    name = path.relative_to(zoo).as_posix()
    text = path.read_bytes().decode("latin-1")
    bare = re.sub(r"#[^\n]*", "", text)
    kind = "solver" if SOLVER.search(bare) else "net" if NET.search(bare) else "other"
    if kind == "other":  # label maps, descriptions of processors, empty files
        return Outcome(name, kind, True, True)
    try:
        if kind == "solver":
            prototxt.read_solver(path)
            return Outcome(name, kind, True, True)
        found = prototxt.read_net(path)
    except CaffeError as error:
        return Outcome(name, kind, False, False, str(error))
    reasons: list[str] = []
    refused: list[str] = []
    own = [
        layer.python_param.module for layer in found.param.layer if layer.type == "Python" and layer.bottom
    ]
    stand_ins = not all(_importable(module) for module in own)
    for phase in (caffe.TEST,) if "input" in text and "phase" not in text else (caffe.TRAIN, caffe.TEST):
        reason = _build(found, phase, bool(DENSE.search(text)), refused)
        if not reason:
            return Outcome(name, kind, True, True, stand_ins=stand_ins, refused=refused)
        reasons.append(reason)
    return Outcome(name, kind, True, False, max(reasons, key=_line))


def _line(reason: str) -> int:
    found = re.search(r":(\d+):", reason)
    return int(found.group(1)) if found else 0


def _refused(net: caffe.Net) -> list[str]:
    return [
        f"layer '{step.name}' ({step.layer.type}): bottom {i}"
        for step in net.steps
        if step.needs_backward
        for i in step.layer.no_gradient
        if i < len(step.bottom) and step.propagate_down[i]
    ]


def _build(definition: prototxt.NetFile, phase: int, dense: bool, refused: list[str]) -> str:
    """Build a net for a phase with its data replaced; returns why it does not, or nothing.

    ``refused`` is added to by the gradients that its layers would refuse.

    Where shapes had to be guessed, others are tried too; the reason is then of the guess that got furthest.
    """
    reasons: list[str] = []
    for label_map, size in ((dense, 0), (not dense, 0), (dense, 256)):
        guesses: dict[str, list[int]] = {}
        for _ in range(TRIES):
            param = caffe_pb2.NetParameter()
            param.CopyFrom(definition.param)
            found = prototxt.NetFile(param, lines=list(definition.lines), file=definition.file)
            try:
                found = build.read(found)
                data = _replace_data(found, phase, label_map, size, guesses)
                net = caffe.Net(found, phase)
                refused.extend(_refused(net))
                net.close()
                return ""
            except CaffeError as error:
                reasons.append(str(error))
                if isinstance(error, caffe.errors.UnknownLayerError):
                    return str(error)
                if not _learn(found, error, data, guesses):
                    break
        if not data:
            break
    return max(reasons, key=_line)


def _replace_data(
    found: prototxt.NetFile, phase: int, label_map: bool, size: int, guesses: dict[str, list[int]]
) -> dict[str, list[int]]:
    """Make data layers Input layers; returns the shapes of their tops. Files that layers would read are left out."""
    state = caffe_pb2.NetState(phase=phase)
    shapes: dict[str, list[int]] = {}
    for layer in found.param.layer:
        if layer.HasField("detection_output_param"):
            layer.detection_output_param.ClearField("save_output_param")
        if layer.HasField("detection_evaluate_param"):
            layer.detection_evaluate_param.ClearField("name_size_file")
        if not included(layer, state):
            continue
        python = False
        if layer.type == "Python" and not _importable(layer.python_param.module):
            layer.type = "ZooStandIn" if layer.bottom else "Data"
            layer.python_param.param_str = json.dumps(guesses)
            python = not layer.bottom
            shapes.update({top: [] for top in layer.top if layer.bottom})
        if layer.type not in DATA:
            continue
        made = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top)
        for i, top in enumerate(layer.top):
            shapes[top] = guesses.get(top) or _shape(layer, i, label_map, size, found.file or "")
            if python and len(shapes[top]) == 1:  # R-CNN's Python layers give four axes
                shapes[top] = [*shapes[top], 1, 1, 1]
            made.input_param.shape.add().dim.extend(shapes[top])
        made.include.extend(layer.include)
        made.exclude.extend(layer.exclude)
        layer.CopyFrom(made)
    return shapes


def _learn(
    found: prototxt.NetFile, error: CaffeError, data: dict[str, list[int]], guesses: dict[str, list[int]]
) -> bool:
    """Take the shape of a data layer's top from what a layer says it should have; returns whether there was one."""
    frames = re.search(r"as many values as the bottom, (\d+) .*with (\d+)$", error.message)
    if frames and int(frames.group(2)) % max(int(frames.group(1)), 1) == 0:
        times = int(frames.group(2)) // int(frames.group(1))
        guesses.update({top: [shape[0] * times, *shape[1:]] for top, shape in data.items() if shape})
        return bool(data)
    marks = re.search(r"must be \d+×\d+, a mark for each .*got shape \[(\d+), (\d+)\]", error.message)
    steps = [int(n) for n in marks.groups()] if marks else []
    if marks and "data" in data and data["data"][::3] != steps[::-1]:  # images whose columns are the steps
        guesses["data"] = [steps[1], *data["data"][1:3], steps[0]]
        return True
    layer = next((layer for layer in found.param.layer if layer.name == error.layer), None)
    stated = [
        [int(n) for n in text.split(",") if n.strip()] for text in re.findall(r"\[([\d, ]*)\]", error.message)
    ]
    if layer is None or not stated:
        return False
    changed = False
    if layer.type == "Slice" and layer.bottom[0].split("_")[0] in data:
        top = layer.bottom[0].split("_")[0]
        points = layer.slice_param.slice_point
        wanted = [data[top][0], points[-1] + 1 if points else len(layer.top), *data[top][2:]]
        changed, guesses[top] = guesses.get(top) != wanted, wanted
    for name in layer.bottom[1:]:
        bottom = next(
            (top for top in data if name == top or (name.startswith(top + "_") and "_split_" in name)), None
        )
        if bottom is None:
            continue
        wanted = list(stated[0])
        if "labels must be the number of scores" in error.message:
            axis = layer.softmax_param.axis if layer.type.startswith("Softmax") else 1
            wanted = wanted[:axis] + wanted[axis + 1 :]
        elif layer.type == "WarpCTCLoss":
            wanted = [3, 4]
        elif layer.type.startswith("DetectionGroup"):
            wanted[1] = 6
        elif layer.type == "MaskPooling":
            wanted[1] = 1
        if data[bottom] != wanted and guesses.get(bottom) != wanted:
            guesses[bottom], changed = wanted, True
    return changed


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except Exception:
        return module.startswith("rpn.") or module in ("eltwise", "pad", "shape", "yolov2")  # ours stand in
    return True


def _shape(layer: caffe_pb2.LayerParameter, index: int, label_map: bool, size: int, file: str) -> list[int]:
    """A likely shape of a data layer's top."""
    p, name = layer.transform_param, layer.top[index]
    memory, image, dense = layer.memory_data_param, layer.image_data_param, layer.dense_image_data_param
    batch = min(max(layer.data_param.batch_size, memory.batch_size, layer.hdf5_data_param.batch_size, 1), 4)
    square = p.crop_size or layer.data_param.crop_size or layer.window_data_param.crop_size
    resized = p.resize_param[0] if p.resize_param else caffe_pb2.ResizeParameter()
    usual = next(
        (size for word, size in USUAL.items() if word in file.lower()), (3, size or 224, size or 224)
    )
    height = p.crop_h or p.crop_height or square or resized.height or memory.height or image.new_height
    width = p.crop_w or p.crop_width or square or resized.width or memory.width or image.new_width
    height, width = height or dense.new_height or usual[1], width or dense.new_width or usual[2]
    detection = layer.detection_data_param
    if name == "im_info":
        return [1, 3]
    if "rois" in name:
        return [batch, 5]
    if "gt_boxes" in name:
        return [2, 8 if detection.stride else 5]
    if layer.type == "DetectionData" and index:
        stride = int(detection.stride[min(index, len(detection.stride)) - 1])
        return [1, 6, -(-detection.short_size // stride), -(-detection.long_size // stride)]
    if detection.short_size or layer.eval_data_param.short_size:
        sides = detection if detection.short_size else layer.eval_data_param
        return [1, 3, sides.short_size, sides.long_size] if index == 0 else [1, 2]
    if (
        layer.type == "CPMData"
    ):  # the image and where its person is; weights and maps of parts, and the background's
        cpm = layer.cpm_transform_param
        height, width = cpm.crop_size_y, cpm.crop_size_x
        if index:
            return [batch, 2 * (cpm.num_parts + 1), height // cpm.stride, width // cpm.stride]
        return [batch, 4, height, width]
    video = layer.video_data_param
    if index == 0 and video.source:
        channels = video.num_segments * video.new_length * (2 if video.modality == video.FLOW else 3)
        return [batch, channels, height, width]
    if index == 0 and "label" not in name:
        return [batch, memory.channels or len(p.mean_value) or usual[0], height, width]
    if layer.type == "AnnotatedData":
        return [1, 1, 8, 8]
    return [batch, 1, height, width] if label_map else [batch]
