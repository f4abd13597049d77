"""Where the installed commands begin: ``caffe`` is this package, even where PYTHONPATH names the checkout of another.

``export PYTHONPATH=~/caffe/python`` is in many a shell's profile from the days when Caffe was built by hand; that
folder comes before installed packages.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

_OWN = os.path.dirname(os.path.abspath(__file__))


def _is_another(place: str) -> bool:
    found = os.path.join(place, "caffe", "__init__.py")
    return os.path.isfile(found) and not os.path.samefile(place, _OWN)


def _come_first() -> None:
    """Have this folder looked through before one of PYTHONPATH that holds another Caffe, in child processes, too."""
    places = os.environ.get("PYTHONPATH", "")
    if any(_is_another(place) for place in places.split(os.pathsep) if place):
        sys.path.insert(0, _OWN)
        os.environ["PYTHONPATH"] = os.pathsep.join([_OWN, places])


def __getattr__(name: str) -> Any:
    """The command of the module ``caffe.cli.NAME``."""
    if name.startswith("_"):
        raise AttributeError(name)
    _come_first()
    return importlib.import_module(f"caffe.cli.{name}").main
