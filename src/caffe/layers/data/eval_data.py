"""EvalData."""

from __future__ import annotations

from caffe.data.prefetch import BatchSource
from caffe.data.sources.scenes import EvalBatches
from caffe.layers.data._scenes import SceneData


class EvalData(SceneData):
    """Images with annotated boxes as Cascade R-CNN is tested on: resized, in the order of the list.

    To ``resize_width`` × ``resize_height``, else so that the short side is ``short_size`` and none is longer than
    ``long_size``; then to the nearest multiples of 32 (at least 32). ``source`` is a window file (see
    :mod:`caffe.data.scene`), whose paths begin behind ``root_folder``.

    top 0: batch × 3 × height × width, (pixel - mean_value) · scale. top 1: G × 8 × 1 × 1, rows image (in the
    batch), x1, y1, x2, y2 (pixels of top 0), label, ignored, difficult; one of -1 where there are none. top 2
    (optional): batch × 2 × 1 × 1, height and width.
    Differs from Caffe: nothing known.
    Source: zhaoweicai/cascade-rcnn ``EvalData``.
    """

    num_tops = (2, 3)
    reads = {
        "transform_param": "scale mean_value",
        "data_param": "prefetch",
        "eval_data_param": "* -scale",
    }

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        p = self.param.eval_data_param
        batch = self.positive(p.batch_size, "eval_data_param.batch_size")
        self.check_together(
            "eval_data_param", [("resize_width", "resize_height"), ("short_size", "long_size")]
        )
        if batch > 1 and not p.resize_width:
            raise self.error(
                f"must be 1 without resize_width; got {batch}", field="eval_data_param.batch_size"
            )
        scenes = self.scenes(p.source, "eval_data_param")
        source = EvalBatches(p, scenes, self.pixels(), self.share())
        size = source.size((scenes[0].height, scenes[0].width))
        return source, [(batch, 3, *size), (1, 8, 1, 1), (batch, 2, 1, 1)]
