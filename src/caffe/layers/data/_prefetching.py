"""What data layers have in common: a source of batches, read ahead in the background."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch

from caffe import logs, runtime
from caffe.data.image_batches import Share
from caffe.data.prefetch import BatchSource, Prefetcher
from caffe.errors import CaffeError, InputError, StateError
from caffe.layer import Blobs, Layer, Resumable
from caffe.proto import caffe_pb2


class PrefetchingLayer(Layer, Resumable):
    """A layer whose tops are the arrays of a :class:`~caffe.data.prefetch.BatchSource`.

    Nothing is read ahead, and no thread runs, before the first forward.
    """

    num_bottoms = 0
    source = True
    _prefetcher: Prefetcher | None = None
    _held: list[list[torch.Tensor]] | None = None
    _first = 0
    change: Callable[[list[torch.Tensor]], list[torch.Tensor]] | None = None
    """Makes another batch of each; it gets the tops and gives as many of the same shapes, as new tensors."""

    @abstractmethod
    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        """The source, and the shapes of the tops."""

    def depth(self) -> int:
        """How many batches are made ahead: ``data_param.prefetch``."""
        return self.param.data_param.prefetch

    def threads(self) -> int:
        """How many threads make them."""
        return 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        try:
            source, shapes = self.open()
        except CaffeError as error:
            raise error.located(layer=self.name, type=self.type) from error.__cause__
        for blob, shape in zip(top, shapes):
            blob.reshape(*shape)
        logs.verbose(f"output data size: {','.join(map(str, shapes[0]))}")
        self._prefetcher = Prefetcher(source, self.depth(), self.threads())

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        try:
            tensors = self._next()
            if self.change is not None:
                tensors = self.change(tensors)
        except CaffeError as error:
            raise error.located(layer=self.name, type=self.type) from error.__cause__
        for blob, tensor in zip(top, tensors):
            blob.bind(tensor)

    def hold(self, count: int) -> None:
        """Give the next ``count`` batches again and again. Raises InputError."""
        if count < 1:
            raise InputError(f"At least one batch must be held; got {count}", layer=self.name, type=self.type)
        self._held, self._first = [], count

    def _next(self) -> list[torch.Tensor]:
        if self._held is None:
            return self._ready().take()
        self._held.append(self._held.pop(0) if len(self._held) == self._first else self._ready().take())
        return self._held[-1]

    def state(self) -> dict[str, Any]:
        return self._ready().state()

    def restore(self, state: dict[str, Any]) -> None:
        self._ready().restore(state)

    def close(self) -> None:
        """End the threads and close files and databases."""
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None

    @property
    def waited(self) -> float:
        """Seconds that forward waited for data so far."""
        return 0.0 if self._prefetcher is None else self._prefetcher.waited

    @property
    def skipped(self) -> int:
        """How many damaged records were skipped so far (``skip_damaged``)."""
        return 0 if self._prefetcher is None else int(getattr(self._prefetcher.source, "skipped", 0))

    def _ready(self) -> Prefetcher:
        if self._prefetcher is None:
            raise StateError("The layer was closed, or not set up", layer=self.name, type=self.type)
        return self._prefetcher

    def share(self) -> Share:
        """This worker's share of the records; in TEST everyone reads all, as in the original."""
        if self.phase == caffe_pb2.TEST:
            return Share()
        return Share(runtime.solver_count(), runtime.solver_rank())

    def positive(self, value: int, field: str) -> int:
        """``value``, which must be positive."""
        if value <= 0:
            raise self.error(f"must be positive; got {value}", field=field, fix=f"Set {field}")
        return value

    def check_list(
        self, param: caffe_pb2.ImageDataParameter | caffe_pb2.DenseImageDataParameter, field: str, what: str
    ) -> None:
        """A list of ``what`` must be named, and a new size be given whole. Raises LayerError."""
        if not param.source:
            raise self.error(f"must name a list of {what}", field=f"{field}.source")
        if bool(param.new_height) != bool(param.new_width):
            raise self.error(
                f"must be given together with new_width; got {param.new_height} and {param.new_width}",
                field=f"{field}.new_height",
            )


def draw_seed() -> int:
    """A seed for a layer's own random numbers, from the generator that ``random_seed`` starts."""
    return int(runtime.rng().integers(1 << 62))
