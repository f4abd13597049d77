"""Cells of notebooks, translated; their magics and commands are left to IPython."""

from __future__ import annotations

import re

from caffe.errors import CaffeError
from caffe.legacy import commands
from caffe.legacy.translate import Translation, translate

_MARK = "pass  # caffe.legacy line "


def translate_cell(text: str, python2: bool | None = None) -> Translation:
    """A cell's text, translated but for lines that IPython reads itself. Raises ParseError."""
    if text.lstrip().startswith("%%"):
        return Translation(text)
    kept: list[str] = []
    plain: list[str] = []
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not _is_ipythons(line):
            plain.append(line)
            continue
        while line.rstrip("\n").endswith("\\") and at < len(lines):
            line += lines[at]
            at += 1
        plain.append(f"{line[: len(line) - len(line.lstrip())]}{_MARK}{len(kept)}\n")
        is_command = line.lstrip().startswith("!") or "= !" in line
        line = re.sub(r"^(\s*[!%])[ \t]+", r"\1", line)  # '% matplotlib inline' was allowed
        kept.append(commands.ours(line) if is_command else line)
    translation = translate("".join(plain), "this cell", python2)
    out = translation.text.splitlines(keepends=True)
    for i, line in enumerate(out):
        if _MARK in line:
            out[i] = kept[int(line.split(_MARK, 1)[1])]
    return Translation("".join(out), translation.changes, translation.python2)


def _is_ipythons(line: str) -> bool:
    bare = line.strip()
    return bare.startswith(("!", "%", "?")) or (bare.endswith("?") and "#" not in bare) or "= !" in line


class Cells:
    """What IPython has its cells go through; one cell may tell that all are of Python 2."""

    def __init__(self, explain: bool = False, python2: bool | None = None) -> None:
        self.explain = explain
        self.python2 = python2
        self._told = ""  # IPython transforms a cell more than once

    def __call__(self, lines: list[str]) -> list[str]:
        text = "".join(lines)
        try:
            translation = translate_cell(text, self.python2)
        except CaffeError:
            return lines  # IPython says what is wrong with it
        self.python2 = self.python2 or translation.python2 or None
        if self.explain and text != self._told:
            self._told = text
            for change in translation.changes:
                print(change)
        return translation.text.splitlines(keepends=True)
