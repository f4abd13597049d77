"""Logs of the three kinds as tables, with glog's stamps of both kinds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support_assets import GOLDEN

from caffe import logs, training_log
from caffe.errors import DataError

CLASSIC = """\
I1231 23:59:58.500000  3348 solver.cpp:289] Solving regression
I1231 23:59:59.000000  3348 solver.cpp:347] Iteration 0, Testing net (#0)
I1231 23:59:59.250000  3348 solver.cpp:414]     Test net output #0: accuracy = 0.25
I1231 23:59:59.500000  3348 solver.cpp:239] Iteration 0 (0 iter/s, 1s/5 iters), loss = 2.5
I1231 23:59:59.500000  3348 solver.cpp:258]     Train net output #0: loss = 2.75 (* 1 = 2.75 loss)
I1231 23:59:59.500000  3348 sgd_solver.cpp:112] Iteration 0, lr = 0.01
I0101 00:00:02.000000  3348 solver.cpp:239] Iteration 5 (2 iter/s, 2.5s/5 iters), loss = nan
I0101 00:00:02.000000  3348 sgd_solver.cpp:112] Iteration 5, lr = 1e-05
"""


def with_years(text: str) -> str:
    """As newer glogs write them."""
    return text.replace("I1231", "I20251231").replace("I0101", "I20260101")


@pytest.mark.parametrize("form", [str, with_years])
def test_both_stamps(form: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(form(CLASSIC))
    found = training_log.read(tmp_path / "a.log")
    assert [r["NumIters"] for r in found.train] == [0, 5]
    assert [r["Seconds"] for r in found.train] == [1, 3.5]  # over New Year
    assert [r["LearningRate"] for r in found.train] == [0.01, 1e-5]
    assert found.train[0]["loss"] == 2.75  # the net's own output, not the smoothed one
    assert found.test[0] == {"NumIters": 0, "Seconds": 0.75, "LearningRate": 0.01, "accuracy": 0.25}


def test_the_originals_log() -> None:
    found = training_log.read(GOLDEN / "cli" / "train.log")
    assert found.train and found.test
    assert found.train[-1]["Seconds"] > 0


def test_our_lines_are_glogs() -> None:
    """What the parsers of the original's logs split lines into: a letter with month and day, a time, a process."""
    text = logs.line("Iteration 100, lr = 0.01", depth=1)
    assert re.fullmatch(
        r"I[01]\d[0-3]\d \d\d:\d\d:\d\d\.\d{6} +\d+ test_training_log\.py:\d+\] Iteration 100, lr = 0\.01",
        text,
    )
    stamp, _, process, place = text.split()[:4]
    assert len(stamp) == 5 and 1 <= int(stamp[1:3]) <= 12 and 1 <= int(stamp[3:]) <= 31
    assert int(process) == os.getpid() and place.endswith("]")


ROW = '{"iter": %d, "seconds": 1, "lr": 0.5, "kind": "train", "loss": 2, "outputs": {"loss": [2]}}'


def test_a_row_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    """A run that was killed while it wrote, and resumed."""
    (tmp_path / "a.jsonl").write_text("\n".join([ROW % 0, (ROW % 1)[:30], ROW % 2]))
    assert [row["NumIters"] for row in training_log.read(tmp_path / "a.jsonl").train] == [0, 2]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}", "it lacks 'iter'"),
        ((ROW % 1).replace('"loss": 2, ', ""), "it lacks 'loss'"),
        ("[3]", "list"),
        ("3", "int"),
        ((ROW % 1).replace("[2]", "2"), "int"),
        ((ROW % 1).replace('{"loss": [2]}', "[2]"), "list"),
    ],
)
def test_lines_that_are_no_rows_are_named(line: str, says: str, tmp_path: Path) -> None:
    text = (
        (ROW % 0).replace('"loss": [2]', '"accuracy": [2]') + "\n" + line.replace('{"loss": [', '{"a": [', 1)
    )
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=rf"a\.jsonl.*2.*no row of a training's metrics.*{says}"):
        training_log.read(tmp_path / "a.jsonl")
