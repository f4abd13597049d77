"""Shared fixtures: a quiet log, and the process's state as it was."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("GLOG_minloglevel", "2")


def pytest_configure():
    """CAFFE_TEST_DEVICE=gpu runs the tests in GPU mode, where there is an accelerator."""
    if os.environ.get("CAFFE_TEST_DEVICE") == "gpu":
        from caffe import runtime

        if not runtime.accelerators():
            raise pytest.UsageError("CAFFE_TEST_DEVICE=gpu: torch finds no accelerator here")
        runtime.set_mode_gpu()


def pytest_collection_modifyitems(items):
    """Tests of LevelDB (by name or marker) skip where plyvel is not to be had, those of the CPU in GPU mode."""
    if os.environ.get("CAFFE_TEST_DEVICE") == "gpu":
        for item in items:
            if item.get_closest_marker("cpu"):
                item.add_marker(pytest.mark.skip(reason="of what holds on the CPU alone"))
    try:
        import plyvel  # noqa: F401
    except ImportError:
        skip = pytest.mark.skip(reason="needs the package plyvel")
        for item in items:
            if "leveldb" in item.name or item.get_closest_marker("leveldb"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def state_as_it_was():
    """Mode, device, seed and ranks are the process's; put back what a test changes. The environment must be as
    it was: what one test leaves there changes the others."""
    from caffe import runtime

    saved, environment = dict(vars(runtime._state)), dict(os.environ)
    yield
    vars(runtime._state).clear()
    vars(runtime._state).update(saved)
    changed = {
        k: os.environ.get(k)
        for k in os.environ.keys() | environment.keys()
        if os.environ.get(k) != environment.get(k)
    }
    for name in ("PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR"):  # pytest and torch set these themselves
        changed.pop(name, None)
    os.environ.update({k: environment[k] for k in changed if k in environment})
    for name in changed.keys() - environment.keys():
        del os.environ[name]
    assert not changed, f"left in the environment: {changed}"
