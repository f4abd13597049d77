"""Exports are run on random inputs and compared, number for number, with the net they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from caffe.errors import CaffeError
from caffe.export.preprocess import Preprocess
from caffe.export.torch_net import TorchNet
from caffe.net.net import Net
from caffe.tensor_layer import TensorLayer

Arrays = dict[str, npt.NDArray[np.float32]]
Runner = Callable[[Arrays], Mapping[str, npt.NDArray[np.generic]]]
TOLERANCE = 1e-4
"""Of a blob's largest value."""
ROUNDS = 3
ROWS = {"DetectionOutput", "YoloDetectionOutput", "Yolov3DetectionOutput", "FrcnnOutput"}
"""Layers whose rows are in the order of scores, which rounding decides where they are equal."""

UNPOOLING = {"Upsample", "Unpooling"}
"""Layers that put values where a pooling found them: of two that rounding alone tells apart, either may be it."""
OTHERS = 6
"""Inputs that may be replaced by others where this happens, all around that place; as many as ever must agree."""
FEW = 0.02
"""The share of an output's values that may be around such places."""


class ExportError(CaffeError, ValueError):
    """An export that cannot be made, or that does not compute what the net computes."""


@dataclass
class Difference:
    """How far an export is from the net."""

    largest: float
    """The largest difference in an output, over the output's largest value."""
    blob: str
    rounds: int
    """On how many inputs."""
    batches: tuple[int, ...]

    def __str__(self) -> str:
        sizes = " and ".join(map(str, self.batches))
        return f"largest difference {self.largest:.1e} of the largest value, on {self.rounds} inputs of batch {sizes}"


def inputs_for(net: Net, names: list[str], batch: int | None, seed: int) -> Arrays:
    """Random values for inputs, as images are: -60 to 60. ``batch`` replaces the first axis of each."""
    rng = np.random.RandomState(seed)
    arrays = {}
    for name in names:
        shape = net.blobs[name].shape
        if batch is not None and shape:
            shape = (batch, *shape[1:])
        arrays[name] = plausible(name, shape, rng, {n: net.blobs[n].shape for n in names})
    return arrays


def plausible(
    name: str, shape: tuple[int, ...], rng: np.random.RandomState, others: Mapping[str, tuple[int, ...]]
) -> npt.NDArray[np.float32]:
    """Random values for an input: images, or what the name says that it is (regions, image sizes, marks, labels)."""
    image = next((s for n, s in others.items() if len(s) == 4 and s[-1] > 1), (1, 3, 224, 224))
    if "im_info" in name and shape:
        return np.resize(np.array([image[2], image[3], 1.0], np.float32), shape)
    if "rois" in name and len(shape) >= 2 and int(np.prod(shape[1:])) == 5:
        low = rng.uniform(0, 0.5, (shape[0], 2)) * (image[3], image[2])
        size = rng.uniform(0.2, 0.45, (shape[0], 2)) * (image[3], image[2])
        rows = np.concatenate([np.zeros((shape[0], 1)), low, low + size], 1)
        return rows.astype(np.float32).reshape(shape)
    if "cont" in name or "clip" in name:
        return (rng.uniform(0, 1, shape) > 0.3).astype(np.float32)
    if "label" in name or "sent" in name:
        return rng.randint(0, 2, shape).astype(np.float32)
    return (rng.uniform(-1, 1, shape) * 60).astype(np.float32)


class Feeds:
    """Random inputs for a net and for its export, which may begin with preprocessing of images."""

    def __init__(
        self,
        net: Net,
        module: TorchNet,
        preprocess: Preprocess | None = None,
        before: torch.nn.Module | None = None,
    ) -> None:
        self._net, self._names = net, module.input_names
        self._preprocess, self._before = preprocess, before

    def make(self, batch: int | None, seed: int) -> tuple[Arrays, Arrays]:
        """What the net gets, and what the export gets."""
        arrays = inputs_for(self._net, self._names, batch, seed)
        if self._preprocess is None or self._before is None:
            return arrays, arrays
        first = self._names[0]
        images = self._preprocess.example(arrays[first].shape, seed)
        with torch.no_grad():
            prepared = self._before(images).numpy()
        return {**arrays, first: prepared}, {**arrays, first: images.numpy()}


class Given(Feeds):
    """Feeds that are given, in order, as the export gets them; the net gets what ``before`` makes of the first."""

    def __init__(
        self, net: Net, module: TorchNet, feeds: Sequence[Arrays], before: torch.nn.Module | None = None
    ) -> None:
        super().__init__(net, module, before=before)
        self._feeds = feeds

    def make(self, batch: int | None, seed: int) -> tuple[Arrays, Arrays]:
        given = self._feeds[seed % len(self._feeds)]
        if self._before is None:
            return given, given
        first = self._names[0]
        with torch.no_grad():
            prepared = self._before(torch.from_numpy(given[first])).numpy()
        return {**given, first: prepared}, given


