"""Synopsys' Python layers, which its converted nets name: pad.PadTensor, shape.TensorShape, eltwise.Eltwise and
yolov2.darknet_reorg. For where those modules are not on the path.
"""

from __future__ import annotations

import ast
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.utility.shape import Shape as TensorShape
from caffe.tensor_layer import TensorLayer

__all__ = ["Eltwise", "PadTensor", "TensorShape", "darknet_reorg"]

_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
"""numpy's names of the ways to pad, and torch's."""
_OPERATIONS = (torch.mul, torch.add, torch.maximum, torch.div, torch.minimum)
_SUM = 1
_LONGEST_SETTINGS = 10_000


class _Dictated(TensorLayer):
    """A layer whose ``param_str`` is a Python dictionary."""

    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def setting(self, name: str, *default: Any) -> Any:
        """One entry of the dictionary. Raises LayerError where it has none, or is no dictionary."""
        text = self.param.python_param.param_str
        try:
            settings = ast.literal_eval(text) if len(text) <= _LONGEST_SETTINGS else None
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            settings = None
        if not isinstance(settings, dict):
            raise self.error(f"must be a dictionary; got {text[:200]!r}", field="param_str")
        if name not in settings and not default:
            raise self.error(f"must have an entry '{name}'; got {text!r}", field="param_str")
        return settings.get(name, *default)


class PadTensor(_Dictated):
    """A border around an image, of ``pad_t``, ``pad_b``, ``pad_l`` and ``pad_r`` rows and columns.

    ``pad_mode`` is "constant" (zeros), "edge" (the nearest pixel) or "reflect" (mirrored at it).

    bottom: x (N × C × H × W). top: x with its borders.
    """

    in_place = False

    def check(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes; got shape {list(shape)}")
        if self.setting("pad_mode") not in _MODES:
            raise self.error(
                f"pad_mode must be one of {', '.join(_MODES)}; got {self.setting('pad_mode')!r}",
                field="param_str",
            )
        for side in "tblr":
            size = self.setting(f"pad_{side}")
            if not isinstance(size, int) or size < 0:
                raise self.error(f"pad_{side} must be at least 0; got {size!r}", field="param_str")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        sides = [self.setting(f"pad_{side}") for side in "lrtb"]
        return F.pad(x, sides, _MODES[self.setting("pad_mode")])


class Eltwise(_Dictated):
    """Product (``operation`` 0), sum with ``coeff`` (1), maximum (2), quotient (3) or minimum (4) of two bottoms.

    bottom: a, b, of shapes that broadcast as numpy's do. top: their common shape.
    """

    num_bottoms = 2
    in_place = False

    def check(self, *shapes: Shape) -> None:
        operation = self.setting("operation")
        if operation not in range(len(_OPERATIONS)):
            raise self.error(f"operation must be 0, 1, 2, 3 or 4; got {operation!r}", field="param_str")
        coeff = self.setting("coeff") if operation == _SUM else (1, 1)
        if not isinstance(coeff, (list, tuple)) or len(coeff) != len(shapes):
            raise self.error(f"coeff must be two numbers; got {coeff!r}", field="param_str")

    def compute(self, *bottoms: torch.Tensor) -> torch.Tensor:
        operation = self.setting("operation")
        if operation == _SUM:
            bottoms = tuple(c * x for c, x in zip(self.setting("coeff"), bottoms))
        return reduce(_OPERATIONS[operation], bottoms)


class darknet_reorg(TensorLayer):
    """Darknet's reorg of stride 2: 2 × 2 pixels into channels, in its peculiar order.

    The order is that of an image of C / 4 channels, 2H high and 2W wide with the same values in memory. (The
    layer type ``Reorg`` swaps H and W there, as its forks do; on square images the two are the same.)

    bottom: x (N × C × H × W; C a multiple of 4, H and W even). top: N × 4C × H/2 × W/2.
    """

    in_place = False
    origin = "synopsys-caffe (foss-for-synopsys-dwc-arc-processors/synopsys-caffe)"

    def check(self, shape: Shape) -> None:
        if len(shape) != 4 or shape[1] % 4 or shape[2] % 2 or shape[3] % 2:
            raise self.shape_error(
                "the bottom must have 4 axes, a multiple of 4 channels, even height and width;"
                f" got shape {list(shape)}"
            )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        planes = x.reshape(n, c // 4, h, 2, w, 2).permute(0, 3, 5, 1, 2, 4)
        return planes.reshape(n, c * 4, h // 2, w // 2)
