"""A matplotlib backend for scripts where there is no screen: figures that are shown are written beside them."""

from __future__ import annotations

from typing import Any

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from caffe.legacy import screens


def _write(figure: Any) -> None:
    if figure.axes:
        figure.savefig(screens.next_picture(), bbox_inches="tight")


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
