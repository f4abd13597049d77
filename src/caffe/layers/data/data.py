"""Data: images with labels from an LMDB or LevelDB."""

from __future__ import annotations

from caffe import logs, systems
from caffe.data.prefetch import BatchSource
from caffe.data.sources.records import RecordBatches
from caffe.data.transform import Transformer
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed
from caffe.proto import caffe_pb2

_MOST_THREADS = 256


class Data(PrefetchingLayer):
    """Images and labels, in key order, from a database of Datum records; from the start again after the end.

    - top 0: batch × channels × height × width, transformed by ``transform_param`` (the crop's size if it
      crops). Decoded images are in channels_last order in memory.
    - top 1 (optional): batch, the labels; batch × k where records hold k labels (``float_data`` beside
      ``data``).

    With n workers, each reads every n-th record. Records of different shapes need ``batch_size: 1`` or a
    crop. A damaged record is an error, or with ``skip_damaged`` replaced by the next good one and counted.

    ``rand_skip`` does nothing, as in Caffe 1.0, and a warning says so. (Releases before 1.0 began at a random
    record; ImageData still does.)

    Differs from Caffe: two nets may read one database at the same time; the order of batches and the random
    crops depend on the seed only; vector labels; ``skip_damaged``.

    Source: BVLC ``Data``.
    """

    num_tops = (1, 2)
    reads = {
        "transform_param": "*",
        "data_param": "source batch_size rand_skip backend force_encoded_color prefetch skip_damaged",
    }

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        param = self.param.data_param
        if not param.source:
            raise self.error("must name a database", field="data_param.source")
        batch_size = self.positive(param.batch_size, "data_param.batch_size")
        transformer = Transformer(self.param.transform_param, self.phase)
        if param.force_encoded_color:
            transformer.color = True
        if param.rand_skip:
            logs.warning(
                f"Layer '{self.name}' ({self.type}): data_param.rand_skip has no effect, as in Caffe 1.0"
            )
        source = RecordBatches(
            param.source,
            caffe_pb2.DataParameter.DB.Name(param.backend),
            batch_size,
            transformer,
            seed=draw_seed() if transformer.random else 0,
            share=self.share(),
            skip=param.skip_damaged,
        )
        self._encoded = bool(source.first.encoded)
        image, labels = source.read_first()
        return source, [
            (batch_size, *transformer.output_shape(image.shape)),
            (batch_size,) if labels.size == 1 else (batch_size, labels.size),
        ]

    def threads(self) -> int:
        asked = self.param.data_param.threads
        if asked > _MOST_THREADS:
            raise self.error(f"must be at most {_MOST_THREADS}; got {asked}", field="data_param.threads")
        return asked or (systems.processors() if self._encoded else 1)
