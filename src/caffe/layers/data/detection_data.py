"""DetectionData."""

from __future__ import annotations

from caffe.data.prefetch import BatchSource
from caffe.data.scene import Area, map_size
from caffe.data.sources.scenes import DetectionBatches
from caffe.layers.data._prefetching import draw_seed
from caffe.layers.data._scenes import SceneData

_SHUFFLES = ("random", "random_aspect", "random_mix_aspect")


class DetectionData(SceneData):
    """Images with annotated boxes as Cascade R-CNN trains on, with a map of labels for each kind of anchor.

    An image is distorted (``distort_param``), mirrored by chance, resized (``resize_width`` and ``resize_height``,
    ``resize_ratio``, or its short side to ``short_size``, a multiple of 32), rescaled by chance
    (``multiscale_prob``: a box to ``min_scale`` … ``max_scale`` pixels, or by ``low_scale_ratio`` …
    ``high_scale_ratio``; ``min_whaspect`` … ``max_whaspect``), and cut around a box, or put into zeros, at the size
    of the template: ``crop_width`` × ``crop_height``, or ``crop_short_size`` and ``crop_long_size``, else
    ``short_size`` and ``long_size`` as the batch's first image lies, else that image's size.

    Each ``stride`` with its ``field_w`` and ``field_h`` has a map. A pixel whose field overlaps a box by more than
    ``fg_threshold`` has its label, 0 for boxes to be ignored: so marked, with the centre outside, or smaller than
    ``min_gt_width`` × ``min_gt_height``. The overlap is 1 where a pixel counts for nothing: outside of the image,
    beyond ``anchor_ignore_margin_ratio`` or ``anchor_ignore_iou_thr``, or in regions to ignore from
    ``ignore_fg_threshold`` on. A box without any pixel goes to that of its centre in the map that fits it best, if
    by ``pickup_iou_thr``. ``shuffle``: "random", "random_aspect" (tall ones, then wide ones, or the reverse),
    "random_mix_aspect" (``mix_group_size`` of each in turn); without the field in order.

    top 0: batch × 3 × height × width, (pixel - mean_value) · scale. Then one a stride: batch × 6 × height / stride ×
    width / stride: label, centre x, y, width, height, overlap. With ``output_gt_boxes`` the last is G × 8 × 1 × 1,
    rows as of EvalData's.
    Differs from Caffe: chance depends on the seed only; the numbers in the list are not used, its order is.
    Source: zhaoweicai/cascade-rcnn ``DetectionData``; Cai & Vasconcelos 2018.
    """

    num_tops = (1, None)
    reads = {
        "transform_param": "scale mirror mean_value",
        "data_param": "prefetch",
        "detection_data_param": "* -scale -coord_num -cache_images -resize_param",
    }

    def open(self) -> tuple[BatchSource, list[tuple[int, ...]]]:
        p = self.param.detection_data_param
        batch = self.positive(p.batch_size, "detection_data_param.batch_size")
        self._check()
        scenes = self.scenes(p.source, "detection_data_param")
        mirror = self.param.transform_param.mirror
        source = DetectionBatches(p, scenes, self.pixels(), mirror, draw_seed(), self.share())
        ratio = p.template_ratio[0] if p.template_ratio else 1.0
        size = source.template(source.resized((scenes[0].height, scenes[0].width), ratio), ratio)
        area = Area(*size, 0, 0, size[1], size[0])
        maps = [(batch, 6, *map_size(area, field)) for field in source.fields]
        return source, [(batch, 3, *size), *maps, *([(1, 8, 1, 1)] if p.output_gt_boxes else [])]

    def _check(self) -> None:
        name, p = "detection_data_param", self.param.detection_data_param
        if not len(p.stride) == len(p.field_w) == len(p.field_h) or (p.stride and min(p.stride) <= 0):
            raise self.error(
                f"must be given as often as field_w and field_h, and be above 0; got {len(p.stride)},"
                f" {len(p.field_w)} and {len(p.field_h)}",
                field=f"{name}.stride",
            )
        tops = 1 + len(p.stride) + p.output_gt_boxes
        if self.top_count != tops:
            raise self.error(f"must have {tops} tops: data, a map a stride, and boxes; got {self.top_count}")
        if p.HasField("shuffle") and p.shuffle not in _SHUFFLES:
            raise self.error(f"must be {', '.join(_SHUFFLES)}; got '{p.shuffle}'", field=f"{name}.shuffle")
        self.positive(p.mix_group_size, f"{name}.mix_group_size")
        if p.fg_threshold <= 0:
            raise self.error(f"must be above 0; got {p.fg_threshold:g}", field=f"{name}.fg_threshold")
        sizes = [
            ("resize_width", "resize_height"),
            ("short_size", "long_size"),
            ("resize_ratio", "resize_ratio"),
        ]
        self.check_together(name, sizes)
        self.check_together(name, [("crop_width", "crop_height"), ("crop_short_size", "crop_long_size")])
        for short, long in (("short_size", "long_size"), ("crop_short_size", "crop_long_size")):
            if getattr(p, short) and getattr(p, long) <= getattr(p, short):
                raise self.error(f"must be above {short}; got {getattr(p, long)}", field=f"{name}.{long}")
        scales = [("min_scale", "max_scale"), ("low_scale_ratio", "high_scale_ratio")]
        self.check_together(name, scales)
        for low, high in [*scales, ("min_whaspect", "max_whaspect")]:
            if getattr(p, low) < 0 or getattr(p, high) < getattr(p, low):
                raise self.error(
                    f"must be above 0 and at least {low}; got {getattr(p, high):g}", field=f"{name}.{high}"
                )
