"""Checks of values: at once on the CPU; a device's answers are awaited by tests/gpu."""

from __future__ import annotations

import pytest
import torch

from caffe import deferred
from caffe.errors import InputError


def test_on_the_cpu_at_once() -> None:
    deferred.refuse(torch.tensor([False, False]), lambda: InputError("never"))
    deferred.refuse(torch.zeros(0, dtype=torch.bool), lambda: InputError("never"))
    deferred.refuse(torch.ones(2, dtype=torch.bool, device="meta"), lambda: InputError("never"))
    with pytest.raises(InputError, match="bad"):
        deferred.refuse(torch.tensor([False, True]), lambda: InputError("bad"))
    deferred.raise_arrived(wait=True)


def test_a_warning_raises_nothing() -> None:
    said = []
    deferred.refuse(torch.tensor(True), lambda: said.append("odd"))
    assert said == ["odd"]


def test_answers_that_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        def __init__(self, done: bool) -> None:
            self.done = done

        def query(self) -> bool:
            return self.done

        def synchronize(self) -> None:
            self.done = True

    checks = deferred._pending.checks
    later = Event(done=False)
    for answer, event in ((False, Event(done=True)), (True, later), (True, Event(done=True))):
        checks.append((torch.tensor(answer), event, lambda: InputError("bad"), "net.prototxt"))  # type: ignore[arg-type]
    deferred.raise_arrived()
    assert len(checks) == 2  # in order: one that is not done holds up those behind it
    with pytest.raises(InputError, match=r"net\.prototxt.*bad"):
        deferred.raise_arrived(wait=True)
    assert not checks


def test_within_a_net_its_file_is_kept() -> None:
    with deferred.checking("outer.prototxt"):
        with deferred.checking("inner.prototxt"):
            assert deferred._pending.file == "inner.prototxt"
        assert deferred._pending.file == "outer.prototxt"
    assert deferred._pending.file is None
