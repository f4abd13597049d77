"""Shared fixtures: a quiet log, and the process's state as it was."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("GLOG_minloglevel", "2")


def pytest_collection_modifyitems(items):
    """Tests of LevelDB, by their names or by the marker, skip where plyvel is not to be had."""
    try:
        import plyvel  # noqa: F401
    except ImportError:
        skip = pytest.mark.skip(reason="needs the package plyvel")
        for item in items:
            if "leveldb" in item.name or item.get_closest_marker("leveldb"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def state_as_it_was():
    """Mode, device, seed and ranks are the process's; put back what a test changes."""
    from caffe import runtime

    saved = dict(vars(runtime._state))
    yield
    vars(runtime._state).clear()
    vars(runtime._state).update(saved)
