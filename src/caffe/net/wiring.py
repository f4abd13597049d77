"""From layer definitions to wired steps: which blob goes where, and who needs a gradient.

The rules of the original's net construction: blobs by name, in-place tops, made-up tops of losses, parameters that
need a gradient (lr_mult ≠ 0), and the sweep from the end that leaves out what no loss depends on.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from caffe import logs
from caffe.blob import Blob
from caffe.errors import LayerError, NetError, close_names, listed
from caffe.layer import bounds, describe
from caffe.layer_factory import create_layer, is_of_user
from caffe.limits import guarding
from caffe.net.footprint import Footprint
from caffe.net.loss import fill_diff
from caffe.net.sharing import ParamTable
from caffe.net.step import Step
from caffe.proto import caffe_pb2


class Wiring:
    """The steps of a net, its blobs by name, its inputs, outputs and parameters."""

    def __init__(self, param: caffe_pb2.NetParameter, lines: Sequence[int], file: str | None) -> None:
        self.file = file
        self.steps: list[Step] = []
        self.blobs: dict[str, Blob] = {}
        self.inputs: list[str] = []
        self.loss_weights: dict[str, float] = {}
        self.params = ParamTable()
        self._footprint = Footprint()
        self.made: dict[Hashable, Any] = {}
        """Layers that stand for several, and compiled graphs: what one plan has made, the next finds here."""
        self._producer: dict[str, str] = {}
        self._unused: dict[str, None] = {}
        self._blob_needs_backward: dict[int, bool] = {}
        names: set[str] = set()
        try:
            for i, layer_param in enumerate(param.layer):
                line = lines[i] if i < len(lines) else None
                if layer_param.name in names:
                    logs.verbose(f"Two layers are called {layer_param.name}")
                names.add(layer_param.name)
                with guarding(
                    LayerError,
                    file,
                    theirs=is_of_user(layer_param.type),
                    line=line,
                    layer=layer_param.name,
                    type=layer_param.type,
                ):
                    self._append(layer_param, line, param.state.phase)
            with guarding(NetError, file):
                self._leave_out_what_no_loss_needs()
                if param.force_backward:
                    self._force_backward()
                self.params.share()
        except BaseException:
            self.close()
            raise
        for step in self.steps:
            step.layer.needs.backward = step.needs_backward
        self.outputs = sorted(self._unused)

    @property
    def input_blobs(self) -> set[Blob]:
        """What is filled from outside."""
        return {self.blobs[name] for name in self.inputs}

    def close(self) -> None:
        """Close every layer."""
        for step in self.steps:
            step.layer.close()

    def _append(self, param: caffe_pb2.LayerParameter, line: int | None, phase: int) -> None:
        if not param.HasField("phase"):
            param.phase = phase  # type: ignore[assignment]
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise LayerError(
                f"must be given once for each of the {len(param.bottom)} bottoms or not at all;"
                f" got {len(param.propagate_down)}",
                field="propagate_down",
            )
        layer = create_layer(param)
        step = Step(layer, line)
        needs = False
        for i, name in enumerate(param.bottom):
            blob = self._bottom(name)
            step.bottom.append(blob)
            step.bottom_names.append(name)
            wanted = self._blob_needs_backward[id(blob)]
            needs |= wanted
            layer.needs.bottoms.append(param.propagate_down[i] if param.propagate_down else wanted)
        for i, name in enumerate(param.top):
            self._top(step, name, i)
        self._count_blobs(step)
        self.steps.append(step)
        layer.bottom_count, layer.top_count = len(step.bottom), len(step.top)
        layer.others_bytes = self._footprint.parameters
        layer.setup(step.bottom, step.top)
        layer.reshape(step.bottom, step.top)
        self._footprint.add(layer, step.bottom, step.top)
        for name, blob in zip(step.top_names, step.top):
            logs.verbose(f"{layer.name} -> {name} {' '.join(map(str, blob.shape))} ({blob.count})")
        self._set_loss_weights(step)
        for learns in self.params.append(layer):
            layer.needs.params.append(learns)
            needs |= learns
        step.needs_backward = needs
        if needs:
            for blob in step.top:
                self._blob_needs_backward[id(blob)] = True

    def _bottom(self, name: str) -> Blob:
        if name not in self.blobs:
            raise NetError(
                f"No layer before this one produces the blob '{name}'",
                field="bottom",
                fix=close_names(name, self.blobs) or f"Blobs so far: {listed(self.blobs)}",
            )
        self._unused.pop(name, None)
        return self.blobs[name]

    def _top(self, step: Step, name: str, index: int) -> None:
        param = step.layer.param
        if index < len(param.bottom) and param.bottom[index] == name:
            if not step.layer.in_place:
                raise LayerError(f"cannot work in place, but bottom and top are both '{name}'", field="top")
            blob = self.blobs[name]
        elif name in self.blobs:
            raise NetError(
                f"The blob '{name}' is produced twice, first by layer '{self._producer[name]}'",
                field="top",
                fix="Rename one of the tops",
            )
        else:
            blob = Blob(name=name)
            self.blobs[name] = blob
            self._blob_needs_backward[id(blob)] = False
        self._producer[name] = param.name
        self._unused[name] = None
        step.top.append(blob)
        step.top_names.append(name)
        if param.type == "Input":
            self.inputs.append(name)

    def _count_blobs(self, step: Step) -> None:
        layer = step.layer
        least, most = bounds(layer.num_tops)
        if layer.auto_tops:
            while len(step.top) < least:
                blob = Blob(name="(automatic)")
                self._blob_needs_backward[id(blob)] = False
                step.top.append(blob)
                step.top_names.append("(automatic)")
        for kind, count, given in (
            ("bottom", layer.num_bottoms, step.bottom_names),
            ("top", layer.num_tops, step.top_names),
        ):
            least, most = bounds(count)
            if len(given) < least or (most is not None and len(given) > most):
                raise LayerError(
                    f"takes {describe(count)} {kind} blob(s); got {len(given)}: {', '.join(given) or 'none'}",
                    field=kind,
                )
        if layer.equal_counts and len(step.bottom) != len(step.top):
            raise LayerError(
                f"takes as many tops as bottoms; got {len(step.bottom)} bottoms and {len(step.top)} tops",
                field="top",
            )

    def _set_loss_weights(self, step: Step) -> None:
        given = list(step.layer.param.loss_weight)
        if given and len(given) != len(step.top):
            raise LayerError(
                f"must be given once for each of the {len(step.top)} tops or not at all; got {len(given)}",
                field="loss_weight",
            )
        if not given:
            given = [1.0 if step.layer.is_loss and i == 0 else 0.0 for i in range(len(step.top))]
        step.loss_weights = given
        for name, weight, blob in zip(step.top_names, given, step.top):
            self.loss_weights[name] = weight
            if weight:
                fill_diff(blob, weight)

    def _leave_out_what_no_loss_needs(self) -> None:
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for step in reversed(self.steps):
            contributes = any(w or n in under_loss for n, w in zip(step.top_names, step.loss_weights))
            skips = all(name in skipped for name in step.top_names)
            if step.needs_backward and skips:
                step.needs_backward = False
                step.layer.needs.bottoms = [False] * len(step.bottom)
            if not contributes:
                step.needs_backward = False
                step.layer.needs.bottoms = [False] * len(step.bottom)
            for name, wanted in zip(step.bottom_names, step.propagate_down):
                if contributes:
                    under_loss.add(name)
                if not wanted:
                    skipped.add(name)

    def _force_backward(self) -> None:
        for step in self.steps:
            step.needs_backward = True
            needs = step.layer.needs
            needs.bottoms = [
                wanted or i not in step.layer.no_gradient for i, wanted in enumerate(needs.bottoms)
            ]
            needs.params = [True] * len(needs.params)
