"""DenseImageData: images and label images named by a list."""

from __future__ import annotations

from caffe import systems
from caffe.data.prefetch import BatchSource
from caffe.data.sources.dense_images import DenseImageBatches, read_pairs
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed
from caffe.proto import caffe_pb2


class DenseImageData(PrefetchingLayer):
    """Images with a label for each pixel, from pairs of files named by a list: ``image.png labels.png`` a line.

    - top 0: batch × channels × height × width, resized to ``new_height`` × ``new_width`` if given, then
    transformed by ``transform_param``.
    - top 1: batch × 1 × height × width, the gray values of the label images; resized to the nearest pixel,
    neither mean nor scale applied.

    Crop and mirror are those of the image. With ``shuffle`` every epoch has its own random order. Images of
    different sizes need ``batch_size: 1``.

    Differs from Caffe: crop and mirror are errors there; ``mirror``, ``crop_height``, ``crop_width`` and
    ``mean_file`` may also be in transform_param. Source: alexgkendall/caffe-segnet ``DenseImageData``.
    """

    num_tops = 2
    origin = "SegNet (alexgkendall/caffe-segnet)"
    reads = {"transform_param": "*", "data_param": "prefetch", "dense_image_data_param": "*"}

    def _transformation(self) -> caffe_pb2.TransformationParameter:
        param, own = caffe_pb2.TransformationParameter(), self.param.dense_image_data_param
        param.CopyFrom(self.param.transform_param)
        for field, name in (("mirror", "mirror"), ("crop_h", "crop_height"), ("crop_w", "crop_width")):
            if getattr(own, name):
                setattr(param, field, getattr(own, name))
        if own.mean_file:
            param.mean_file = own.mean_file
        return param

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        param = self.param.dense_image_data_param
        self.check_list(param, "dense_image_data_param", "pairs of images")
        pairs, seed = read_pairs(param.source), draw_seed()
        if param.rand_skip > len(pairs):
            raise self.error(
                f"must be at most the number of pairs, {len(pairs)}; got {param.rand_skip}",
                field="dense_image_data_param.rand_skip",
            )
        source = DenseImageBatches(
            pairs,
            param.root_folder,
            self.positive(param.batch_size, "dense_image_data_param.batch_size"),
            self._transformation(),
            self.phase,
            height=param.new_height,
            width=param.new_width,
            color=param.is_color,
            shuffle=param.shuffle,
            seed=seed,
            share=self.share(),
            start=seed % param.rand_skip if param.rand_skip else 0,
        )
        return source, source.first_shapes()

    def threads(self) -> int:
        return systems.processors()
