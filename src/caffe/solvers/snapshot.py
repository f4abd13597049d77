"""Snapshots: a .caffemodel and a .solverstate as the original's, and a file of ours that makes resuming exact.

Three files for iteration N: ``<prefix>_iter_N.caffemodel`` (the parameters), ``<prefix>_iter_N.trainstate`` (JSON:
the policy, and for each worker random generators, data cursors, loss window) and, last,
``<prefix>_iter_N.solverstate`` (history). Each is written beside its place and renamed, so that a complete
.solverstate means a complete snapshot.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe import logs, runtime
from caffe.errors import CaffeError, MissingFileError, SnapshotError
from caffe.formats import binaryproto, files, hdf5
from caffe.formats.atomic import replacing
from caffe.layer import Resumable
from caffe.limits import check_output, guarding
from caffe.net.net import Net
from caffe.net.weights import is_hdf5
from caffe.precision import LossScale
from caffe.proto import caffe_pb2
from caffe.solvers.training import Training

_LARGEST_EXTRA = 1 << 30
"""Bytes: its largest parts are random generators' states, some kB for each worker."""

State = dict[str, Any]
"""Numbers, strings, lists and dicts, for JSON."""


def write(solver: Training, workers: list[State | None]) -> tuple[Path, Path]:
    """Write the three files; returns the model's and the state's path. Raises SnapshotError.

    ``workers`` is each worker's :func:`worker_state`, None where it is not known.
    """
    hdf = solver.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
    base = f"{solver.param.snapshot_prefix}_iter_{solver.iter}"
    with guarding(SnapshotError, field="snapshot_prefix"):
        check_output(base)
    ending = ".h5" if hdf else ""
    model, state = Path(f"{base}.caffemodel{ending}"), Path(f"{base}.solverstate{ending}")
    kind = "HDF5" if hdf else "binary proto"
    try:
        logs.info(f"Snapshotting to {kind} file {model}")
        if hdf:
            solver.net.save_hdf5(model, solver.param.snapshot_diff)
        else:
            solver.net.save(model, solver.param.snapshot_diff)
        history = [memory.on(torch.device("cpu")).numpy() for memory in solver.update.history]
        with replacing(_extra_path(state)) as temporary:
            extra = {**_extra(solver, workers), "history": _sum_of(history)}
            temporary.write_text(json.dumps(extra, default=float))
        logs.info(f"Snapshotting solver state to {kind} file {state}")
        codec = hdf5 if hdf else binaryproto
        codec.write_solver_state(state, solver.iter, str(model), solver.policy.current_step, history)
    except OSError as error:
        raise SnapshotError(
            f"The snapshot of iteration {solver.iter} could not be written: {error}",
            file=base,
            fix="Make room or change permissions; training can go on from the last complete snapshot",
        ) from error
    return model, state


def restore(solver: Training, path: str | os.PathLike[str]) -> None:
    """Continue from a state file. Raises MissingFileError, SnapshotError, WeightsError."""
    with guarding(SnapshotError, path):
        _restore(solver, Path(path))


def _restore(solver: Training, path: Path) -> None:
    if not path.exists():
        raise MissingFileError(
            "There is no such solver state", file=path, fix="Give a .solverstate file, or --resume=auto"
        )
    if path.name.endswith((".caffemodel", ".caffemodel.h5")):
        raise SnapshotError(
            "This is a file of weights; a snapshot to resume from is a .solverstate",
            file=path,
            fix=f"Resume from {path.name.replace('.caffemodel', '.solverstate')}, or start from these weights"
            f" with --weights={path}",
        )
    codec = hdf5 if is_hdf5(path) else binaryproto
    state = codec.read_solver_state(path)
    update = solver.update
    if len(state.history) != len(update.history):
        raise SnapshotError(
            f"The state has {len(state.history)} history blobs, but a {solver.type} solver of this net needs"
            f" {len(update.history)}",
            file=path,
            fix="Resume with the solver type and the net that wrote it",
        )
    for i, (array, memory) in enumerate(zip(state.history, update.history)):
        if array.size != int(np.prod(memory.shape)):
            owner = update.params[i % len(update.params)]
            raise SnapshotError(
                f"History blob {i} must have shape {list(memory.shape)}, that of parameter {owner.index};"
                f" got {list(array.shape)}",
                file=path,
                layer=owner.layer,
                fix="Resume with the net that wrote it",
            )
    if state.learned_net:
        solver.net.copy_from(_find_model(state.learned_net, path))
    for array, memory in zip(state.history, update.history):
        memory.write(torch.from_numpy(np.array(array, dtype=np.float32)).reshape(memory.shape))
    solver.iter = state.iter
    solver.policy.current_step = state.current_step
    extra = read_extra(path)
    if extra is not None and extra.get("history", wanted := _sum_of(state.history)) != wanted:
        logs.warning(
            f"{_extra_path(path)} belongs to another solver state of this name, and is passed over: data starts from"
            " the beginning"
        )
    elif extra is not None:
        apply_extra(solver, extra, path)
    for test_net in solver.test_nets:
        test_net.share_with(solver.net)


def _sum_of(history: Iterable[Any]) -> int:
    """A number by which the files of one snapshot know each other."""
    checksum = 0
    for array in history:
        checksum = zlib.crc32(
            np.ascontiguousarray(array, np.float32).data.cast("B") if array.size else b"", checksum
        )
    return checksum


def _find_model(recorded: str, state: Path) -> Path:
    """The weights' file: where it was written, else beside the state."""
    for path in (Path(recorded), state.parent / Path(recorded).name):
        if path.exists():
            return path
    raise MissingFileError(
        f"The weights '{recorded}' that this state belongs to are not there",
        file=state,
        fix=f"Put {Path(recorded).name} beside it",
    )


