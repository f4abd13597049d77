"""OpenCV as it was: old names, floats for points, windows where there is no screen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe.legacy import screens
from caffe.legacy.arrays import add

_RENAMED = {
    "LOAD_IMAGE_COLOR": "IMREAD_COLOR", "LOAD_IMAGE_GRAYSCALE": "IMREAD_GRAYSCALE",
    "LOAD_IMAGE_UNCHANGED": "IMREAD_UNCHANGED", "AA": "LINE_AA", "FILLED": "FILLED",
}  # fmt: skip
_DRAWING = ("rectangle", "line", "circle", "ellipse", "putText", "arrowedLine", "resize", "warpAffine")


def old_names(module: Any) -> dict[str, Any]:
    """What ``cv2.cv`` held: every constant with CV_ in front, and all else."""
    own = {k: v for k, v in vars(module).items() if not k.startswith("__")}
    properties = {f"CV_{k}": v for k, v in own.items() if k.isupper()}
    return {**own, **properties, **{f"CV_{old}": own[new] for old, new in _RENAMED.items()}}


def install(module: Any) -> None:
    """Put the old names back, and take floats where OpenCV 2 took them."""
    for old, new in _RENAMED.items():
        add(module, **{f"CV_{old}": getattr(module, new), old: getattr(module, new)})
    for name in _DRAWING:
        setattr(module, name, _of_floats(getattr(module, name)))
    if not screens.has_screen() or not _has_windows(module):
        module.imshow = lambda window, image: module.imwrite(str(screens.next_picture()), _bytes(image))
        module.waitKey = lambda delay=0: -1
        for name in ("namedWindow", "destroyWindow", "destroyAllWindows", "moveWindow", "resizeWindow"):
            setattr(module, name, lambda *args: None)


def _has_windows(module: Any) -> bool:
    return any("GUI:" in line and "NONE" not in line for line in module.getBuildInformation().splitlines())


def _of_floats(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose points and sizes may be floats; a colour (of three) stays as it is."""

    def whole(value: Any) -> Any:
        if isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_number, value)):
            return tuple(int(v) for v in value)
        return value.item() if isinstance(value, np.generic) else value

    @functools.wraps(draw)
    def drawn(image: Any, *args: Any, **kwargs: Any) -> Any:
        return draw(image, *map(whole, args), **{k: whole(v) for k, v in kwargs.items()})

    return drawn


def _bytes(image: Any) -> Any:
    """As imshow shows it: floats from 0 to 1."""
    array = np.asarray(image)
    return (array * 255).clip(0, 255) if array.dtype.kind == "f" else array


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.generic))
