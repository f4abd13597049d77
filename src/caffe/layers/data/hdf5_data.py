"""HDF5Data: any arrays from HDF5 files."""

from __future__ import annotations

from caffe.data.prefetch import BatchSource
from caffe.data.sources.hdf5 import Hdf5Batches, read_file_list
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed


class HDF5Data(PrefetchingLayer):
    """Rows of the datasets that are named as the tops, from the HDF5 files that a list names, one a line.

    - top i: batch × the other axes of the dataset of that name.

    Files are read in blocks of 64 MB, so they may be larger than memory. ``shuffle`` draws a new order of
    files and of rows for each epoch. With n workers, each takes every n-th row.

    Differs from Caffe: files are not loaded whole, so that rows of a file above 64 MB are shuffled within
    blocks, and the blocks among themselves; ``source`` may be an HDF5 file itself.

    Source: BVLC ``HDF5Data``.
    """

    num_tops = (1, None)
    reads = {"data_param": "prefetch", "hdf5_data_param": "*"}

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        param = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            raise self.error(
                "must not be given: HDF5Data does not transform",
                field="transform_param",
                fix="Transform when the file is written, or add Scale and Crop layers",
            )
        if not param.source:
            raise self.error("must name a list of HDF5 files", field="hdf5_data_param.source")
        batch_size = self.positive(param.batch_size, "hdf5_data_param.batch_size")
        source = Hdf5Batches(
            read_file_list(param.source),
            list(self.param.top),
            batch_size,
            shuffle=param.shuffle,
            seed=draw_seed() if param.shuffle else 0,
            share=self.share(),
        )
        return source, [(batch_size, *shape) for shape in source.row_shapes]
