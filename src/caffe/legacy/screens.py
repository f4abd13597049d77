"""Where there is no screen: pictures that a script shows are written into a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_count = 0


def has_screen() -> bool:
    """Whether windows can be shown."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(display) or sys.platform in ("win32", "darwin")


def next_picture() -> Path:
    """The file for the next picture, in ``$CAFFE_FIGURES``; says so on standard error."""
    global _count
    _count += 1
    folder = Path(os.environ.get("CAFFE_FIGURES", "figures"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_count:02d}.png"
    print(f"caffe run: wrote the figure {path}", file=sys.stderr)
    return path
