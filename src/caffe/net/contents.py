"""What is in a net, and how it is shown: pycaffe's names for layers, blobs and parameters."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from caffe.blob import Blob, BlobVec
from caffe.layer import Layer
from caffe.net.arguments import layer_index
from caffe.net.graph import Graph, graph_of
from caffe.net.sharing import Param
from caffe.net.step import Step
from caffe.net.wiring import Wiring
from caffe.proto import caffe_pb2
from caffe.user_layer import shown


class Contents:
    """The part of a Net that only looks."""

    name: str
    phase: int
    file: str | None
    blobs: OrderedDict[str, Blob]
    inputs: list[str]
    outputs: list[str]
    _steps: list[Step]
    _index: dict[str, int]
    _wiring: Wiring
    _param: caffe_pb2.NetParameter

    @property
    def params(self) -> OrderedDict[str, BlobVec]:
        """Layer name → its parameters, for layers that have any."""
        return OrderedDict((s.name, s.layer.blobs) for s in self._steps if len(s.layer.blobs))

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """Layer name → layer."""
        return OrderedDict((s.name, shown(s.layer)) for s in self._steps)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Layer name → the names of its tops."""
        return OrderedDict((s.name, list(s.top_names)) for s in self._steps)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Layer name → the names of its bottoms."""
        return OrderedDict((s.name, list(s.bottom_names)) for s in self._steps)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Blob name → its weight in the loss (0 for most)."""
        return OrderedDict((n, self._wiring.loss_weights.get(n, 0.0)) for n in self.blobs)

    @property
    def _layer_names(self) -> list[str]:
        return [s.name for s in self._steps]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _inputs(self) -> list[int]:
        names = self._blob_names
        return [names.index(n) for n in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        names = self._blob_names
        return [names.index(n) for n in self.outputs]

    def _bottom_ids(self, layer: int) -> list[int]:
        names = self._blob_names
        return [names.index(n) for n in self._steps[layer].bottom_names]

    def _top_ids(self, layer: int) -> list[int]:
        names = self._blob_names
        return [names.index(n) for n in self._steps[layer].top_names]

    @property
    def steps(self) -> Sequence[Step]:
        """The layers in their places; for tools that walk a net."""
        return self._steps

    @property
    def learnable(self) -> list[Param]:
        """The parameters that a solver updates, shared ones once."""
        return self._wiring.params.learnable

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net's definition as it was wired: upgraded, filtered, with Split layers; no weights."""
        param = caffe_pb2.NetParameter()
        param.CopyFrom(self._param)
        return param

    def graph(self) -> Graph:
        """The net as a graph of pure functions with parameters and state; see :mod:`caffe.net.graph`."""
        return graph_of(self._wiring)

    def __len__(self) -> int:
        """How many layers the net has."""
        return len(self._steps)

    def __bool__(self) -> bool:
        return True  # as ever: `if net:` asks whether there is one

    def __iter__(self) -> Iterator[str]:
        """The names of the layers, in order."""
        return (step.name for step in self._steps)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __getitem__(self, name: str) -> BlobVec:
        """The parameters of the layer of that name; none of one that has none. Raises UnknownNameError."""
        return self._steps[layer_index(name, self._index)].layer.blobs

    def summary(self) -> str:
        """A table of layers with output shapes, parameters, multiply-adds and memory."""
        from caffe.display import net_summary

        return net_summary(self)

    def to_torch(
        self,
        share: bool = False,
        dict_outputs: bool = False,
        losses: bool | None = None,
        outputs: Iterable[str] = (),
    ) -> Any:
        """The net as a torch.nn.Module of its own; see :func:`caffe.export.to_torch`."""
        # what leads out of Caffe stands above the net, which finds it by name
        export = importlib.import_module("caffe.export")
        return export.to_torch(self, share, dict_outputs, losses, outputs)

    def draw(self, filename: str | None = None, rankdir: str = "LR") -> Any:
        """Draw the net's graph, into a file where one is named; see :mod:`caffe.draw`."""
        from caffe import draw

        if filename is None:
            return draw.draw_net(self._param, rankdir)
        draw.draw_net_to_file(self._param, filename, rankdir)
        return None

    def view(self, height: int = 640) -> Any:
        """The net as a page with its graph, shapes, costs and weights; a notebook shows it inline.

        ``height`` is in pixels. The object has ``save(filename)``.
        """
        # found by its name: pages stand on a higher floor
        return importlib.import_module("caffe.web.notebook").view(self, height)

    def _repr_html_(self) -> str:
        from caffe.display import net_html

        return net_html(self)

    def __repr__(self) -> str:
        phase = "TRAIN" if self.phase == caffe_pb2.TRAIN else "TEST"
        return f"<Net '{self.name}' {phase}, {len(self._steps)} layers>"
