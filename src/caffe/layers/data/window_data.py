"""WindowData: windows of images, foreground and background."""

from __future__ import annotations

import numpy as np

from caffe import systems
from caffe.data.prefetch import BatchSource
from caffe.data.sources.window import Crop, WindowBatches, read_windows
from caffe.data.transform import read_mean
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed


class WindowData(PrefetchingLayer):
    """Windows drawn from the images of a window file, warped to ``crop_size``, as R-CNN trains on.

    - top 0: batch × channels × crop × crop; first the background windows (overlap below ``bg_threshold``),
    then
      ``fg_fraction`` of the batch foreground (overlap from ``fg_threshold``); in channels_last order in
      memory.
    - top 1: batch, the labels; 0 for background.

    ``context_pad`` pixels around the window come from the image around it (or stay 0, the mean, beyond its
    border); ``crop_mode: "square"`` keeps the window's shape.

    Differs from Caffe: ``transform_param.scale`` holds too (there only ``window_data_param.scale`` does).

    Source: BVLC ``WindowData``; Girshick et al., Rich feature hierarchies, 2014.
    """

    num_tops = 2
    reads = {
        "transform_param": "scale mirror crop_size mean_file mean_value",
        "data_param": "prefetch",
        "window_data_param": "*",
    }

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        param, transform = self.param.window_data_param, self.param.transform_param
        size = self.positive(transform.crop_size or param.crop_size, "transform_param.crop_size")
        batch_size = self.positive(param.batch_size, "window_data_param.batch_size")
        if param.crop_mode not in ("warp", "square"):
            raise self.error(
                f"must be 'warp' or 'square'; got '{param.crop_mode}'", field="window_data_param.crop_mode"
            )
        if 2 * param.context_pad >= size:
            raise self.error(
                f"must be below half of crop_size, {size}; got {param.context_pad}",
                field="window_data_param.context_pad",
            )
        if not 0 <= param.fg_fraction <= 1:
            raise self.error(
                f"must be in [0, 1]; got {param.fg_fraction:g}", field="window_data_param.fg_fraction"
            )
        windows = read_windows(param.source)
        crop = Crop(
            size=size,
            context_pad=param.context_pad,
            square=param.crop_mode == "square",
            mirror=transform.mirror or param.mirror,
            scale=param.scale * transform.scale,
            mean=self._mean(size, windows.channels),
        )
        source = WindowBatches(
            windows,
            param.root_folder,
            batch_size,
            crop,
            foreground_from=param.fg_threshold,
            background_below=param.bg_threshold,
            foreground_part=param.fg_fraction,
            cache=param.cache_images,
            seed=draw_seed(),
            share=self.share(),
        )
        return source, [(batch_size, windows.channels, size, size), (batch_size,)]

    def _mean(self, size: int, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
        transform = self.param.transform_param
        path = transform.mean_file or self.param.window_data_param.mean_file
        if path and len(transform.mean_value):
            raise self.error("must not be given together with mean_value", field="transform_param.mean_file")
        if path:
            mean = read_mean(path)
            rows, columns = (mean.shape[1] - size) // 2, (mean.shape[2] - size) // 2
            if min(rows, columns) < 0 or len(mean) != channels:
                raise self.error(
                    f"must hold at least {channels}×{size}×{size}; got {list(mean.shape)}",
                    field="transform_param.mean_file",
                )
            return mean[:, rows : rows + size, columns : columns + size]
        if len(transform.mean_value) not in (0, 1, channels):
            raise self.error(
                f"must be given once or for each of {channels} channels; got {len(transform.mean_value)}",
                field="transform_param.mean_value",
            )
        if len(transform.mean_value):
            return np.array(transform.mean_value, np.float32).reshape(-1, 1, 1)
        return None

    def threads(self) -> int:
        return systems.processors()
