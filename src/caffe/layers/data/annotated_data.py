"""AnnotatedData: images with annotated boxes from an LMDB or LevelDB."""

from __future__ import annotations

from caffe import systems
from caffe.data.prefetch import BatchSource
from caffe.data.sources.annotated import AnnotatedBatches
from caffe.data.transform import Transformer
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed
from caffe.proto import caffe_pb2


class AnnotatedData(PrefetchingLayer):
    """Images and their annotated boxes, in key order, from a database of AnnotatedDatum records, augmented.

    In this order: ``distort_param`` (colours), ``expand_param`` (the image in a larger one of mean colour),
    one of the windows that ``batch_sampler`` found, ``resize_param``, ``noise_param``, crop, mirror, mean
    and scale. ``emit_constraint`` says which boxes stay when only a part of them does: those whose centre
    is in the part, or of which more than ``emit_overlap`` is.

    top 0: batch × channels × height × width. top 1 (optional): 1 × 1 × M × 8, rows image (in the batch),
    label, instance, xmin, ymin, xmax, ymax, difficult, coordinates in units of the image; one row of -1
    where no image has a box. For records without annotations: batch, the labels.

    Differs from Caffe: images are not compressed as JPEG again between the steps; chance depends on the
    seed only; a box must meet all of a sample_constraint's conditions at once.
    Source: weiliu89/caffe (SSD) ``AnnotatedData``; Liu et al. 2016.
    """

    origin = "SSD (weiliu89/caffe)"
    reads = {
        "transform_param": "*",
        "data_param": "source batch_size backend prefetch skip_damaged",
        "annotated_data_param": "*",
    }
    num_tops = (1, 2)

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        param, annotations = self.param.data_param, self.param.annotated_data_param
        if not param.source:
            raise self.error("must name a database", field="data_param.source")
        batch_size = self.positive(param.batch_size, "data_param.batch_size")
        source = AnnotatedBatches(
            param.source,
            caffe_pb2.DataParameter.DB.Name(param.backend) if param.HasField("backend") else None,
            batch_size,
            Transformer(self.param.transform_param, self.phase),
            self.param.transform_param,
            annotations.batch_sampler,
            annotated=True if annotations.HasField("anno_type") else None,
            seed=draw_seed(),
            share=self.share(),
            skip=param.skip_damaged,
        )
        return source, source.first_shapes()[: self.top_count]

    def threads(self) -> int:
        return self.param.data_param.threads or systems.processors()
