"""One harness for all layers: a :class:`Case` says what to build, :func:`check_layer` what must hold.

For every case: top shapes known before forward are the shapes forward gives; bottoms are left as they were;
the same numbers whatever the memory format; backward fills the diffs that were asked for; gradients agree
with finite differences in float64; in place computes what out of place does; an accelerator computes what the
CPU does.
"""

from __future__ import annotations

import importlib.util
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from google.protobuf import text_format

from caffe import runtime
from caffe.blob import Blob
from caffe.layer import Layer
from caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer, as_tuple

Array = npt.NDArray[Any]
Bottom = tuple[int, ...] | Callable[[np.random.Generator], Any]
"""A shape, filled with normal noise, or a function that makes the values."""
CASES_FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """A layer to be tried.

    ``layer`` is the inside of ``layer { }`` without name, bottoms and tops: ``type: "ReLU" relu_param { }``;
    or a function from a temporary folder to it, for layers that read files.
    """

    name: str
    layer: str | Callable[[Path], str]
    bottoms: Sequence[Bottom] = ()
    tops: int = 1
    phase: str = "TRAIN"
    gradcheck: bool = True
    """Whether float64 finite differences can be compared: no for kinks met on purpose and for layers without
    gradient."""
    grad_bottoms: Sequence[int] | None = None
    """Bottoms that gradients are wanted for; those outside the class's ``no_gradient`` where None."""
    in_place: bool = True
    """Whether to compare with in-place operation, where class and shapes allow it."""
    params: dict[int, Bottom] = field(default_factory=dict)
    """Values of parameters, by index; learned ones get noise otherwise: a bias of zeros would hide much."""
    prepare: Callable[[Any], None] | None = None
    """Called with the layer after setup, as a script would (giving a MemoryData its arrays)."""
    random: bool = False
    """Whether outputs are drawn by chance, so that other devices give others."""
    eps: float = 1e-6
    gradient_atol: float = 1e-9
    """How far an entry of the Jacobian may be off beyond 1e-5 of itself."""
    atol: float = 1e-5
    """How far memory formats may differ, of the largest value."""


