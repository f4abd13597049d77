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
REFUSED = {
    # their authors' Gather, which collects labels and scores from several processes, does not ask for it
    "yjxiong+caffe/models/action_recognition/vgg_16_flow_train_val_fast.prototxt",
    "yjxiong+caffe/models/action_recognition/vgg_16_rgb_train_val_fast.prototxt",
}
"""Nets that ask for a gradient of labels."""


def report(outcomes: list[Outcome]) -> str:
    """The shares, and why the others do not."""
    kinds = Counter(o.kind for o in outcomes)
    nets = [o for o in outcomes if o.kind == "net"]
    built = [o for o in nets if o.builds]
    alone = [o for o in built if not o.stand_ins]
    lines = [
        f"{len(outcomes)} files: {kinds['net']} nets, {kinds['solver']} solvers, {kinds['other']} others",
        f"parse: {sum(o.parses for o in outcomes) / len(outcomes):.2%}",
        f"build: {len(alone) / len(nets):.2%} of the nets, {len(built) / len(nets):.2%} with stand-ins for the Python"
        f" layers of {len(built) - len(alone)} nets, whose code is not in the zoo",
    ]
    for outcome in outcomes:
        lines += [f"  {outcome.file}: refuses a gradient: {what}" for what in outcome.refused]
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
    assert not [o for o in outcomes if o.refused and o.file not in REFUSED]
    assert sum(o.parses for o in outcomes) >= 0.99 * len(outcomes)
    assert sum(o.builds and not o.stand_ins for o in nets) >= 0.95 * len(nets)
    assert sum(o.builds for o in nets) >= 0.96 * len(nets)
