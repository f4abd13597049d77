"""A net of Caffe in another dialect: rewritten, checked against itself, written with the dialect's numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import dialects, logs
from caffe.dialects import meaning
from caffe.dialects.rewriting import rewrite
from caffe.errors import CaffeError, NetError
from caffe.formats import prototxt
from caffe.importing import files
from caffe.importing.check import TOLERANCE, filled, relative_error
from caffe.net.net import Net
from caffe.passes import upgrade_v0, upgrade_v1
from caffe.proto import caffe_pb2

Path_ = str | os.PathLike[str]
Arrays = dict[str, list[npt.NDArray[Any]]]


@dataclass
class Rewritten:
    """A net in another dialect, its parameters' values (none for a net without weights), and how it came about."""

    param: caffe_pb2.NetParameter
    arrays: Arrays
    dialect: dialects.Dialect
    report: list[str]
    errors: dict[str, float] = field(default_factory=dict)
    """Each output's largest difference, over its largest value; empty where nothing was compared."""

    def save(self, out: Path_, *, v1: bool = False, force: bool = False) -> tuple[Path, ...]:
        """Write OUT.prototxt and, with weights, OUT.caffemodel; see :func:`caffe.importing.files.save`."""
        return files.save(out, self.param, self.arrays, self.dialect, v1=v1, force=force)


def convert_net(
    source: Path_,
    weights: Path_ | None = None,
    *,
    dialect: str = "bvlc",
    read: str | None = None,
    runs: int = 3,
) -> Rewritten:
    """Rewrite the net of a prototxt for a dialect, and compare both on ``runs`` random inputs if it has weights.

    ``read`` names the dialect that it is in, over what the file says. Raises NetError for what has no equal form in
    the dialect (with all of it), or where the two nets differ; and what reading and building a net raises.
    """
    target = dialects.load(dialect)
    file = prototxt.read_net(source)
    for step in (upgrade_v0.upgrade, upgrade_v1.upgrade_transformations, upgrade_v1.upgrade):
        step(file)
    given = read or file.dialect
    if given is None or dialects.load(given) is not target:
        meaning.settle(file, read)
    net = _built(source, weights, given)
    arrays = (
        {}
        if net is None or weights is None
        else {n: [b.data.copy() for b in bs] for n, bs in net.params.items()}
    )
    shapes = None if net is None else {name: tuple(blob.shape) for name, blob in net.blobs.items()}
    param, arrays, report = rewrite(file.param, arrays, target, shapes)
    done = Rewritten(param, arrays, target, report)
    after = filled(param, arrays, target.name) if arrays else _built(param, None, target.name)
    shapes = None if after is None else {name: tuple(blob.shape) for name, blob in after.blobs.items()}
    findings = dialects.check(target, param, shapes=shapes)
    if findings:
        more = f"; and {len(findings) - 10} more" if len(findings) > 10 else ""
        raise NetError(
            f"has no form in {target.title} for: " + "; ".join(map(str, findings[:10])) + more, file=source,
            fix="Change these layers, or convert to a dialect that has them (caffe lint --list)",
        )  # fmt: skip
    if net is not None and after is not None and arrays and runs:
        done.errors = _compare(net, after, runs, source)
    return done


def _built(source: Any, weights: Path_ | None, dialect: str | None) -> Net | None:
    """The net in TEST; None, with a warning, where that cannot be, and nothing needs it."""
    try:
        if weights is None:
            return Net(source, caffe_pb2.TEST, dialect=dialect)
        return Net(source, caffe_pb2.TEST, weights=str(weights), dialect=dialect)
    except CaffeError as error:
        if weights is not None:
            raise
        logs.warning(f"What needs the blobs' sizes is not rewritten, as the net cannot be built: {error}")
        return None


def _compare(net: Net, after: Net, runs: int, source: Path_) -> dict[str, float]:
    rng = np.random.default_rng(0)
    outputs = [name for name in after.outputs if name in net.outputs] or list(after.outputs)
    errors: dict[str, float] = dict.fromkeys(outputs, 0.0)
    for run in range(runs):
        for a, b in zip(net.inputs, after.inputs):
            x = rng.normal(0, 1 if run else 30, net.blobs[a].shape)
            net.blobs[a].data[...] = after.blobs[b].data[...] = x
        net.forward()
        after.forward()
        for name in outputs:
            wanted = net.outputs[after.outputs.index(name)] if name not in net.outputs else name
            errors[name] = max(errors[name], relative_error(after.blobs[name].data, net.blobs[wanted].data))
        wrong = {name: error for name, error in errors.items() if not error <= TOLERANCE}
        if wrong:
            raise NetError(_parted(net, after, wrong), file=source)
    return errors


def _parted(net: Net, after: Net, wrong: dict[str, float]) -> str:
    name, error = max(wrong.items(), key=lambda item: item[1])
    text = (
        f"The rewritten net's output '{name}' differs by {error:.2g} of the largest value; at most"
        f" {TOLERANCE:g} is allowed"
    )
    for blob in after.blobs:
        if (
            blob in net.blobs
            and not relative_error(after.blobs[blob].data, net.blobs[blob].data) <= TOLERANCE
        ):
            return f"{text}. The first blob that parts is '{blob}'"
    return text
