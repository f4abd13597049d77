"""What the data layers of Cascade R-CNN share: their list, and how pixels become values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe import systems
from caffe.data.scene import Scene, read_scenes
from caffe.data.sources.scenes import Pixels
from caffe.layers.data._prefetching import PrefetchingLayer


class SceneData(PrefetchingLayer):
    """Images with annotated boxes from a window file."""

    origin = "Cascade R-CNN (zhaoweicai/cascade-rcnn)"

    def scenes(self, source: str, field: str) -> list[Scene]:
        """What the window file says."""
        if not source:
            raise self.error("must name a window file", field=f"{field}.source")
        return read_scenes(source)

    def pixels(self) -> Pixels:
        """Mean and scale, from ``transform_param``."""
        transform = self.param.transform_param
        if len(transform.mean_value) not in (0, 1, 3):
            raise self.error(
                f"must be given once or for each of 3 channels; got {len(transform.mean_value)}",
                field="transform_param.mean_value",
            )
        return Pixels(
            np.array(transform.mean_value, np.float32) if transform.mean_value else None, transform.scale
        )

    def check_together(self, field: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Both fields of a pair must be given, or none, and only one pair. Raises LayerError."""
        p = getattr(self.param, field)
        given = []
        for a, b in pairs:
            if bool(getattr(p, a)) != bool(getattr(p, b)):
                raise self.error(f"must be given together with {b}", field=f"{field}.{a}")
            given += [a] if getattr(p, a) else []
        if len(given) > 1:
            raise self.error(f"must not be given together with {given[1]}", field=f"{field}.{given[0]}")

    def threads(self) -> int:
        return systems.processors()
