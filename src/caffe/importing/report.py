"""What a conversion tells about itself: size, work, rewriting, errors, ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe.errors import InputError, MissingFileError
from caffe.importing.conversion import Conversion
from caffe.net.net import Net

Array = npt.NDArray[Any]
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".tif", ".tiff", ".webp")


def multiply_adds(net: Net) -> int:
    """Multiplications with parameters in one forward of the net as it is shaped."""
    total = 0
    for step in net.steps:
        layer = step.layer
        if not len(layer.blobs):
            continue
        weights = layer.blobs[0].shape
        name = layer.name
        if layer.type in ("Convolution", "InnerProduct", "DepthwiseConvolution"):
            top = net.blobs[net.top_names[name][0]]
            total += top.count * math.prod(weights[1:])
        elif layer.type == "Deconvolution":
            bottom = net.blobs[net.bottom_names[name][0]]
            total += bottom.count * math.prod(weights[1:])
    return total


def summary(done: Conversion) -> dict[str, Any]:
    """The report as plain values, to be shown or written as JSON."""
    types: dict[str, int] = {}
    for layer in done.param.layer:
        types[layer.type] = types.get(layer.type, 0) + 1
    checked = done.checked
    return {
        "name": done.param.name,
        "dialect": done.dialect,
        "inputs": {n: list(done.net.blobs[n].shape) for n in done.net.inputs},
        "outputs": {b: list(done.net.blobs[b].shape) for b in done.outputs.values()},
        "layers": len(done.param.layer),
        "types": dict(sorted(types.items(), key=lambda t: (-t[1], t[0]))),
        "parameters": sum(a.size for arrays in done.blobs.values() for a in arrays),
        "multiply_adds": multiply_adds(done.net),
        "folded": done.folded,
        "notes": done.notes,
        "errors": {} if checked is None else checked.errors,
        "batches": [] if checked is None else checked.batches,
        "check": "not checked" if checked is None else checked.note,
        "layer_errors": done.errors,
    }


def lines(found: dict[str, Any]) -> Iterable[str]:
    """The report as text."""
    yield f"{found['name']}: {found['layers']} layers in dialect {found['dialect']}"
    for kind in ("inputs", "outputs"):
        yield f"  {kind}: " + ", ".join(f"{n} {'×'.join(map(str, s))}" for n, s in found[kind].items())
    yield "  types: " + ", ".join(f"{k} {n}" for k, n in found["types"].items())
    yield f"  parameters: {found['parameters']:,}; multiply-adds: {found['multiply_adds']:,}"
    if found["folded"]:
        yield f"  folded into the layers before: {len(found['folded'])} BatchNorm and Scale layers"
    for note in found["notes"]:
        yield f"  rewritten: {note}"
    if found["errors"]:
        worst = max(found["errors"].values())
        batches = " and ".join(map(str, found["batches"]))
        yield f"  checked against the model: {worst:.1e} of the largest value at most; batch {batches}"
    if found["check"]:
        yield f"  {found['check']}"
    if found["layer_errors"]:
        name, error = max(found["layer_errors"].items(), key=lambda t: t[1])
        yield f"  largest error of a blob: {error:.1e} ({name})"


def layers_table(done: Conversion) -> Iterable[str]:
    """Each layer with its error against the model's own value, where the model has one, over its largest value."""
    width = max((len(layer.name) for layer in done.param.layer), default=5)
    yield f"{'layer':{width}}  {'type':14}  {'error':>8}"
    for layer in done.param.layer:
        error = done.errors.get(layer.name)
        yield f"{layer.name:{width}}  {layer.type:14}  {'' if error is None else f'{error:.1e}':>8}".rstrip()


@dataclass
class Range:
    """What a layer's top held over the calibration images."""

    layer: str
    blob: str
    low: float
    high: float
    mean: float
    p999: float
    """99.9 % of the values are not larger than this, signs aside."""

    @property
    def scale(self) -> float:
        """What one step of a symmetrical int8 is worth."""
        return max(abs(self.low), abs(self.high)) / 127


