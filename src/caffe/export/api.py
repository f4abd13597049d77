"""The functions that write a net in another form."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from caffe.errors import CaffeError, InputError
from caffe.export import check, onnx_file, pt2_file, smaller, source, tensors, triton
from caffe.export.check import Difference
from caffe.export.graph import graph_of
from caffe.export.preprocess import Preprocess
from caffe.export.torch_net import TorchNet
from caffe.formats import prototxt
from caffe.formats.atomic import replacing
from caffe.net.net import Net

PathLike = str | os.PathLike[str]
DYNAMIC = ("batch", "size")


def to_onnx(
    net: Net,
    path: PathLike,
    *,
    opset: int = onnx_file.OPSET,
    dynamic: Sequence[str] = ("batch",),
    keep: Iterable[str] = (),
    losses: bool | None = None,
    preprocess: Preprocess | None = None,
    metadata: dict[str, str] | None = None,
    half: bool = False,
    calibrate: PathLike | None = None,
    photos: Preprocess | None = None,
    check_it: bool = True,
    force: bool = False,
) -> Difference | None:
    """Write an ONNX file; inputs and outputs have their blobs' names. Returns how far it is from the net.

    ``dynamic``: "batch" leaves the number of items free (where the net itself takes any), "size" images' height and
    width. ``keep`` names blobs in the middle to put out too. ``preprocess`` goes into the model, which then takes uint8
    images. ``metadata`` is added to the model's properties. ``half`` stores and computes in half precision;
    ``calibrate``, a folder of photos, in 8-bit integers: prepared as ``preprocess`` or else ``photos`` says, they show
    what ranges values have. ``check_it`` runs the file in ONNX Runtime and compares it
    with the net. Raises ExportError, InputError (also for a path that exists, without ``force``), LayerError,
    MissingPackageError.
    """
    target = free(path, force)
    _check_smaller(half, calibrate, opset)
    module = TorchNet(graph_of(net, losses, keep), exact=True)
    shapes = list(module.graph.inputs.values())
    arrays = check.inputs_for(net, module.input_names, None, 0)
    inputs = [torch.from_numpy(a) for a in arrays.values()]
    before = preprocess.module(shapes[0]) if preprocess is not None else None
    if preprocess is not None:
        inputs[0] = preprocess.example(shapes[0])
    seen: list[check.Arrays] = []
    if calibrate is not None:
        seen = smaller.photos(
            calibrate, shapes[0], preprocess or photos or Preprocess(), before is not None, arrays
        )
    free_axes = tuple(a for a in dynamic_axes(dynamic) if a != "batch" or takes_any_batch(net, module))
    batches: tuple[int | None, ...] = (None, int(inputs[0].shape[0]) + 2) if "batch" in free_axes else (None,)
    with output(target) as temporary:
        onnx_file.write(
            module,
            temporary,
            inputs,
            opset=opset,
            dynamic=free_axes,
            metadata={**describe(net, preprocess), **(metadata or {})},
            before=before,
        )
        tolerance = check.TOLERANCE
        feeds = check.Feeds(net, module, preprocess, before)
        if half:
            smaller.halve(temporary)
            tolerance = smaller.HALF_TOLERANCE
        if calibrate is not None:
            smaller.quantize(temporary, target.name, seen)
            tolerance, batches = smaller.INT8_TOLERANCE, (None,)
            feeds = check.Given(net, module, seen, before)
        if not check_it:
            return None
        return check.compare(net, module, onnx_file.runner(temporary), batches, tolerance, feeds)


def _check_smaller(half: bool, calibrate: PathLike | None, opset: int) -> None:
    if half and calibrate is not None:
        raise InputError("an export is of half precision or of 8-bit integers, not both")
    if calibrate is not None and not os.path.isdir(calibrate):
        raise InputError(f"{calibrate} is no folder of photos to calibrate with")
    if calibrate is not None and opset < smaller.LEAST_OPSET:
        raise InputError(f"8-bit integers need opset {smaller.LEAST_OPSET} or higher; got {opset}")


def to_pt2(
    net: Net,
    path: PathLike,
    *,
    dynamic: Sequence[str] = ("batch",),
    keep: Iterable[str] = (),
    losses: bool | None = None,
    preprocess: Preprocess | None = None,
    check_it: bool = True,
    force: bool = False,
) -> Difference | None:
    """Write torch.export's .pt2 file; ``torch.export.load(path).module()`` runs it, with nothing but torch.

    Arguments, result and errors are those of :func:`to_onnx`; of ``dynamic`` only "batch" counts.
    """
    target = free(path, force)
    module = TorchNet(graph_of(net, losses, keep), exact=True)
    shapes = list(module.graph.inputs.values())
    inputs = [torch.from_numpy(a) for a in check.inputs_for(net, module.input_names, None, 0).values()]
    before = preprocess.module(shapes[0]) if preprocess is not None else None
    if preprocess is not None:
        inputs[0] = preprocess.example(shapes[0])
    any_batch = "batch" in dynamic_axes(dynamic) and takes_any_batch(net, module)
    with output(target) as temporary:
        any_batch = pt2_file.write(
            module, temporary, inputs, dynamic=("batch",) if any_batch else (), before=before
        )
        if not check_it:
            return None
        run = pt2_file.runner(temporary, module.input_names, module.output_names)
        sizes = _batches(net, module) if any_batch else (None,)
        return check.compare(net, module, run, sizes, feeds=check.Feeds(net, module, preprocess, before))


def to_safetensors(net: Net, path: PathLike, *, force: bool = False) -> Difference | None:
    """Write the weights as safetensors, under the names of ``net.to_torch().state_dict()``, and the net's prototxt
    beside them, where there is none of that name. They are read back and compared. Raises InputError,
    MissingPackageError.
    """
    target = free(path, force)
    beside = target.with_suffix(".prototxt")
    module = TorchNet(graph_of(net, losses=False))
    with output(target) as temporary:
        tensors.write(tensors.state_of(module), temporary, describe(net))
        again = TorchNet(graph_of(net, losses=False))
        again.load_state_dict(tensors.read(temporary))
        if not beside.exists():
            prototxt.write(beside, net.to_proto())
        return check.compare(net, again.eval(), lambda arrays: check.torch_forward(again, arrays))


def to_source(
    net: Net,
    path: PathLike,
    *,
    keep: Iterable[str] = (),
    metadata: dict[str, str] | None = None,
    check_it: bool = True,
    force: bool = False,
) -> Difference | None:
    """Write the net as Python source, with nothing but torch in it, and its weights beside it as safetensors.

    Layers that the names bring together, the same several times, become classes. Both files are run and compared with
    the net. Raises ExportError for a layer that has no plain form, InputError (also for a path that exists, without
    ``force``), LayerError, MissingPackageError.
    """
    target = free(path, force)
    weights = free(target.with_suffix(".safetensors"), force)
    module = TorchNet(graph_of(net, losses=False, outputs=keep), exact=True).eval()
    with output(weights) as values, output(target) as text:
        source.write(module, text, values, {**describe(net), **(metadata or {})}, weights.name)
        if not check_it:
            return None
        return check.compare(net, module, source.runner(text, values, module), _batches(net, module))


def _batches(net: Net, module: TorchNet) -> tuple[int | None, ...]:
    """Two sizes to try, where the net takes any."""
    if not takes_any_batch(net, module):
        return (None,)
    return (None, int(next(iter(module.graph.inputs.values()))[0]) + 2)


def takes_any_batch(net: Net, module: TorchNet) -> bool:
    """Whether the net runs with one more item in every input, and puts out as much more."""
    shapes = module.graph.inputs
    first = {shape[0] if shape else None for shape in shapes.values()}
    if len(first) != 1 or None in first:
        return False
    arrays = check.inputs_for(net, module.input_names, int(next(iter(shapes.values()))[0]) + 2, 0)
    with torch.no_grad():
        try:
            module.blobs({name: torch.from_numpy(value) for name, value in arrays.items()})
        except (CaffeError, RuntimeError, ValueError, IndexError):
            return False
    return True


def describe(net: Net, preprocess: Preprocess | None = None) -> dict[str, str]:
    """Properties of an exported model: where it comes from, and what it does to its images."""
    properties = {"net": net.name, "phase": "TRAIN" if net.phase == 0 else "TEST"}
    if net.file and os.path.isfile(net.file):
        properties |= {"prototxt": os.path.basename(net.file), "prototxt_sha256": digest(net.file)}
    if preprocess is not None:
        properties |= {"images": f"uint8 N,H,W,C {preprocess.images}", **preparation(preprocess)}
    return properties


def preparation(how: Preprocess) -> dict[str, str]:
    """The properties that say how images become the net's input."""
    mean = np.ravel(how.mean)
    properties = {
        "channel_order": how.net,
        "scale": f"{how.scale:g}",
        "mean": ",".join(f"{v:g}" for v in mean) if mean.size <= 3 else "an image, in the model",
    }
    return properties | ({"resize": "{}x{}".format(*how.resize)} if how.resize else {})


