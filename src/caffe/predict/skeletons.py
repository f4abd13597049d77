"""The skeletons that OpenPose's nets were trained on: parts of a body, and the limbs between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Limb:
    """Two parts, and where its direction is among the channels of the net's part affinity fields."""

    start: int
    end: int
    field: int = 0
    """The first of two channels: x, then y."""
    drawn: bool = True
    """From shoulder to ear: it tells only what belongs together."""


@dataclass(frozen=True)
class Skeleton:
    """Heat maps have a channel a part and one of the background; fields have two a limb, or there are none."""

    name: str
    parts: tuple[str, ...]
    limbs: tuple[Limb, ...]

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the heat maps, and of the fields."""
        return len(self.parts) + 1, 2 * len(self.limbs)


def _sides(parts: str) -> tuple[str, ...]:
    """``r-hip nose`` as ``right hip``, ``nose``."""
    words = {"r": "right", "l": "left"}
    split = [part.partition("-") for part in parts.split()]
    return tuple(f"{words[side]} {name.replace('_', ' ')}" if name else side for side, _, name in split)


def _chains(*chains: tuple[int, ...]) -> tuple[Limb, ...]:
    return tuple(Limb(a, b) for chain in chains for a, b in itertools.pairwise(chain))


_ARMS = "neck r-shoulder r-elbow r-wrist l-shoulder l-elbow l-wrist"
_LEGS = "r-hip r-knee r-ankle l-hip l-knee l-ankle"
_FACE = "r-eye l-eye r-ear l-ear"
_FEET = "l-big_toe l-small_toe l-heel r-big_toe r-small_toe r-heel"

COCO = Skeleton(
    "COCO",
    _sides(f"nose {_ARMS} {_LEGS} {_FACE}"),
    (
        Limb(1, 2, 12), Limb(1, 5, 20), Limb(2, 3, 14), Limb(3, 4, 16), Limb(5, 6, 22), Limb(6, 7, 24),
        Limb(1, 8, 0), Limb(8, 9, 2), Limb(9, 10, 4), Limb(1, 11, 6), Limb(11, 12, 8), Limb(12, 13, 10),
        Limb(1, 0, 28), Limb(0, 14, 30), Limb(14, 16, 34), Limb(0, 15, 32), Limb(15, 17, 36),
        Limb(2, 16, 18, drawn=False), Limb(5, 17, 26, drawn=False),
    ),
)  # fmt: skip

MPI = Skeleton(
    "MPI",
    _sides(f"head {_ARMS} {_LEGS} chest"),
    tuple(
        Limb(start, end, 2 * i)
        for i, (start, end) in enumerate(
            [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 14), (14, 8), (8, 9), (9, 10)]
            + [(14, 11), (11, 12), (12, 13)]
        )
    ),
)

BODY_25 = Skeleton(
    "BODY_25",
    _sides(f"nose {_ARMS} hips {_LEGS} {_FACE} {_FEET}"),
    (
        Limb(1, 8, 0), Limb(1, 2, 14), Limb(1, 5, 22), Limb(2, 3, 16), Limb(3, 4, 18), Limb(5, 6, 24),
        Limb(6, 7, 26), Limb(8, 9, 6), Limb(9, 10, 2), Limb(10, 11, 4), Limb(8, 12, 8), Limb(12, 13, 10),
        Limb(13, 14, 12), Limb(1, 0, 30), Limb(0, 15, 32), Limb(15, 17, 36), Limb(0, 16, 34), Limb(16, 18, 38),
        Limb(2, 17, 20, drawn=False), Limb(5, 18, 28, drawn=False),
        Limb(14, 19, 40), Limb(19, 20, 42), Limb(14, 21, 44), Limb(11, 22, 46), Limb(22, 23, 48), Limb(11, 24, 50),
    ),
)  # fmt: skip

HAND = Skeleton(
    "hand",
    (
        "wrist",
        *(f"{finger} {i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in range(1, 5)),
    ),
    _chains(*((0, first, first + 1, first + 2, first + 3) for first in range(1, 21, 4))),
)

FACE = Skeleton(
    "face",
    tuple(f"point {i}" for i in range(70)),
    _chains(
        tuple(range(17)), tuple(range(17, 22)), tuple(range(22, 27)), tuple(range(27, 31)), tuple(range(31, 36)),
        (*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60),
    ),
)  # fmt: skip

OF_MANY = (COCO, MPI, BODY_25)
"""Skeletons of nets that find any number of people: heat maps and fields."""
OF_ONE = (HAND, FACE)
"""Those of nets for a cut-out hand or face: heat maps alone."""
