"""Of all prototxts of the zoo, how many parse and build without their data; the others' reasons are printed."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
import zoo_nets
from support_assets import assets
from zoo_nets import Outcome

pytestmark = pytest.mark.assets


def report(outcomes: list[Outcome]) -> str:
    """The shares, and why the others do not."""
    kinds = Counter(o.kind for o in outcomes)
    nets = [o for o in outcomes if o.kind == "net"]
    built = [o for o in nets if o.builds]
    lines = [
        f"{len(outcomes)} files: {kinds['net']} nets, {kinds['solver']} solvers, {kinds['other']} others",
        f"parse: {sum(o.parses for o in outcomes) / len(outcomes):.2%}",
        f"build: {len(built) / len(nets):.2%} of the nets, {sum(o.stand_ins for o in built)} of them with stand-ins for"
        " Python layers whose code is not in the zoo",
    ]
    for outcome in outcomes:
        if not (outcome.parses and outcome.builds):
            reason = re.sub(r"^\S*?:(\d+): ", r"line \1: ", outcome.reason)
            lines.append(
                f"  {outcome.file}: {'does not build' if outcome.parses else 'does not parse'}: {reason}"
            )
    return "\n".join(lines)


def test_share_that_parses_and_builds(capsys: pytest.CaptureFixture[str]) -> None:
    zoo = assets("zoo")
    paths = list(zoo_nets.files(zoo))
    workers = os.cpu_count() or 1
    # small pieces, spread: a folder's nets are of like size
    pieces = [paths[i :: workers * 8] for i in range(workers * 8)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        outcomes = [o for part in pool.map(zoo_nets.try_files, pieces, [zoo] * len(pieces)) for o in part]
    outcomes.sort(key=lambda o: o.file)
    with capsys.disabled():
        print("\n" + report(outcomes))
    nets = [o for o in outcomes if o.kind == "net"]
    assert not [o for o in outcomes if o.reason.startswith("CRASH")]
    assert sum(o.parses for o in outcomes) >= 0.99 * len(outcomes)
    assert sum(o.builds for o in nets) >= 0.95 * len(nets)
