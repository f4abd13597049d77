"""Parts as source text: a class or function with all that it needs of its file."""

from __future__ import annotations

import ast
import inspect
import re
import types

from caffe.export.parts import boxes, normalization, regions, window

_FILES: tuple[types.ModuleType, ...] = (boxes, normalization, regions, window)


def source_of(names: set[str]) -> str:
    """The definitions of parts by name, and of what they call, each once, in an order that runs."""
    texts: dict[str, str] = {}
    needs: dict[str, set[str]] = {}
    for file in _FILES:
        text = inspect.getsource(file)
        for node in ast.parse(text).body:
            name = _defined(node)
            if name:
                texts[name] = _plain(ast.get_source_segment(text, node) or "")
                needs[name] = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    wanted, pending = set(), set(names)
    while pending:
        name = pending.pop()
        if name in texts and name not in wanted:
            wanted.add(name)
            pending |= needs[name] - {name}
    return "\n\n\n".join(text for name, text in texts.items() if name in wanted)


def _plain(text: str) -> str:
    """A class that calls its functions by name; here they are attributes, for exports to have others in their place."""
    for name in re.findall(r"^    (\w+) = staticmethod\(\1\)\n", text, re.MULTILINE):
        text = text.replace(f"    {name} = staticmethod({name})\n", "").replace(f"self.{name}(", f"{name}(")
    return re.sub(r"\n{3,}", "\n\n", text)


def _defined(node: ast.stmt) -> str | None:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None
