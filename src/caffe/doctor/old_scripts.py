"""What ``caffe run`` would do with a script or notebook, and what of its problems would remain."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from caffe.doctor import scripts
from caffe.doctor.finding import NOTE, PROBLEM, Finding, of_error
from caffe.errors import CaffeError


def check(path: Path) -> list[Finding]:
    """What would not work in a script as it is, and what ``caffe run`` does about it."""
    from caffe.legacy import sources

    findings = scripts.check(path)
    try:
        translation = sources.start(path)
    except CaffeError as error:  # neither Python reads it; where scripts.check could not say more, this does
        return (
            findings if any(f.kind == PROBLEM for f in findings) else [*findings, of_error(error, str(path))]
        )
    unread = any(f.message == scripts.NOT_LOOKED_AT for f in findings)
    left = _left(scripts.check_text(str(path), translation.text), path.parent)
    if not (translation.changes or unread or len(left) < sum(f.kind == PROBLEM for f in findings)):
        return findings
    return [*findings, _note(str(path), len(translation.changes), [(f"line {f.line}", f) for f in left])]


def check_notebook(path: Path) -> list[Finding]:
    """What would not work in a notebook's cells after ``caffe run`` has translated them, and how many lines that is.

    Raises MissingPackageError where notebooks cannot be read, ParseError for what is no notebook.
    """
    from caffe.legacy import notebooks
    from caffe.legacy.translate import translate

    notebook = notebooks.read(path)
    python2 = notebooks.is_python2(notebook) or None
    lines: list[str] = []
    places: list[tuple[int, int]] = []  # of each line: its cell, and the line there
    findings: list[Finding] = []
    changed = 0
    for number, source in enumerate(notebooks.sources(notebook), 1):
        if source.lstrip().startswith("%%"):
            continue
        name = f"{path}, cell {number}"
        try:
            translation = translate(source, name, python2)
        except CaffeError as error:
            findings.append(of_error(error, name))
            continue
        changed += len(translation.changes)
        cell = translation.text.split("\n")
        lines += cell
        places += [(number, i + 1) for i in range(len(cell))]
    for finding in scripts.check_text(str(path), "\n".join(lines)):
        if finding.kind == NOTE or not _found_by_run(finding, path.parent):
            number, line = places[finding.line - 1]
            findings.append(dataclasses.replace(finding, file=f"{path}, cell {number}", line=line))
    return [*findings, _note(str(path), changed, [])] if changed else findings


def _left(found: list[Finding], folder: Path) -> list[Finding]:
    return [f for f in found if f.kind == PROBLEM and not _found_by_run(f, folder)]


def _found_by_run(finding: Finding, folder: Path) -> bool:
    """Whether it is about a module that scripts find under ``caffe run`` only."""
    from caffe.legacy import extensions, libraries

    module = scripts.missing_module(finding)
    return module is not None and (
        libraries.provides(module) or extensions.Extensions().find_spec(module, [str(folder)]) is not None
    )


def _note(name: str, changed: int, left: list[tuple[str, Finding]]) -> Finding:
    says = f"caffe run runs this as it is, {changed} line{'s' * (changed != 1)} translated in memory"
    if left:
        says += "; these problems remain:" + "".join(f"\n    {place}: {f.message}" for place, f in left)
    fix = f"caffe run --explain {name} lists the changes; --write=DIR saves it as Python 3"
    return Finding(name, 0, NOTE, says, fix if not name.endswith(".ipynb") else fix.split(";")[0])
