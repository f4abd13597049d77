"""Every example runs as it is, and its notebook holds its present cells."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from support_assets import ROOT, assets, assets_root

FOLDER = ROOT / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_runs(name, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    source = (FOLDER / f"{name}.py").read_text()
    if "squeezenet" in source:
        assets("models", "squeezenet_v1.0_deepcompression")
    environment = os.environ | {
        "MPLBACKEND": "Agg",
        "GLOG_minloglevel": "2",
        "CAFFE_TEST_ASSETS": str(assets_root()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    run = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_of_the_script(name):
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("run_examples", ROOT / "scripts" / "run_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = module.cells((FOLDER / f"{name}.py").read_text())
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size <= module.LARGEST
    notebook = json.loads(path.read_text())
    assert [(c["cell_type"], "".join(c["source"])) for c in notebook["cells"]] == [
        (c.cell_type, c.source) for c in expected
    ], f"run: python scripts/run_examples.py {name}"
    outputs = [o for c in notebook["cells"] for o in c.get("outputs", [])]
    assert outputs and not any(o["output_type"] == "error" for o in outputs)
