"""Old names of modules, functions and arguments, put back where scripts of 2014 to 2018 look for them.

Nothing that exists is replaced but where its arguments were others; installed by ``caffe run`` only.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe.legacy import ages, arrays, files, pictures
from caffe.legacy.arrays import add

_RENAMED = {
    **ages.RENAMED_MODULES,
    "sklearn.cross_validation": "sklearn.model_selection",
    "sklearn.grid_search": "sklearn.model_selection",
    "skimage.filter": "skimage.filters",
}


class OldStringIO(io.BytesIO):
    """StringIO of Python 2: text or bytes, as what was put in."""

    def __init__(self, content: Any = b"") -> None:
        self._text = isinstance(content, str)
        super().__init__(content.encode() if isinstance(content, str) else content)

    def write(self, content: Any) -> int:
        self._text = isinstance(content, str)
        return super().write(content.encode() if isinstance(content, str) else content)

    def _as_put(self, content: bytes) -> Any:
        return content.decode() if self._text else content

    def getvalue(self) -> Any:
        return self._as_put(super().getvalue())

    def read(self, *args: Any) -> Any:
        return self._as_put(super().read(*args))

    def readline(self, *args: Any) -> Any:
        return self._as_put(super().readline(*args))


def _module(name: str, **names: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(names)
    return module


def _string_io() -> types.ModuleType:
    return _module("StringIO", StringIO=OldStringIO)


def _old_pickle() -> types.ModuleType:
    wrapped = files.pickled(importlib.import_module("pickle"))
    names = dict(vars(wrapped._module))
    names.update(load=wrapped.load, loads=wrapped.loads)
    return _module("cPickle", **names)


def _urllib2() -> types.ModuleType:
    request, error = importlib.import_module("urllib.request"), importlib.import_module("urllib.error")
    return _module("urllib2", **{**vars(request), **vars(error)})


def _sets() -> types.ModuleType:
    return _module("sets", Set=set, ImmutableSet=frozenset)


def _scipy_misc() -> types.ModuleType:
    from caffe.legacy import images

    return _module(
        "scipy.misc", imread=images.imread, imresize=images.imresize, imsave=images.imsave, toimage=images.toimage,
        imrotate=images.imrotate, bytescale=images.bytescale, fromimage=np.asarray,
    )  # fmt: skip


def _cv() -> types.ModuleType:
    return _module("cv2.cv", **pictures.old_names(importlib.import_module("cv2")))


_MADE: dict[str, Callable[[], types.ModuleType]] = {
    "StringIO": _string_io, "cStringIO": _string_io, "cPickle": _old_pickle, "urllib2": _urllib2, "sets": _sets,
    "scipy.misc": _scipy_misc, "cv2.cv": _cv, "cv": _cv,
}  # fmt: skip


def _standard() -> None:
    """Names that left the standard library's modules."""
    import collections.abc
    import inspect
    import itertools
    import string
    import time
    import urllib
    import urllib.error
    import urllib.parse
    import urllib.request

    letters = string.ascii_letters
    add(itertools, izip=zip, imap=map, ifilter=filter, izip_longest=itertools.zip_longest)
    add(sys, maxint=sys.maxsize, setdefaultencoding=lambda name: None, exc_clear=lambda: None)
    add(
        string, letters=letters, lowercase=string.ascii_lowercase, uppercase=string.ascii_uppercase,
        join=lambda words, sep=" ": sep.join(words), split=lambda s, *a: s.split(*a), atoi=int, atof=float,
        strip=lambda s, *a: s.strip(*a), replace=lambda s, *a: s.replace(*a), lower=str.lower, upper=str.upper,
        zfill=lambda s, n: str(s).zfill(n), maketrans=str.maketrans,
    )  # fmt: skip
    add(time, clock=time.perf_counter)
    add(inspect, getargspec=lambda f: inspect.getfullargspec(f)[:4])
    add(__import__("os"), getcwdu=__import__("os").getcwd, errno=__import__("errno"))
    add(importlib.import_module("subprocess"), getoutput=importlib.import_module("subprocess").getoutput)
    kinds = dict(
        StringType=str, UnicodeType=str, StringTypes=(str,), IntType=int, LongType=int, FloatType=float, ListType=list,
        TupleType=tuple, DictType=dict, BooleanType=bool, NoneType=type(None), FileType=io.IOBase, TypeType=type,
        ClassType=type, ObjectType=object,
    )  # fmt: skip
    add(types, **kinds)
    abstract = {n: getattr(collections.abc, n) for n in collections.abc.__all__}
    add(collections, **abstract)
    for part in (urllib.request, urllib.parse, urllib.error):
        add(urllib, **{n: v for n, v in vars(part).items() if not n.startswith("_") and callable(v)})