def _extra_path(state: Path) -> Path:
    return state.with_name(re.sub(r"\.solverstate(\.h5)?$", "", state.name) + ".trainstate")


def worker_state(solver: Training) -> State:
    """What resuming this worker exactly takes, beside parameters and history; losses may be on the device."""
    losses, smoothed, start = solver.loss_window
    device = runtime.device()
    return {
        "losses": losses,
        "smoothed": smoothed,
        "window_start": start,
        "numpy_rng": runtime.rng().bit_generator.state,
        "torch_rng": _encode(torch.get_rng_state()),
        "cuda_rng": _encode(torch.cuda.get_rng_state(device)) if device.type == "cuda" else "",
        "cursors": [_cursors(net) for net in (solver.net, *solver.test_nets)],
    }


def _extra(solver: Training, workers: list[State | None]) -> State:
    scale = solver.update.loss_scale
    return {
        "version": 1,
        "iter": solver.iter,
        "policy": {
            "minimum_loss": solver.policy.minimum_loss,
            "last_improved": solver.policy.last_improved,
        },
        "loss_scale": [scale.value, scale.good] if scale is not None else None,
        "solver_count": runtime.solver_count(),
        "workers": workers,
    }


def read_extra(path: str | os.PathLike[str]) -> State | None:
    """What a snapshot holds for exact resuming, or None where it holds nothing. Raises SnapshotError."""
    extra = _extra_path(Path(path))
    if not extra.exists():
        return None
    try:
        state = json.loads(files.read_bytes(extra, _LARGEST_EXTRA, kind=SnapshotError))
    except (ValueError, RecursionError, OSError) as error:
        raise _unusable(extra, error) from None
    if not isinstance(state, dict):
        raise _unusable(extra, TypeError(f"it must hold an object; got {type(state).__name__}"))
    return state


def apply_extra(solver: Training, extra: State, path: str | os.PathLike[str]) -> None:
    """Bring this worker to where it was. Raises SnapshotError.

    With another number of workers than then, or where this worker's own state is not known (it was lost), the
    data goes on behind what all of them have read, and random generators start anew.
    """
    try:
        if extra["iter"] != solver.iter:
            raise ValueError(f"it is of iteration {extra['iter']}, the solver state of {solver.iter}")
        solver.policy.minimum_loss = extra["policy"]["minimum_loss"]
        solver.policy.last_improved = extra["policy"]["last_improved"]
        scale = extra.get("loss_scale")  # older files have none
        solver.update.loss_scale = LossScale(float(scale[0]), int(scale[1])) if scale is not None else None
        workers = extra["workers"]
        known = next((w for w in workers if w is not None), None)
        own = None
        if extra["solver_count"] != runtime.solver_count():
            logs.warning(
                f"{path} was written by {extra['solver_count']} workers, now there are"
                f" {runtime.solver_count()}: data goes on where they were, random numbers start anew"
            )
        elif runtime.solver_rank() < len(workers):
            own = workers[runtime.solver_rank()]
        state = own or known
        if state is not None:
            _restore_worker(solver, state, exact=own is not None)
    except Exception as error:
        raise _unusable(_extra_path(Path(path)), error) from error


def _restore_worker(solver: Training, state: State, *, exact: bool) -> None:
    losses: list[torch.Tensor | float] = [float(loss) for loss in _listed(state["losses"], "losses")]
    solver.loss_window = (losses, float(state["smoothed"]), int(state["window_start"]))
    for net, cursors in zip((solver.net, *solver.test_nets), state["cursors"]):
        for layer in net.layers:
            if isinstance(layer, Resumable) and layer.name in cursors:
                layer.restore(cursors[layer.name])
    if not exact:
        return
    runtime.rng().bit_generator.state = state["numpy_rng"]
    torch.set_rng_state(_decode(state["torch_rng"]))
    device = runtime.device()
    if state["cuda_rng"] and device.type == "cuda":
        torch.cuda.set_rng_state(_decode(state["cuda_rng"]), device)


def _listed(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list; got {type(value).__name__}")
    return value


def _unusable(path: Path, error: Exception) -> SnapshotError:
    return SnapshotError(
        f"The file that makes resuming exact cannot be used: {error!r}",
        file=path,
        fix="Delete it to resume as the original does: data from the beginning, a fresh loss window",
    )


def _cursors(net: Net) -> dict[str, Any]:
    return {layer.name: layer.state() for layer in net.layers if isinstance(layer, Resumable)}


def _encode(tensor: torch.Tensor) -> str:
    return base64.b64encode(tensor.cpu().numpy().tobytes()).decode()


def _decode(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def newest(prefix: str) -> Path | None:
    """The newest complete snapshot's state file under a snapshot_prefix, or None; broken ones are passed over."""
    folder = Path(prefix).parent
    pattern = re.compile(re.escape(Path(prefix).name) + r"_iter_(\d+)\.solverstate(\.h5)?$")
    states = []
    if folder.is_dir():
        for path in folder.iterdir():
            match = pattern.match(path.name)
            if match:
                states.append((int(match[1]), path))
    for _, path in sorted(states, reverse=True):
        try:
            _check_complete(path)
            return path
        except (CaffeError, OSError, ValueError) as error:
            logs.warning(f"Passing over the snapshot {path}: {error}")
    return None


def _check_complete(path: Path) -> None:
    """Raise when a state or its weights cannot be read."""
    hdf = is_hdf5(path)
    state = (hdf5 if hdf else binaryproto).read_solver_state(path)
    if state.learned_net:
        model = _find_model(state.learned_net, path)
        if is_hdf5(model):
            hdf5.read_weights(model)
        else:
            binaryproto.read_weights(model)
