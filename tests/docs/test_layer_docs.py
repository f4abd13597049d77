"""docs/layers is what scripts/make_layer_docs.py writes."""

from __future__ import annotations

import subprocess
import sys

from support_assets import ROOT


def test_layer_pages_are_current() -> None:
    script = ROOT / "scripts" / "make_layer_docs.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