def _skimage_io(module: Any) -> None:
    imread = module.imread

    def old_imread(fname: Any, as_grey: Any = None, as_gray: bool = False, **kwargs: Any) -> Any:
        return imread(fname, as_gray=bool(as_grey) or as_gray, **kwargs)

    module.imread = old_imread


def _skimage_transform(module: Any) -> None:
    resize, rescale = module.resize, module.rescale

    def old_resize(
        image: Any, output_shape: Any, order: int = 1, mode: str = "constant", **kwargs: Any
    ) -> Any:
        return resize(image, output_shape, order=order, mode=mode, **{"anti_aliasing": False, **kwargs})

    def old_rescale(image: Any, scale: Any, order: int = 1, mode: str = "constant", **kwargs: Any) -> Any:
        return rescale(image, scale, order=order, mode=mode, **{"anti_aliasing": False, **kwargs})

    module.resize, module.rescale = old_resize, old_rescale


def _sklearn_linear(module: Any) -> None:
    for name in ("SGDClassifier", "SGDRegressor", "Perceptron", "PassiveAggressiveClassifier"):
        kind = getattr(module, name)
        setattr(module, name, _renamed(kind, {"n_iter": "max_iter"}, {"loss": {"log": "log_loss"}}))


def _renamed(kind: Any, names: dict[str, str], values: dict[str, dict[str, str]]) -> Any:
    """A class whose arguments may have their old names and values."""

    def make(*args: Any, **kwargs: Any) -> Any:
        given = {
            names.get(k, k): values.get(k, {}).get(v, v) if isinstance(v, str) else v
            for k, v in kwargs.items()
        }
        if "n_iter" in kwargs:
            given.setdefault("tol", None)
        return kind(*args, **given)

    return make


def _pyplot(module: Any) -> None:
    add(module, hold=lambda *args: None)
    for old, new in (("spectral", "nipy_spectral"), ("Vega10", "tab10")):
        add(module.cm, **{old: getattr(module.cm, new, None)})


_AFTER: dict[str, Callable[[Any], None]] = {
    "skimage.io": _skimage_io, "skimage.transform": _skimage_transform, "sklearn.linear_model": _sklearn_linear,
    "matplotlib.pyplot": _pyplot, "cv2": pictures.install,
}  # fmt: skip


class _Made(importlib.abc.Loader):
    def __init__(self, make: Callable[[], types.ModuleType]) -> None:
        self._make = make

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return self._make()

    def exec_module(self, module: types.ModuleType) -> None:
        parent, _, name = module.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], name, module)


class _Patched(importlib.abc.Loader):
    """Another loader, and what is changed once it has run."""

    def __init__(self, loader: Any, after: Callable[[Any], None]) -> None:
        self._loader, self._after = loader, after

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        made: types.ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        self._loader.exec_module(module)
        self._after(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class OldNames(importlib.abc.MetaPathFinder):
    """Finds modules by their old names, and puts old names into those that are imported."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in self._busy:
            return None
        if name in _AFTER:
            spec = self._real(name)
            if spec is not None and spec.loader is not None:
                spec.loader = _Patched(spec.loader, _AFTER[name])
            return spec
        if name in _RENAMED or name in _MADE:
            here = (
                any(Path(folder or ".", f"{name}.py").exists() for folder in sys.path)
                if path is None
                else False
            )
            if here or (name != "scipy.misc" and self._real(name) is not None):
                return None
            make = _MADE.get(name) or (lambda: _module(name, **vars(importlib.import_module(_RENAMED[name]))))
            return importlib.machinery.ModuleSpec(name, _Made(make))
        return None

    def _real(self, name: str) -> importlib.machinery.ModuleSpec | None:
        self._busy.add(name)
        try:
            return importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        finally:
            self._busy.discard(name)


_finder = OldNames()


def provides(name: str) -> bool:
    """Whether a module that is not installed is found by its old name once :func:`install` has run."""
    return name in _MADE or name in _RENAMED


def install() -> None:
    """Put the old names back; once."""
    if _finder in sys.meta_path:
        return
    sys.meta_path.insert(0, _finder)
    _standard()
    arrays.install(np)
    for name, after in _AFTER.items():
        if name in sys.modules:
            after(sys.modules[name])
    if "scipy.misc" in sys.modules:
        sys.modules["scipy.misc"] = _scipy_misc()
