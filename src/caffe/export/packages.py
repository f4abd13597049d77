"""Optional packages, each brought by the extra ``export``."""

from __future__ import annotations

import importlib
from types import ModuleType

from caffe.errors import MissingPackageError


def package(name: str, purpose: str) -> ModuleType:
    """The package, imported. Raises MissingPackageError, which names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] != name.split(".")[0]:
            raise
        raise MissingPackageError.of(name.split(".")[0], "export", purpose) from None
