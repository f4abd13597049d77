"""What a server serves, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caffe.errors import InputError, MissingFileError


@dataclass(frozen=True)
class Limits:
    """Where a request is refused instead of answered."""

    body_bytes: int = 32 << 20
    pixels: int = 40_000_000
    seconds: float = 30.0
    """For an answer, waiting included."""
    upload_seconds: float = 20.0
    """For the body to come."""
    queue: int = 256
    """Requests that wait for a model; more are answered 429."""


@dataclass(frozen=True)
class Served:
    """One version of a model, as files and flags say; what a worker builds it from."""

    name: str
    net: str
    weights: str
    version: str = "1"
    labels: str = ""
    mean: tuple[float, ...] | None = None
    scale: float | None = None
    rgb: bool | None = None
    resize: tuple[int, int] | None = None
    smooth: bool | None = None
    threshold: float = 0.5
    anchors: tuple[tuple[float, float], ...] = ()
    batch: int = 8
    workers: int = 1
    threads: int = 0
    """Of torch in a worker; 0 shares the processors out."""
    compiles: bool = False
    python: bool = False
    device: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def preparation(self) -> dict[str, Any]:
        """What is said of how photos become inputs: fields of :class:`caffe.predict.preparation.Preparation`."""
        names = ("mean", "scale", "rgb", "resize", "smooth")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def repository(folder: str, base: Served) -> list[Served]:
    """The models in ``folder/<model>/<version>/``, each a prototxt, weights and perhaps labels.txt.

    The rest is as in ``base``. Raises MissingFileError, InputError.
    """
    served = []
    root = Path(folder)
    if not root.is_dir():
        raise MissingFileError("This folder does not exist", file=folder)
    for version in sorted(p for p in root.glob("*/*") if p.is_dir() and p.name.isdigit()):
        nets = sorted(version.glob("*.prototxt"))
        nets = [p for p in nets if not p.name.startswith("labelmap")]
        weights = sorted([*version.glob("*.caffemodel"), *version.glob("*.caffemodel.h5")])
        if len(nets) != 1 or len(weights) != 1:
            raise InputError(
                f"A version must hold one .prototxt and one .caffemodel; found {len(nets)} and {len(weights)}",
                file=version,
            )
        names = {
            "name": version.parent.name,
            "version": version.name,
            "net": str(nets[0]),
            "weights": str(weights[0]),
        }
        served.append(Served(**(vars(base) | names)))
    if not served:
        raise InputError("There is no <model>/<version>/ in this folder, as in squeezenet/1/", file=folder)
    return served


def latest(versions: Sequence[str]) -> str:
    """The version that answers where none is asked for."""
    return max(versions, key=lambda v: (int(v) if v.isdigit() else -1, v))
