"""``caffe time --plan``."""

from __future__ import annotations

from pathlib import Path

import pytest
from switch_nets import KINDS

from caffe.cli.main import main


def test_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "net.prototxt"
    model.write_text(str(KINDS["normalized"]().to_proto()))
    assert main(["time", f"--model={model}", "--phase=TEST", "--plan"]) == 0
    output = capsys.readouterr().out
    built, inference = output.split("In inference mode:")
    assert "scale into norm" in built and "norm into convolution" not in built
    assert "conva + bna + scalea + relua" in inference
    assert "Benchmark" not in output