@dataclass
class Built:
    """A layer that is set up, with its blobs."""

    case: Case
    layer: Layer
    bottoms: list[Blob]
    tops: list[Blob]

    @property
    def known_shapes(self) -> bool:
        """Whether the top shapes depend on shapes only."""
        return isinstance(self.layer, TensorLayer) and type(self.layer).infer is TensorLayer.infer

    def grad_bottoms(self) -> list[int]:
        if self.case.grad_bottoms is not None:
            return list(self.case.grad_bottoms)
        return [
            i for i in range(len(self.bottoms)) if i not in (*self.layer.no_gradient, *self.zero_bottoms())
        ]

    def zero_bottoms(self) -> list[int]:
        """Bottoms whose gradient is 0."""
        return [i for i in getattr(self.layer, "zero_gradient", ()) if i < len(self.bottoms)]

    def grad_params(self) -> list[int]:
        specs = getattr(self.layer, "specs", [])
        return [i for i, spec in enumerate(specs) if spec.learns]

    def tensors(self, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
        """Copies of bottoms and parameters."""
        blobs = [*self.bottoms, *self.layer.blobs]
        return [torch.from_numpy(np.array(b.data)).to(dtype) for b in blobs]


def layer_parameter(
    text: str, bottoms: int = 0, tops: int = 0, phase: str = "TRAIN"
) -> caffe_pb2.LayerParameter:
    """The inside of ``layer { }`` as a message, with bottoms ``b0`` … and tops ``t0`` …."""
    param = caffe_pb2.LayerParameter()
    text_format.Parse(text, param)
    param.name = param.name or "l"
    param.phase = getattr(caffe_pb2, phase)
    if not param.bottom:
        param.bottom.extend(f"b{i}" for i in range(bottoms))
    if not param.top:
        param.top.extend(f"t{i}" for i in range(tops))
    return param


def values(bottom: Bottom, rng: np.random.Generator) -> Array:
    """Concrete float32 values for a bottom."""
    made = bottom(rng) if callable(bottom) else rng.standard_normal(bottom)
    return np.asarray(made, dtype=np.float32)


def make_layer(text: str, *shapes: tuple[int, ...], tops: int = 1, phase: str = "TRAIN") -> Layer:
    """A layer that is set up and shaped for bottoms of these shapes. Raises what the layer raises."""
    layer = create_layer(layer_parameter(text, len(shapes), tops, phase))
    bottoms, top_blobs = [Blob(*s) for s in shapes], [Blob() for _ in range(tops)]
    layer.setup(bottoms, top_blobs)
    layer.needs.bottoms = [i not in layer.no_gradient for i in range(len(bottoms))]
    layer.needs.params = [spec.learns for spec in getattr(layer, "specs", ())]
    layer.reshape(bottoms, top_blobs)
    return layer


def build(case: Case, folder: Path | None = None) -> Built:
    """Set a case's layer up over noise that depends on the case's name only."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    text = case.layer if isinstance(case.layer, str) else case.layer(_needed(folder))
    layer = create_layer(layer_parameter(text, len(case.bottoms), case.tops, case.phase))
    bottoms = []
    for i, bottom in enumerate(case.bottoms):
        array = values(bottom, rng)
        bottoms.append(Blob(*array.shape, name=f"b{i}"))
        bottoms[-1].data[...] = array
    tops = [Blob(name=f"t{i}") for i in range(case.tops)]
    layer.setup(bottoms, tops)
    if case.prepare is not None:
        case.prepare(layer)
    built = Built(case, layer, bottoms, tops)
    asked = [*built.grad_bottoms(), *built.zero_bottoms()]
    layer.needs.bottoms = [i in asked for i in range(len(bottoms))]
    layer.needs.params = [i in built.grad_params() for i in range(len(layer.blobs))]
    for i, blob in enumerate(layer.blobs):
        if i in case.params:
            blob.data[...] = values(case.params[i], rng)
        elif i in built.grad_params():
            blob.data[...] = rng.standard_normal(blob.shape)
    layer.reshape(bottoms, tops)
    return built


def _needed(folder: Path | None) -> Path:
    if folder is None:
        raise ValueError("this case writes files: give check_layer a folder")
    return folder


def check_layer(case: Case, folder: Path | None = None) -> None:
    """Everything that must hold for one case."""
    torch.manual_seed(0)
    built = build(case, folder)
    check_forward_backward(built)
    if isinstance(built.layer, TensorLayer):
        check_memory_format(built)
        if case.gradcheck:
            check_gradients(built)
        check_accelerator(built)
    if case.in_place and isinstance(case.layer, str) and may_be_in_place(built):
        check_in_place(case)


def check_forward_backward(built: Built) -> None:
    """Shapes known before are the shapes after; bottoms stay; diffs arrive where they were asked for."""
    inferred = [top.shape for top in built.tops]
    before = [b.data.copy() for b in built.bottoms]
    built.layer.forward(built.bottoms, built.tops)
    for i, (top, shape) in enumerate(zip(built.tops, inferred)):
        assert top.data.shape == top.shape
        if built.known_shapes:
            assert top.shape == shape, f"top {i}: inferred {shape}, actual {top.shape}"
    for i, (blob, was) in enumerate(zip(built.bottoms, before)):
        assert np.array_equal(blob.data, was, equal_nan=True), f"forward changed bottom {i}"
    wanted = built.grad_bottoms() if getattr(built.layer, "differentiable", False) else []
    if not (wanted or built.grad_params() or built.zero_bottoms()):
        return
    rng = np.random.default_rng(1)
    for top in built.tops:
        top.diff[...] = rng.standard_normal(top.shape)
    down = [*wanted, *built.zero_bottoms()]
    built.layer.backward(built.tops, [i in down for i in range(len(built.bottoms))], built.bottoms)
    for i in built.zero_bottoms():
        assert not built.bottoms[i].diff.any(), f"the diff of bottom {i} is not 0"
    for i in wanted:
        diff = built.bottoms[i].diff
        assert diff.shape == built.bottoms[i].shape
        assert np.isfinite(diff).all(), f"the diff of bottom {i} is not finite"
    for i in built.grad_params():
        assert built.layer.blobs[i].diff.shape == built.layer.blobs[i].shape


def run_compute(built: Built, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """``compute`` with the random numbers always the same."""
    layer = built.layer
    assert isinstance(layer, TensorLayer)
    torch.manual_seed(0)
    return as_tuple(layer.compute(*tensors))


def check_memory_format(built: Built) -> None:
    """NHWC memory gives the numbers of NCHW memory."""
    if built.case.random or not any(len(b.shape) == 4 for b in built.bottoms):
        return
    with torch.no_grad():
        plain = run_compute(built, built.tensors())
        count = len(built.bottoms)
        last = [
            x.contiguous(memory_format=torch.channels_last) if i < count and x.dim() == 4 else x
            for i, x in enumerate(built.tensors())
        ]
        for i, (a, b) in enumerate(zip(plain, run_compute(built, last))):
            assert_close(b.numpy(), a.numpy(), f"top {i} in channels_last", built.case.atol)


def check_gradients(built: Built) -> None:
    """Gradients of bottoms and learned parameters agree with finite differences in float64."""
    tensors = built.tensors(torch.float64)
    count = len(built.bottoms)
    chosen = [*built.grad_bottoms(), *(count + i for i in built.grad_params())]
    chosen = [i for i in chosen if tensors[i].numel()]
    if not chosen:
        return
    assert type(built.layer).differentiable, f"{built.layer.type} has no gradient: say gradcheck=False"  # type: ignore[attr-defined]

    def function(*leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        full = list(tensors)
        for i, leaf in zip(chosen, leaves):
            full[i] = leaf
        tops = [t for t in run_compute(built, full) if t.requires_grad]
        return tuple(tops)

    leaves = [tensors[i].clone().requires_grad_() for i in chosen]
    assert function(*leaves), "no top depends on anything that has a gradient"
    torch.autograd.gradcheck(
        function,
        leaves,
        eps=built.case.eps,
        atol=built.case.gradient_atol,
        rtol=1e-5,
        nondet_tol=1e-12,
        fast_mode=True,
    )


def check_accelerator(built: Built) -> None:
    """An accelerator, where there is one, computes what the CPU does."""
    if built.case.random or not torch.cuda.is_available():
        return
    runtime.device()  # sets how exact products are
    with torch.no_grad():
        host = run_compute(built, built.tensors())
        device = run_compute(built, [x.cuda() for x in built.tensors()])
    for i, (a, b) in enumerate(zip(host, device)):
        assert_close(b.cpu().numpy(), a.cpu().numpy(), f"top {i} on the accelerator", 1e-4)


def may_be_in_place(built: Built) -> bool:
    """Whether class and shapes allow top 0 to be bottom 0."""
    return (
        built.layer.in_place
        and isinstance(built.layer, TensorLayer)
        and len(built.tops) == 1
        and bool(built.bottoms)
        and built.known_shapes
        and built.tops[0].shape == built.bottoms[0].shape
        and not built.layer.is_loss
    )


def check_in_place(case: Case) -> None:
    """A layer whose top 0 is its bottom 0 gives the numbers of one whose top is another blob."""
    results = []
    for in_place in (False, True):
        built = build(case)
        bottoms, wanted = built.bottoms, built.grad_bottoms()
        tops = [bottoms[0]] if in_place else built.tops
        torch.manual_seed(0)
        built.layer.forward(bottoms, tops)
        arrays = [tops[0].data.copy()]
        if isinstance(built.layer, TensorLayer) and built.layer.differentiable:
            tops[0].diff[...] = np.random.default_rng(2).standard_normal(tops[0].shape)
            built.layer.backward(tops, [i in wanted for i in range(len(bottoms))], bottoms)
            arrays += [bottoms[i].diff.copy() for i in wanted]
            arrays += [built.layer.blobs[i].diff.copy() for i in built.grad_params()]
        results.append(arrays)
    for i, (a, b) in enumerate(zip(*results)):
        if runtime.device().type == "cpu":
            assert np.array_equal(a, b, equal_nan=True), f"array {i} differs in place"
        else:  # sums of gradients in whatever order
            assert_close(b, a, f"array {i} in place")


def assert_close(found: Array, expected: Array, what: str, tolerance: float = 1e-5) -> None:
    """Equal shapes, and values equal to ``tolerance`` of the largest expected one."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape} instead of {expected.shape}"
    if not expected.size:
        return
    assert np.array_equal(np.isnan(found), np.isnan(expected)), f"{what}: NaN in other places"
    scale = float(np.nanmax(np.abs(expected))) if not np.isnan(expected).all() else 0.0
    scale = scale if math.isfinite(scale) and scale > 0 else 1.0
    error = float(np.nanmax(np.abs(found.astype(np.float64) - expected), initial=0.0))
    assert error <= tolerance * scale, f"{what}: off by {error:.3g} where the largest value is {scale:.3g}"


def load_cases(modules: Iterable[Path] | None = None) -> list[Case]:
    """The ``CASES`` of every file in ``cases/``."""
    found: list[Case] = []
    for path in sorted(modules if modules is not None else CASES_FOLDER.glob("*.py")):
        if not path.stem.startswith("_"):
            found.extend(_load(path).CASES)
    return found


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"layer_cases_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
