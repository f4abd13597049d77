"""Running a script, and the modules beside it, as they are translated."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError
from caffe.legacy import commands, extensions, roots, screens, shims, sources
from caffe.legacy.renewal import OLD

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = {
    _PACKAGE,
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")),
}
_PACKAGES = ("site-packages", "dist-packages")
_AS_A_LIST = re.compile(
    r"'(zip|map|filter|range|dict_keys|dict_values|dict_items)' (object )?(is not subscriptable|has no (len|attribute)"
    r"|object (is not subscriptable|has no))|type '(zip|map|filter)' has no len|and 'range'|\"range\"\) to list"
)
"""What Python 3 says where a script takes for a list what was one."""


class Translating(importlib.machinery.SourceFileLoader):
    """Loads a module from its translated text; no bytecode is kept."""

    def get_code(self, fullname: str) -> types.CodeType:
        return sources.code(self.path)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__[OLD] = shims
        super().exec_module(module)


class Beside(importlib.abc.MetaPathFinder):
    """Finds the user's own modules (none that is installed) and has them translated."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if (
            spec is None
            or not isinstance(spec.loader, importlib.machinery.SourceFileLoader)
            or not spec.origin
        ):
            return None
        if not is_users(spec.origin):
            return None
        spec.loader = Translating(name, spec.origin)
        return spec


def is_users(path: str | os.PathLike[str]) -> bool:
    """Whether a file is the user's: not of Python, an installed package or this one."""
    folders = Path(path).resolve().parents
    return _INSTALLED.isdisjoint(folders) and not any(f.name in _PACKAGES for f in folders)


class Places(list[str]):
    """``sys.path``; tells of checkouts of Caffe, which would otherwise hide this package."""

    def insert(self, index: Any, place: str) -> None:
        _tell_of(place)
        super().insert(index, place)

    def append(self, place: str) -> None:
        _tell_of(place)
        super().append(place)

    def extend(self, places: Iterable[str]) -> None:
        for place in places:
            self.append(place)


_told: set[str] = set()


def _tell_of(place: str) -> None:
    if (
        isinstance(place, str)
        and place not in _told
        and os.path.isfile(os.path.join(place, "caffe", "__init__.py"))
    ):
        if Path(place, "caffe").resolve() == _PACKAGE:
            return
        _told.add(place)
        built = any(Path(place, "caffe").glob("_caffe*.so"))
        print(
            f"caffe run: {place} holds {'another' if built else 'an unbuilt'} Caffe; 'import caffe' is this package's",
            file=sys.stderr,
        )


_finder = Beside()
_unbuilt = extensions.Extensions()


def prepare() -> None:
    """Translate the user's modules from now on, and put old names back."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        sys.meta_path.append(_unbuilt)
    if not isinstance(sys.path, Places):
        sys.path = Places(sys.path)
        for place in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
            _tell_of(place)
    commands.install()


def run(script: str, arguments: Sequence[str] = ()) -> int:
    """Run a script with its arguments; returns the exit status. Errors of the script show its own lines."""
    path = os.path.abspath(script)
    sources.start(path)  # a text that cannot be read is told before anything runs
    _prepare_figures(Path(script))
    prepare()
    loader = Translating("__main__", path)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=script, __spec__=None, __loader__=loader, __builtins__=__builtins__)
    saved = sys.argv, list(sys.path), sys.modules["__main__"]
    sys.argv = [script, *arguments]
    sys.path[0:0] = [os.path.dirname(path)]
    sys.modules["__main__"] = module
    try:
        loader.exec_module(module)
        return 0
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _report(error)
        return 1
    finally:
        _finish_figures()
        sys.stdout.flush()
        sys.argv, sys.path[:], sys.modules["__main__"] = saved


def _prepare_figures(script: Path) -> None:
    if screens.has_screen():
        return
    os.environ.setdefault("CAFFE_FIGURES", str(Path.cwd() / f"{script.stem}_figures"))
    if importlib.util.find_spec("matplotlib") is not None:
        os.environ.setdefault("MPLBACKEND", "module://caffe.legacy.figures")


def _finish_figures() -> None:
    figures = sys.modules.get("caffe.legacy.figures")
    if figures is not None:
        figures.flush()


def _report(error: BaseException) -> None:
    """The traceback from the script's first line on; without marks under what was translated."""
    shown = traceback.TracebackException(type(error), error, error.__traceback__)
    told: traceback.TracebackException | None = shown
    while told is not None:
        first = next((i for i, f in enumerate(told.stack) if f.filename in sources.translated), 0)
        frames = list(told.stack)[first:]
        own = os.path.dirname(__file__)
        frames = [f for f in frames if os.path.dirname(f.filename) != own]  # our loaders between modules
        for frame in frames:
            if frame.filename in sources.translated:
                for mark in ("colno", "end_colno"):
                    if hasattr(frame, mark):
                        setattr(frame, mark, None)
        told.stack = traceback.StackSummary.from_list(frames)
        told = told.__cause__ or told.__context__
    print("".join(shown.format()), end="", file=sys.stderr)
    if _AS_A_LIST.search(str(error)) and not any(found.python2 for found in sources.translated.values()):
        print("caffe run: in Python 2 that was a list: try caffe run --python2", file=sys.stderr)
    missing = isinstance(error, (FileNotFoundError, CaffeError))
    command = roots.hint(str(error)) if missing else ""
    if command:
        print(f"caffe run: to get this file: {command}", file=sys.stderr)