def images_of(folder: str) -> list[Path]:
    """The images of a folder, sorted. Raises MissingFileError, InputError."""
    if not Path(folder).is_dir():
        raise MissingFileError("There is no such folder", file=folder)
    images = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in _IMAGES)
    if not images:
        raise InputError("It holds no images", file=folder, fix=f"Images end in {', '.join(_IMAGES)}")
    return images


@dataclass
class Photos:
    """Images of a folder as inputs: (values of 0 to 255 - mean) · scale, channels BGR unless ``rgb``."""

    paths: Sequence[Path]
    mean: Sequence[float] = ()
    scale: Sequence[float] = ()
    rgb: bool = False
    _next: int = 0

    def image(self, path: Path, shape: tuple[int, ...]) -> Array:
        """One of them (C × H × W) as an input of this shape (N × C × H × W) takes it. Raises InputError."""
        from caffe import io
        from caffe.resize import resize_image

        _, channels, height, width = _image_shape(shape)
        image = resize_image(io.load_image(str(path), color=channels == 3), (height, width)) * 255
        if channels == 3 and not self.rgb:
            image = image[:, :, ::-1]
        values = (image - np.asarray(self.mean or [0.0])) * np.asarray(self.scale or [1.0])
        return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)

    def __call__(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The next images as a batch of this shape; after the last comes the first. Raises InputError."""
        batch = []
        for _ in range(_image_shape(shape)[0]):
            batch.append(self.image(self.paths[self._next % len(self.paths)], shape))
            self._next += 1
        return torch.from_numpy(np.stack(batch))


def _image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, where it is one of images. Raises InputError."""
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise InputError(f"Images are inputs of N × 1 × H × W or N × 3 × H × W; the net's is {list(shape)}")
    return shape


def ranges(net: Net, photos: Photos) -> list[Range]:
    """The range of every layer's tops over images, each value before a layer in place changes it as well."""
    name = net.inputs[0]
    shape = tuple(net.blobs[name].shape)
    if len(net.inputs) != 1:
        raise InputError(f"Ranges are taken over images; the net's inputs are {list(net.inputs)}")
    steps = list(net.steps)
    measured: dict[tuple[str, str], list[Array]] = {}

    for path in photos.paths:
        net.blobs[name].data[...] = photos.image(path, shape)
        for i, step in enumerate(steps):
            net.forward_loss(i, i)
            for blob in net.top_names[step.layer.name]:
                values = np.asarray(net.blobs[blob].data)
                low, high, average = float(values.min()), float(values.max()), float(values.mean())
                p999 = float(np.quantile(np.abs(values), 0.999))
                measured.setdefault((step.layer.name, blob), []).append(np.array([low, high, average, p999]))
    result = []
    for (layer, blob), rows in measured.items():
        table = np.stack(rows)
        result.append(
            Range(layer, blob, table[:, 0].min(), table[:, 1].max(), table[:, 2].mean(), table[:, 3].max())
        )
    return result


def ranges_json(found: Sequence[Range]) -> list[dict[str, Any]]:
    """The ranges as plain values, with int8's scale."""
    return [
        {k: (v if isinstance(v, str) else float(v)) for k, v in {**asdict(r), "int8_scale": r.scale}.items()}
        for r in found
    ]


def ranges_table(found: Sequence[Range]) -> Iterable[str]:
    """The ranges as text."""
    width = max((len(r.layer) for r in found), default=5)
    yield f"{'layer':{width}}  {'least':>12}  {'largest':>12}  {'mean':>12}  {'99.9 %':>12}  {'int8 step':>12}"
    for r in found:
        yield (
            f"{r.layer:{width}}  {r.low:12.5g}  {r.high:12.5g}  {r.mean:12.5g}  {r.p999:12.5g}  {r.scale:12.5g}"
        )
