"""ImageData: image files named by a list."""

from __future__ import annotations

from caffe import systems
from caffe.data.image_files import read_list
from caffe.data.prefetch import BatchSource
from caffe.data.sources.image_list import ImageListBatches
from caffe.data.transform import Transformer
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed


class ImageData(PrefetchingLayer):
    """Images and labels from files named by a list, ``folder/file.jpg 3`` a line.

    - top 0: batch × channels × height × width, resized to ``new_height`` × ``new_width`` if given, then
    transformed
      by ``transform_param``; in channels_last order in memory.
    - top 1 (optional): batch, the labels; batch × k with ``label_count: k`` numbers a line.

    With ``shuffle`` every epoch has its own random order. With n workers, each reads every n-th image. A
    damaged or missing image is an error, or with ``skip_damaged`` replaced by the next good one of its batch
    and counted.

    Differs from Caffe: workers share the list out (there each reads all of it); several labels a line, and
    labels that are no integers; ``skip_damaged``.

    Source: BVLC ``ImageData``.
    """

    num_tops = (1, 2)
    reads = {
        "transform_param": "*",
        "data_param": "prefetch",
        "image_data_param": (
            "source batch_size rand_skip shuffle new_height new_width is_color root_folder "
            "num_labels label_dim label_size skip_damaged label_count"
        ),
    }

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        param = self.param.image_data_param
        self.check_list(param, "image_data_param", "images")
        batch_size = self.positive(param.batch_size, "image_data_param.batch_size")
        transformer = Transformer(self.param.transform_param, self.phase)
        label_count = max(param.label_count, param.label_dim, param.label_size, param.num_labels)
        entries = read_list(param.source, label_count, needs_labels=self.top_count > 1)
        seed = draw_seed() if transformer.random or param.shuffle or param.rand_skip else 0
        start = seed % param.rand_skip if param.rand_skip else 0
        if start >= len(entries):
            raise self.error(
                f"must be at most the number of images, {len(entries)}; got {param.rand_skip}",
                field="image_data_param.rand_skip",
            )
        source = ImageListBatches(
            entries,
            param.root_folder,
            batch_size,
            transformer,
            height=param.new_height,
            width=param.new_width,
            color=param.is_color,
            shuffle=param.shuffle,
            seed=seed,
            share=self.share(),
            skip=param.skip_damaged,
            start=start,
        )
        image, labels = source.first_good()
        return source, [
            (batch_size, *transformer.output_shape(image.shape)),
            (batch_size,) if labels.size == 1 else (batch_size, labels.size),
        ]

    def threads(self) -> int:
        param = self.param.image_data_param
        return param.threads if param.HasField("threads") else systems.processors()
