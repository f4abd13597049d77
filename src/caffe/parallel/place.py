"""Place: which worker this process is, and where the workers meet; from what torchrun or our launcher says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from caffe.errors import DistributedError

MEETING = "CAFFE_WORKERS_MEET_AT"
"""Where the workers that :mod:`caffe.parallel.launch` started meet, as a torch.distributed URL."""


@dataclass(frozen=True)
class Place:
    """Worker ``rank`` of ``count``, number ``local_rank`` on its host; they meet at the URL ``meeting``."""

    rank: int
    count: int
    local_rank: int
    meeting: str


def from_environment(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The place that torchrun's variables (RANK, WORLD_SIZE, …) give, or None for a process on its own.

    Raises DistributedError where they cannot be.
    """
    meeting = environment.get(MEETING)
    if not meeting and "MASTER_ADDR" in environment and "RANK" in environment:
        meeting = "env://"
    if not meeting or "WORLD_SIZE" not in environment:
        return None
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError):
        raise DistributedError(
            "RANK, WORLD_SIZE and LOCAL_RANK must be numbers in the environment of a worker; got"
            + ", ".join(f" {n}={environment.get(n)}" for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK")),
            fix="Start workers with torchrun, or unset WORLD_SIZE to train alone",
        ) from None
    if not 0 <= rank < count or local_rank < 0:
        raise DistributedError(
            f"RANK must be in 0 to WORLD_SIZE - 1; got RANK={rank}, WORLD_SIZE={count},"
            f" LOCAL_RANK={local_rank}",
            fix="Start workers with torchrun",
        )
    return Place(rank, count, local_rank, meeting) if count > 1 else None
