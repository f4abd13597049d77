"""Run the examples and write them as notebooks, with what they print and draw.

    python scripts/run_examples.py [NAME …] [--check]

The examples are Python scripts in cells (``# %%``; ``# %% [markdown]`` for text). Each runs in a kernel of its own,
in the folder examples/, and becomes NAME.ipynb beside the script. ``--check`` runs, but writes nothing. What a script
needs is in its first line.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LARGEST = 300_000  # bytes of a notebook


def needs(path: Path) -> list[str]:
    """What a script says in its first line that it needs: extras of the package, files; nothing is an empty list."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    if not first.startswith("# needs: "):
        raise SystemExit(
            f"{path.name}: its first line must say what it needs, as '# needs: demo, SqueezeNet'"
        )
    named = first.removeprefix("# needs: ").split(", ")
    return [] if named == ["nothing"] else named


def cells(text: str) -> list[Any]:
    """The cells of a script: code, and Markdown without its comment signs."""
    import nbformat

    found = []
    for part in ("\n" + text).split("\n# %%")[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()]
            found.append(nbformat.v4.new_markdown_cell("\n".join(lines)))
        elif body.strip():
            found.append(nbformat.v4.new_code_cell(body.strip()))
    for i, cell in enumerate(found):
        cell.id = f"cell-{i}"
    return found


def run(path: Path) -> Any:
    """The executed notebook of a script; raises nbclient's error where a cell fails."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=cells(path.read_text(encoding="utf-8")))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ.setdefault("GLOG_minloglevel", "2")  # log lines would drown what the notebook shows
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(EXAMPLES)}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day: no change where nothing changed
    return notebook


def main() -> int:
    """Run the examples that are named, or all; returns the exit status."""
    import nbformat

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="examples, as 03_memory_data; all where none is named")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    names = args.names or sorted(p.stem for p in EXAMPLES.glob("[0-9][0-9]_*.py"))
    for name in names:
        started = time.monotonic()
        notebook = run(EXAMPLES / f"{Path(name).stem}.py")
        text = nbformat.writes(notebook) + "\n"
        print(f"{name}: {time.monotonic() - started:.0f} s, {len(text) / 1000:.0f} kB", flush=True)
        if len(text) > LARGEST:
            print(f"{name}: a notebook must have at most {LARGEST / 1000:.0f} kB", file=sys.stderr)
            return 1
        if not args.check:
            (EXAMPLES / f"{Path(name).stem}.ipynb").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
