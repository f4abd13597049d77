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
    """Mode, device, seed and ranks are the process's; put back what a test changes. Our own variables of the
    environment must be as they were: what one test leaves there changes the others."""
    from caffe import runtime

    saved, environment = dict(vars(runtime._state)), _variables()
    yield
    vars(runtime._state).clear()
    vars(runtime._state).update(saved)
    after = _variables()
    for name in after.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    assert after == environment, "a test left something in the environment"


def _variables():
    """The environment's variables that are ours; libraries set some of their own."""
    return {name: value for name, value in os.environ.items() if name.startswith(("CAFFE", "GLOG"))}
