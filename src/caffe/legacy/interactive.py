"""Translation within IPython: ``%load_ext caffe``, ``caffe.legacy.install()``."""

from __future__ import annotations

import linecache
import sys
from typing import Any

from caffe.errors import CaffeError, StateError
from caffe.legacy import commands, meaning, running, shims
from caffe.legacy.translate import translate

_MARK = "pass  # caffe.legacy line "


class Cells:
    """Translates cells, of which one may tell that all are of Python 2."""

    def __init__(self, explain: bool = False, python2: bool | None = None) -> None:
        self.explain = explain
        self.python2 = python2
        self._told = ""  # IPython transforms a cell more than once

    def __call__(self, lines: list[str]) -> list[str]:
        text = "".join(lines)
        if text.lstrip().startswith("%%"):
            return lines
        kept: list[str] = []
        plain = []
        for line in lines:
            bare = line.lstrip()
            if bare.startswith(("!", "%", "?")) or bare.rstrip().endswith("?") or "= !" in line:
                plain.append(f"{line[: len(line) - len(bare)]}{_MARK}{len(kept)}\n")
                kept.append(commands.ours(line) if "!" in bare[:1] or "= !" in line else line)
            else:
                plain.append(line)
        try:
            found = translate("".join(plain), "this cell", self.python2)
        except CaffeError:
            return lines  # IPython says what is wrong with it
        self.python2 = self.python2 or found.python2 or None
        if self.explain and text != self._told:
            self._told = text
            for change in found.changes:
                print(change)
        out = found.text.splitlines(keepends=True)
        for i, line in enumerate(out):
            if _MARK in line:
                number = line.split(_MARK, 1)[1].strip()
                out[i] = kept[int(number)] if number.isdigit() else line
        return out


def install(explain: bool = False, python2: bool | None = None) -> None:
    """Translate the cells of this session from the next on. Raises StateError outside of IPython."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    shell: Any = get()
    if shell is None:
        raise StateError(
            "caffe.legacy.install() is for notebooks and IPython", fix="A script is run by: caffe run SCRIPT"
        )
    running.prepare()
    shell.user_ns[meaning.OLD] = shims
    transformers = shell.input_transformer_manager.cleanup_transforms
    transformers[:] = [t for t in transformers if not isinstance(t, Cells)]
    transformers.append(Cells(explain, python2))
    if not hasattr(shell.compile, "caffe_cache"):
        shell.compile.caffe_cache = shell.compile.cache
        shell.compile.cache = lambda code, number=0, raw_code=None: _cache(
            shell.compile, code, number, raw_code
        )


def _cache(compiler: Any, code: str, number: int, raw_code: str | None) -> str:
    """Keep the cell as it was written, for tracebacks."""
    name: str = compiler.caffe_cache(code, number, raw_code)
    if raw_code is not None:
        lines = [line + "\n" for line in raw_code.splitlines()]
        entry = linecache.cache.get(name)
        if entry is not None and len(entry) == 4 and len(entry[2]) == len(lines):
            linecache.cache[name] = (entry[0], entry[1], lines, entry[3])
    return name


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext caffe`` calls."""
    install()
