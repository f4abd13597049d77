"""Parameters of a net: owners, sharing by name, learning-rate and decay multipliers."""

from __future__ import annotations

from dataclasses import dataclass, field

from caffe.blob import Blob
from caffe.errors import LayerError, ShapeError
from caffe.layer import Layer
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer


@dataclass
class Param:
    """A learnable parameter: its owner's blob, and how fast it learns and decays."""

    blob: Blob
    layer: str
    index: int
    name: str
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    given: set[str] = field(default_factory=set)
    """Which multipliers the prototxt says."""

    def take(self, multiplier: str, value: float) -> None:
        """Take a multiplier from a layer that shares this parameter. Raises LayerError where they differ."""
        present = getattr(self, multiplier)
        if multiplier in self.given and present != value:
            raise LayerError(
                f"shares parameter '{self.name}' with layer '{self.layer}', whose {multiplier} is {present:g};"
                f" got {value:g}",
                field=multiplier,
            )
        setattr(self, multiplier, value)
        self.given.add(multiplier)


class ParamTable:
    """All parameters in order; ``learnable`` has each shared one once."""

    def __init__(self) -> None:
        self.learnable: list[Param] = []
        self.owners: list[list[Param]] = []
        """For each layer, in order, the parameter that each of its blobs is."""
        self._by_name: dict[str, Param] = {}
        self._shared: list[tuple[Blob, Param]] = []

    def append(self, layer: Layer) -> list[bool]:
        """Take a layer's blobs in; returns which of them learn. Raises LayerError, ShapeError."""
        specs = layer.param.param
        if len(specs) > len(layer.blobs):
            raise LayerError(
                f"has {len(layer.blobs)} parameter(s), but the prototxt specifies {len(specs)}", field="param"
            )
        learns = []
        self.owners.append([])
        for i, blob in enumerate(layer.blobs):
            blob.name = f"{layer.name}[{i}]"
            spec = specs[i] if i < len(specs) else caffe_pb2.ParamSpec()
            frozen = isinstance(layer, TensorLayer) and i < len(layer.specs) and not layer.specs[i].learns
            if frozen and spec.HasField("lr_mult") and spec.lr_mult != 0:
                raise LayerError(
                    f"parameter {i} holds statistics and cannot learn; its lr_mult must be 0, got {spec.lr_mult:g}",
                    field="lr_mult",
                )
            param = self._own_or_share(layer, i, blob, spec, frozen)
            learns.append(param.lr_mult != 0)
            self.owners[-1].append(param)
        return learns

    def _own_or_share(
        self, layer: Layer, index: int, blob: Blob, spec: caffe_pb2.ParamSpec, frozen: bool
    ) -> Param:
        owner = self._by_name.get(spec.name) if spec.name else None
        if owner is None:
            param = Param(
                blob,
                layer.name,
                index,
                spec.name,
                0.0 if frozen else spec.lr_mult,
                0.0 if frozen else spec.decay_mult,
                {f for f in ("lr_mult", "decay_mult") if spec.HasField(f)},
            )
            self.learnable.append(param)
            if spec.name:
                self._by_name[spec.name] = param
            return param
        self._check_shapes(owner, blob, spec, index)
        for multiplier in ("lr_mult", "decay_mult"):
            if spec.HasField(multiplier):
                owner.take(multiplier, getattr(spec, multiplier))
        self._shared.append((blob, owner))
        return owner

    @staticmethod
    def _check_shapes(owner: Param, blob: Blob, spec: caffe_pb2.ParamSpec, index: int) -> None:
        if spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE:
            fits = owner.blob.count == blob.count
            rule = "the same count (share_mode PERMISSIVE)"
        else:
            fits = owner.blob.shape == blob.shape
            rule = "the same shape"
        if not fits:
            raise ShapeError(
                f"parameter {index}, shared as '{spec.name}' with layer '{owner.layer}', must have {rule}:"
                f" {list(owner.blob.shape)} there, {list(blob.shape)} here",
                field="param",
                fix="Give it another name, or share_mode: PERMISSIVE where the counts are equal",
            )

    def share(self) -> None:
        """Let sharing blobs use their owners' values and gradients."""
        for blob, owner in self._shared:
            if blob.shape == owner.blob.shape:
                blob.share_data(owner.blob)
                blob.share_diff(owner.blob)
            else:
                blob.share_reshaped(owner.blob)
