"""Translation within IPython: ``%load_ext caffe``, ``caffe.legacy.install()``."""

from __future__ import annotations

import linecache
import sys
from typing import Any

from caffe.errors import StateError
from caffe.legacy import arrays, running, shims, sources
from caffe.legacy.cells import Cells
from caffe.legacy.renewal import OLD


def install(explain: bool = False, python2: bool | None = None, allow_pickle: bool = False) -> None:
    """Translate the cells of this session from the next on. Raises StateError outside of IPython."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    shell: Any = get()
    if shell is None:
        raise StateError(
            "caffe.legacy.install() is for notebooks and IPython", fix="A script is run by: caffe run SCRIPT"
        )
    running.prepare()
    sources.assumed = bool(python2)
    arrays.allow_pickle = allow_pickle or arrays.allow_pickle
    shell.user_ns[OLD] = shims
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
