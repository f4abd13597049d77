"""The user's scripts: read, translated, compiled."""

from __future__ import annotations

import ast
import os
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

from caffe.errors import MissingFileError
from caffe.legacy.translate import Translation, decoded, translate

translated: dict[str, Translation] = {}
"""What was translated in this process, by file."""
assumed = False
"""Whether the script that runs is of Python 2: then the modules beside it are, too."""
python2: bool | None = None
"""Whether the user said that scripts are of Python 2."""


def read(path: str | os.PathLike[str]) -> Translation:
    """A script's translation. Raises MissingFileError, ParseError."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise MissingFileError(f"cannot be read: {error.strerror}", file=path) from None
    return translate(decoded(content), str(path), python2, assumed)


def code(path: str) -> types.CodeType:
    """A script compiled as translated; kept in :data:`translated`."""
    translation = translated[path] = read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return compile(translation.text, path, "exec", dont_inherit=True)


def start(script: str | os.PathLike[str]) -> Translation:
    """The translation of the script that modules beside belong to: they are of Python 2 where it is."""
    global assumed
    assumed = False
    translation = read(script)
    assumed = translation.python2
    return translation


def with_modules(script: str | os.PathLike[str]) -> dict[Path, Translation]:
    """The script and the modules beside it that it imports, and they, in the order they are found."""
    first = Path(script).resolve()
    translations = {first: start(first)}
    waiting = [first]
    while waiting:
        path = waiting.pop(0)
        for name in _imported(ast.parse(translations[path].text)):
            for base in dict.fromkeys((path.parent, first.parent)):
                place = base.joinpath(*name.split("."))
                for module in (place.with_suffix(".py"), place / "__init__.py"):
                    if module.is_file() and module not in translations:
                        translations[module] = read(module)
                        waiting.append(module)
    return translations


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.module
            yield from (
                f"{node.module}.{a.name}" if node.module else a.name for a in node.names if a.name != "*"
            )