def compare(
    net: Net,
    module: TorchNet,
    run: Runner,
    batches: tuple[int | None, ...] = (None,),
    tolerance: float = TOLERANCE,
    feeds: Feeds | None = None,
) -> Difference:
    """Run ``run`` and the net on three inputs, of each of the batch sizes; None is the net's own.

    Raises ExportError where an output differs by more than ``tolerance`` of its largest value.
    """
    feeds = feeds or Feeds(net, module)
    worst, at = 0.0, module.output_names[0]
    sizes: list[int] = []
    unpools = any(p.node.type in UNPOOLING and len(p.node.bottoms) > 1 for p in module.places)
    left = OTHERS if unpools else 0
    seed = 0
    while len(sizes) < ROUNDS:
        batch = batches[len(sizes) % len(batches)]
        arrays, given = feeds.make(batch, seed)
        seed += 1
        expected = forward(net, module, arrays)
        got = {name: np.asarray(value) for name, value in run(given).items()}
        differences = _differences(module, arrays, got, expected, tolerance)
        name, difference = max(differences.items(), key=lambda pair: (pair[1] != pair[1], pair[1]))
        size = next((a.shape[0] for a in arrays.values() if a.shape), 1)
        if not difference <= tolerance:
            if left and _few_differ(got, expected, tolerance):
                left -= 1
                continue
            raise ExportError(
                f"the export's '{name}' differs from the net's by {difference:.1e} of its largest value"
                f" (shape {list(got[name].shape)}, the net's {list(expected[name].shape)};"
                f" batch {size}); at most {tolerance:g} is allowed",
                fix="Please report the prototxt; --no-check writes the file all the same",
            )
        sizes.append(size)
        if difference > worst:
            worst, at = difference, name
    return Difference(worst, at, ROUNDS, tuple(sorted({*sizes})))


def _differences(
    module: TorchNet,
    arrays: Arrays,
    found: Mapping[str, npt.NDArray[np.generic]],
    expected: Arrays,
    tolerance: float,
) -> dict[str, float]:
    """How far each output is off."""
    ties = _ties(module, arrays, tolerance)
    rows = {name for p in module.places if p.node.type in ROWS for name in p.node.tops}
    differences = {}
    for name, value in expected.items():
        other = found[name]
        if name in ties and other.shape == value.shape:
            other = np.where(ties[name], value, other)
        differences[name] = distance(other, value)
        if name in rows and other.shape == value.shape and differences[name] > tolerance:
            differences[name] = row_distance(other, value)
    return differences


def _few_differ(found: Mapping[str, npt.NDArray[np.generic]], expected: Arrays, tolerance: float) -> bool:
    """Whether what differs is around a few places."""
    for name, value in expected.items():
        other = found[name]
        if other.shape != value.shape or not np.isfinite(other).all():
            return False
        if (
            np.mean(np.abs(other.astype(np.float64) - value) > tolerance * np.abs(value).max(initial=0.0))
            > FEW
        ):
            return False
    return True


def row_distance(found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> float:
    """As :func:`distance`, of rows in any order: the farthest that a row is from the nearest of the others."""
    columns = found.shape[-1] if found.shape[-1] > 1 else found.shape[1]
    a, b = (torch.from_numpy(x.reshape(-1, columns).astype(np.float64)) for x in (found, expected))
    scale = float(b.abs().amax()) if b.numel() else 1.0
    worst = 0.0
    for one, other in ((a, b), (b, a)):
        for part in one.split(1024):
            worst = max(worst, float(torch.cdist(part, other, p=torch.inf).amin(1).amax()))
    return worst / (scale or 1.0)


def _ties(module: TorchNet, arrays: Arrays, tolerance: float) -> dict[str, npt.NDArray[np.bool_]]:
    """Where the two best values that an ArgMax chooses from are so near that any rounding decides."""
    chosen = {p.node.tops[0]: p for p in module.places if p.node.type == "ArgMax"}
    names = [name for name in module.output_names if name in chosen]
    if not names:
        return {}
    with torch.no_grad():
        blobs = module.blobs({name: torch.from_numpy(value) for name, value in arrays.items()})
    ties = {}
    for name in names:
        node = chosen[name].node
        x, p = blobs[node.bottoms[0]], node.layer.param.argmax_param
        if p.top_k > 1:
            continue
        axis = p.axis if p.HasField("axis") else 1
        x = x if p.HasField("axis") else x.flatten(1)
        if x.shape[axis] > 1:
            two = x.topk(2, axis).values
            near = two.narrow(axis, 0, 1) - two.narrow(axis, 1, 1) <= tolerance * x.abs().max()
            ties[name] = near.reshape(blobs[name].shape).numpy()
    return ties


def forward(net: Net, module: TorchNet, arrays: Arrays) -> Arrays:
    """The net's own outputs for some inputs, whatever it is fed by; the module's where the net has data layers."""
    if sorted(net.inputs) == sorted(module.input_names):
        before = {name: net.blobs[name].data.copy() for name in arrays}
        carried = {layer: layer.carried for layer in net.layers if isinstance(layer, TensorLayer)}
        try:
            _reshape(net, arrays)
            for layer in carried:
                layer.carried = ()  # an export begins anew with every forward
            blobs = net.forward(module.output_names, None, None, **arrays)
            return {name: np.array(blobs[name]) for name in module.output_names}
        finally:
            for layer, values in carried.items():
                layer.carried = values
            _reshape(net, before)
            for name, value in before.items():
                net.blobs[name].data[...] = value
    return torch_forward(module, arrays)


def _reshape(net: Net, arrays: Arrays) -> None:
    """Give the net's inputs the arrays' shapes."""
    changed = [name for name, value in arrays.items() if net.blobs[name].shape != value.shape]
    for name in changed:
        net.blobs[name].reshape(*arrays[name].shape)
    if changed:
        net.reshape()


def torch_forward(module: TorchNet, arrays: Arrays) -> Arrays:
    """A module's outputs, by name."""
    module.reset()
    with torch.no_grad():
        blobs = module.blobs({name: torch.from_numpy(value) for name, value in arrays.items()})
    module.reset()
    return {name: blobs[name].numpy() for name in module.output_names}


def distance(found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> float:
    """The largest difference over the largest value; infinite for other shapes."""
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    a, b = found.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    gap = np.abs(np.where(same, 0, a - b)).max()
    scale = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    return float(gap / scale) if scale > 0 else float("inf")
