"""Every example runs as it is, and its notebook holds its present cells."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
from support_assets import ROOT, assets, assets_root

FOLDER = ROOT / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))
EXTRAS = {"demo": ("sklearn", "matplotlib"), "plot": ("matplotlib",)}
MODULES = {"example_data.py", "python_layers.py"}
"""Imported by examples."""


def the_runner():
    spec = importlib.util.spec_from_file_location("run_examples", ROOT / "scripts" / "run_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def require(name):
    """Skip where something is missing that the example says it needs."""
    for need in the_runner().needs(FOLDER / f"{name}.py"):
        for module in EXTRAS.get(need, ()):
            pytest.importorskip(module, reason=f"needs the extra {need}")
        if need == "SqueezeNet":
            assets("models", "squeezenet_v1.0_deepcompression")


@pytest.mark.parametrize("name", NAMES)
def test_runs(name, tmp_path):
    require(name)
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


def test_the_table_says_what_each_needs():
    rows = re.findall(r"^\| `(.+?)` \| .+ \| ?(.*?) ?\|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    told = {name.removesuffix(".py"): needs.split(", ") if needs else [] for name, needs in rows}
    runner = the_runner()
    assert told == {p.stem: runner.needs(p) for p in FOLDER.glob("*.py") if p.name not in MODULES}
    assert {need for needs in told.values() for need in needs} <= {*EXTRAS, "SqueezeNet", "published models"}


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_of_the_script(name):
    pytest.importorskip("nbformat")
    module = the_runner()
    expected = module.cells((FOLDER / f"{name}.py").read_text())
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size <= module.LARGEST
    notebook = json.loads(path.read_text())
    assert [(c["cell_type"], "".join(c["source"])) for c in notebook["cells"]] == [
        (c.cell_type, c.source) for c in expected
    ], f"run: python scripts/run_examples.py {name}"
    outputs = [o for c in notebook["cells"] for o in c.get("outputs", [])]
    assert outputs and not any(o["output_type"] == "error" for o in outputs)
