"""VideoData: frames of a camera or a video file."""

from __future__ import annotations

from caffe.data.prefetch import BatchSource
from caffe.data.sources.video import Frames
from caffe.data.transform import Transformer
from caffe.layers.data._prefetching import PrefetchingLayer, draw_seed


class VideoData(PrefetchingLayer):
    """Frames of a camera (``video_type: WEBCAM``, ``device_id``) or of a file (``VIDEO``, ``video_file``),
    in BGR.

    Between two frames ``skip_frames`` are left out. ``data_param.batch_size`` frames make a batch;
    ``transform_param`` resizes, crops, subtracts and scales.

    top 0: batch × 3 × height × width. top 1 (optional): batch, zeros.
    Differs from Caffe: a file begins again after its end, where SSD's layer stops the process. The layer of
    the same name in yjxiong/caffe, which reads lists of clips (``source``), is not this one.
    Source: weiliu89/caffe (SSD) ``VideoData``.
    """

    origin = "SSD (weiliu89/caffe)"
    reads = {
        "transform_param": "*",
        "data_param": "batch_size prefetch",
        "video_data_param": "video_type device_id video_file skip_frames source batch_size",
    }
    num_tops = (1, 2)

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        p = self.param.video_data_param
        if p.source:
            raise self.error(
                "is a field of yjxiong/caffe's layer, which reads lists of clips",
                field="video_data_param.source",
                fix="Name a video_file, or make a database of frames",
            )
        if p.video_type == p.VIDEO and not p.video_file:
            raise self.error("must name a file for video_type: VIDEO", field="video_data_param.video_file")
        source = Frames(
            p.video_file if p.video_type == p.VIDEO else p.device_id,
            self.positive(self.param.data_param.batch_size, "data_param.batch_size"),
            Transformer(self.param.transform_param, self.phase),
            self.param.transform_param,
            skip=p.skip_frames,
            seed=draw_seed(),
        )
        shape = source.first_shape()
        return source, [(source.batch_size, *shape), (source.batch_size,)][: self.top_count]
