"""Notebooks, run as they are and written with their outputs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from caffe.errors import FileAccessError, MissingPackageError, ParseError
from caffe.formats.atomic import replacing
from caffe.legacy import roots
from caffe.legacy.cells import Cells, translate_cell
from caffe.legacy.translate import Translation


def _need(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError.of(package, "notebook", "Running a notebook")


def read(path: Path) -> Any:
    """A notebook of any version, as version 4. Raises ParseError, MissingPackageError."""
    _need("nbformat")
    import nbformat

    try:
        notebook = nbformat.read(str(path), as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            cell.pop("id", None)
            str(cell.source), cell.cell_type
        for key in ("language_info", "kernelspec"):
            notebook.metadata.get(key, {}).get("name")
    except Exception as error:  # nbformat's own, json's, and whatever a damaged notebook brings about
        raise ParseError(f"This is no notebook: {error}", file=path) from None
    return notebook


def sources(notebook: Any) -> list[str]:
    """The text of each cell of code."""
    return [str(cell.source) for cell in notebook.cells if cell.cell_type == "code"]


def is_python2(notebook: Any) -> bool:
    """Whether its kernel or any of its cells is of Python 2."""
    version = notebook.metadata.get("language_info", {}).get("version", "")
    kernel = notebook.metadata.get("kernelspec", {}).get("name", "")
    if str(version).startswith("2.") or kernel == "python2":
        return True
    cells = Cells()
    for source in sources(notebook):
        cells(source.splitlines(keepends=True))
    return bool(cells.python2)


def translations(path: Path) -> list[tuple[str, Translation]]:
    """What would be changed, cell by cell."""
    notebook = read(path)
    old = is_python2(notebook) or None
    return [
        (f"{path}, cell {i}", translate_cell(source, old)) for i, source in enumerate(sources(notebook), 1)
    ]


def execute(
    path: Path, target: Path, *, to: str, python2: bool | None, allow_pickle: bool, overwrite: bool
) -> int:
    """Run a notebook in its folder and write it with its outputs, or as HTML; returns the exit status.

    A cell that fails ends it; what came before is written, and which cell it was is said.
    """
    if target.exists() and (not overwrite or target.resolve() == path.resolve()):
        raise FileAccessError("exists already", file=target, fix="Say --output=OTHER or --overwrite")
    _need("nbclient", "ipykernel", *(["nbconvert"] if to == "html" else []))
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = read(path)
    old = is_python2(notebook) if python2 is None else python2
    start = f"from caffe.legacy.interactive import install; install(python2={old or None}, allow_pickle={allow_pickle})"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    status = 0
    client.extra_arguments = [f"--IPKernelApp.exec_lines={start}", "--IPKernelApp.log_level=ERROR"]
    try:
        with client.setup_kernel():
            for i, cell in enumerate(notebook.cells):
                client.execute_cell(cell, i)
    except CellExecutionError as error:
        number = sum(c.cell_type == "code" for c in notebook.cells[: i + 1])
        print(
            f"{path}: cell {number} of {len(sources(notebook))}: {error.ename}: {error.evalue}",
            file=sys.stderr,
        )
        command = roots.hint(str(error.evalue))
        if command:
            print(f"caffe run: to get this file: {command}", file=sys.stderr)
        status = 1
    with replacing(target) as partial:
        if to == "html":
            from nbconvert import HTMLExporter

            body, _ = HTMLExporter().from_notebook_node(notebook)
            Path(partial).write_text(body, encoding="utf-8")
        else:
            text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
            Path(partial).write_text(text, encoding="utf-8")
    print(f"wrote {target}")
    return status
