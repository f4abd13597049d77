"""Shared fixtures: a quiet log, and the process's state as it was."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("GLOG_minloglevel", "2")


@pytest.fixture(autouse=True)
def state_as_it_was():
    """Mode, device, seed and ranks are the process's; put back what a test changes."""
    from caffe import runtime

    saved = dict(vars(runtime._state))
    yield
    vars(runtime._state).clear()
    vars(runtime._state).update(saved)
