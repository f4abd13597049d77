"""The state of the process."""

from __future__ import annotations

import torch

from caffe import runtime


def test_no_more_threads_than_processors(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(runtime.systems, "processors", lambda: 3)
    try:
        torch.set_num_threads(5)
        monkeypatch.setenv("OMP_NUM_THREADS", "5")
        runtime.fit_threads.__wrapped__()
        assert torch.get_num_threads() == 5
        monkeypatch.delenv("OMP_NUM_THREADS")
        runtime.fit_threads.__wrapped__()
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)
        runtime.fit_threads.__wrapped__()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
