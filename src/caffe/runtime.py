"""The one state of the process: mode and device, random seed, solver rank and count.

torch is only imported once a device is asked for, so that the conversion tools start without it.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from caffe import systems
from caffe.errors import CaffeWarning, DeviceError, InputError
from caffe.proto.assign import whole

if TYPE_CHECKING:
    import torch

CPU, GPU = 0, 1


class _State:
    mode: int = CPU
    device_id: int = 0
    epoch: int = 0  # counts changes of mode or device, so that live nets notice
    seed: int | None = None
    generator: np.random.Generator | None = None
    torch_seeded: bool = True
    solver_count: int = 1
    solver_rank: int = 0
    multiprocess: bool = False
    warned: bool = False
    device: torch.device | None = None  # of the present epoch
    compiles: bool = False
    amp: str = ""
    tf32: bool = False
    dialect: str = ""


_state = _State()


@cache
def fit_threads() -> None:
    """No more threads of torch than there are processors for this process; a user's OMP_NUM_THREADS wins.

    torch counts the machine's processors. In a container that may use a few of many, its threads would wait for each
    other in every layer.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), systems.processors()))


def set_mode_cpu() -> None:
    """Compute on the CPU from now on; live nets move with their next call."""
    _switch(CPU, _state.device_id)


def set_mode_gpu() -> None:
    """Compute on the accelerator from now on (the CPU, with one warning, where there is none)."""
    _switch(GPU, _state.device_id)


def set_device(device_id: int) -> None:
    """Choose the accelerator for GPU mode. Raises InputError for a negative or non-integer id."""
    number = whole(device_id)
    if number is None or number < 0:
        raise InputError(f"The device of set_device must be an integer from 0; got {device_id!r}")
    _switch(_state.mode, number)


def _switch(mode: int, device_id: int) -> None:
    if (mode, device_id) != (_state.mode, _state.device_id):
        _state.mode, _state.device_id, _state.device = mode, device_id, None
        _state.epoch += 1


def mode() -> int:
    """0 for CPU, 1 for GPU, as in ``SolverParameter.solver_mode``."""
    return _state.mode


def epoch() -> int:
    """A number that changes whenever mode or device do."""
    return _state.epoch


def accelerators() -> list[str]:
    """The names of torch devices that exist here, best first, without the CPU."""
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        return ["mps"]
    return []


def device() -> torch.device:
    """The torch device that mode and ``set_device`` name.

    Raises DeviceError when there are accelerators, but none with that number.
    """
    if _state.device is None:
        _state.device = _find_device()
    return _state.device


def _find_device() -> torch.device:
    import torch

    _seed_torch()
    if _state.mode == CPU:
        return torch.device("cpu")
    devices = accelerators()
    if not devices:
        if not _state.warned:
            _state.warned = True
            warnings.warn(
                "GPU mode was asked for, but torch finds no accelerator here: computing on the CPU",
                CaffeWarning,
                stacklevel=_users_level(),
            )
        return torch.device("cpu")
    if _state.device_id >= len(devices):
        raise DeviceError(
            f"Device {_state.device_id} must be one of the {len(devices)} found: {', '.join(devices)}",
            fix=f"Use set_device(0) to set_device({len(devices) - 1})",
        )
    # Shapes seldom change from one forward to the next: it pays to try cuDNN's algorithms once.
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    _round_products(_state.tf32)
    return torch.device(devices[_state.device_id])


def _users_level() -> int:
    """How many frames the first line outside this package is above the caller, for ``warnings.warn``."""
    package = os.path.dirname(__file__) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        level, frame = level + 1, frame.f_back
    return level


def set_random_seed(seed: int) -> None:
    """Seed fillers, data shuffling and cropping, and Dropout."""
    number = whole(seed)
    if number is None:
        raise InputError(f"The seed must be an integer; got {seed!r}")
    _state.seed = number
    _state.generator = np.random.default_rng(number & 0xFFFFFFFFFFFFFFFF)
    _state.torch_seeded = False
    if "torch" in sys.modules:
        _seed_torch()


def _seed_torch() -> None:
    if not _state.torch_seeded and _state.seed is not None:
        import torch

        _state.torch_seeded = True
        torch.manual_seed(_state.seed & 0xFFFFFFFFFFFFFFFF)


def seed() -> int | None:
    """The seed last set, or None."""
    return _state.seed


def rng() -> np.random.Generator:
    """The generator of fillers and data; its state is part of a full snapshot."""
    if _state.generator is None:
        _state.generator = np.random.default_rng(int.from_bytes(os.urandom(8), "little"))
    return _state.generator


def solver_count() -> int:
    """How many workers train together."""
    return _state.solver_count


def set_solver_count(count: int) -> None:
    """Say how many workers train together; data layers read every count-th record."""
    if count < 1:
        raise InputError(f"The solver count must be at least 1; got {count}")
    _state.solver_count = int(count)


def solver_rank() -> int:
    """Which worker this process is; 0 is the root, which logs, tests and snapshots."""
    return _state.solver_rank


def set_solver_rank(rank: int) -> None:
    """Say which worker this process is."""
    if rank < 0:
        raise InputError(f"The solver rank must be at least 0; got {rank}")
    _state.solver_rank = int(rank)


def root_solver() -> bool:
    """Whether this process is the one that logs, tests and snapshots."""
    return _state.solver_rank == 0


def multiprocess() -> bool:
    """Whether workers are processes (not threads), as ``set_multiprocess`` said."""
    return _state.multiprocess


def set_multiprocess(value: bool) -> None:
    """Say that workers are processes; kept for scripts, ours always are."""
    _state.multiprocess = bool(value)


def set_compile(on: bool = True) -> None:
    """Compile the nets of the TEST phase from their next forward on; see :meth:`caffe.Net.compile`."""
    _state.compiles = bool(on)


def compiles() -> bool:
    """Whether nets of the TEST phase are compiled."""
    return _state.compiles


def set_dialect(name: str | None) -> None:
    """Read nets that do not say their own in this dialect (``--dialect``); see :mod:`caffe.dialects.meaning`."""
    _state.dialect = name or ""


def dialect() -> str:
    """The dialect's name that ``set_dialect`` gave, or nothing."""
    return _state.dialect


AMP = ("", "tf32", "bf16", "fp16")


def set_amp(precision: str | None) -> None:
    """Compute in ``"bf16"`` or ``"fp16"`` where it is safe, with parameters and losses in float32; None: do not.

    ``"tf32"`` keeps float32 and lets the matrix units of NVIDIA's GPUs round the factors of products to 10 bits
    (an error of some 1e-3 instead of 1e-6); elsewhere it changes nothing. Raises InputError for another name.
    """
    name = precision or ""
    if name not in AMP:
        raise InputError(
            f"The precision of set_amp must be 'tf32', 'bf16', 'fp16' or None; got {precision!r}"
        )
    _state.amp = "" if name == "tf32" else name
    if _state.tf32 != (name == "tf32"):
        _state.tf32 = name == "tf32"
        if _state.device is not None and _state.device.type == "cuda":
            _round_products(_state.tf32)


def _round_products(yes: bool) -> None:
    """Whether CUDA's libraries may use TF32. torch lets cuDNN do so; the original's figures are of full float32."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = yes


def amp() -> str:
    """``"bf16"``, ``"fp16"``, or ``""`` for float32 everywhere."""
    return _state.amp