def digest(path: PathLike) -> str:
    """A file's SHA-256."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def free(path: PathLike, force: bool) -> Path:
    """The path, which must not exist without ``force``. Raises InputError."""
    place = Path(path)
    if place.exists() and not force:
        raise InputError(f"{place} exists", fix="Give another path, or --force (force=True) to replace it")
    if not place.absolute().parent.is_dir():
        raise InputError(f"the folder {place.parent} does not exist", fix="Make it first")
    return place


@contextlib.contextmanager
def output(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its place when all went well."""
    with replacing(path) as temporary:
        yield temporary


def dynamic_axes(words: Sequence[str]) -> tuple[str, ...]:
    """The words, which must be "batch" or "size". Raises InputError."""
    for word in words:
        if word not in DYNAMIC:
            raise InputError(f"dynamic must be of {', '.join(DYNAMIC)}; got '{word}'")
    return tuple(words)


def triton_place(folder: PathLike, net: Net, force: bool = False) -> Path:
    """Where in a Triton model repository a net's ONNX file goes. Raises InputError for a model that exists."""
    return triton.place(folder, net.name, force)


def triton_configure(path: Path, net: Net, dynamic: bool, labels: str = "") -> Path:
    """The config.pbtxt of a file in its place; the server batches where ``dynamic`` and the net's outputs allow it."""
    return triton.configure(path, dynamic and _outputs_follow(net), labels)


def _outputs_follow(net: Net) -> bool:
    """Whether with more items in every input there are as many more in every output."""
    module = TorchNet(graph_of(net, losses=False), exact=True).eval()
    if not takes_any_batch(net, module):
        return False
    count = int(next(iter(module.graph.inputs.values()))[0]) + 2
    arrays = check.inputs_for(net, module.input_names, count, 0)
    outputs = check.torch_forward(module, arrays)
    return all(value.ndim and value.shape[0] == count for value in outputs.values())
