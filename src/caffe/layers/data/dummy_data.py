"""DummyData."""

from __future__ import annotations

from collections.abc import Sequence

from caffe import fillers, runtime
from caffe.blob import Blob, Shape
from caffe.errors import CaffeError
from caffe.layer import Layer
from caffe.proto import caffe_pb2


class DummyData(Layer):
    """Data made by fillers: constants once, all others anew at each forward.

    bottom: none. top: any number of blobs, of the ``shape`` given once for all or once for each (formerly
    ``num``, ``channels``, ``height``, ``width``), filled by the ``data_filler`` given once for all or once
    for each (0 without).
    Differs from Caffe: other random numbers. Source: BVLC ``DummyData``.
    """

    num_bottoms = 0
    num_tops = (1, None)
    source = True
    reads = {"dummy_data_param": "*"}

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob, shape in zip(top, self._shapes()):
            blob.reshape(*shape)
        self._fill(top, constants=True)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self._fill(top, constants=False)

    def _shapes(self) -> list[Shape]:
        p = self.param.dummy_data_param
        tops = self.top_count
        sizes = {"num": p.num, "channels": p.channels, "height": p.height, "width": p.width}
        if not any(sizes.values()):
            self._once_or_each("shape", len(p.shape))
            return [tuple((p.shape[0] if len(p.shape) == 1 else p.shape[i]).dim) for i in range(tops)]
        if p.shape:
            raise self.error("must not be given together with num, channels, height, width", field="shape")
        for name, given in sizes.items():
            self._once_or_each(name, len(given))
        return [tuple(s[0] if len(s) == 1 else s[i] for s in sizes.values()) for i in range(tops)]

    def _once_or_each(self, field: str, given: int) -> None:
        if given not in (1, self.top_count):
            raise self.error(
                f"must be given once, or once for each of the {self.top_count} tops; got {given}", field=field
            )

    def _fill(self, top: Sequence[Blob], constants: bool) -> None:
        given = self.param.dummy_data_param.data_filler
        if given:
            self._once_or_each("data_filler", len(given))
        for i, blob in enumerate(top):
            filler = given[0 if len(given) == 1 else i] if given else caffe_pb2.FillerParameter()
            if constants or filler.type != "constant":
                try:
                    fillers.fill(blob.data, filler, runtime.rng())
                except CaffeError as error:
                    raise error.located(layer=self.name, type=self.type, field="data_filler") from None
