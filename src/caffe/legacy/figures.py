"""A matplotlib backend for scripts where there is no screen: figures that are shown are written beside them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

folder = Path(os.environ.get("CAFFE_FIGURES", "figures"))
_count = 0


def _write(figure: Any) -> None:
    global _count
    if not figure.axes:
        return
    _count += 1
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_count:02d}.png"
    figure.savefig(path, bbox_inches="tight")
    print(f"caffe run: wrote the figure {path}", file=sys.stderr)


def flush() -> None:
    """Write all open figures and close them."""
    from matplotlib import pyplot

    for number in pyplot.get_fignums():
        _write(pyplot.figure(number))
    pyplot.close("all")


class FigureManager(FigureManagerBase):
    """One figure; showing it writes it."""

    @classmethod
    def pyplot_show(cls, *args: Any, **kwargs: Any) -> None:
        """What ``plt.show()`` does."""
        flush()

    def show(self) -> None:
        """Nothing: the figure is written by ``plt.show()`` or at the script's end."""


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas."""

    manager_class = FigureManager  # type: ignore[assignment]
