"""Changes to a script's text that its syntax tree asks for: what they share."""

from __future__ import annotations

import ast
from pathlib import Path

from caffe.legacy.ages import defined
from caffe.legacy.edits import Edits

OLD = "_old"
"""The name under which translated code finds :mod:`caffe.legacy.shims`."""


class _Parents(ast.NodeVisitor):
    def __init__(self) -> None:
        self.of: dict[ast.AST, ast.AST] = {}

    def generic_visit(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.of[child] = node
        super().generic_visit(node)


class Renewal:
    """One script, and the changes so far; ``_on_NAME`` of those that derive from it are called for each node."""

    def __init__(self, text: str, tree: ast.Module, python2: bool, folder: Path | None) -> None:
        self.edits = Edits(text)
        self.text, self.tree, self.python2, self.folder = text, tree, python2, folder
        self.lines = [line + "\n" for line in text.split("\n")]
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        parents = _Parents()
        parents.visit(tree)
        self.parent = parents.of
        self.defined = defined(tree)
        self.modules: dict[str, str] = {}
        self.caught: set[str] = set()
        self.divides = python2

    def run(self) -> Edits:
        """All changes."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.modules[alias.asname or alias.name.split(".")[0]] = alias.name
            elif isinstance(node, ast.ExceptHandler) and node.name:
                self.caught.add(node.name)
            elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self.divides &= all(alias.name != "division" for alias in node.names)
        self._visit(self.tree)
        return self.edits

    def _visit(self, node: ast.AST) -> None:
        method = getattr(self, f"_on_{type(node).__name__}", None)
        if method is not None:
            method(node)
        for child in ast.iter_child_nodes(node):
            self._visit(child)

    def _place(self, line: int, column: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return self.starts[line - 1] + len(text.encode()[:column].decode(errors="ignore"))

    def _span(self, node: ast.AST) -> tuple[int, int]:
        start = self._place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return start, self._place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _wrap(self, node: ast.AST, before: str, after: str, why: str) -> None:
        self.edits.wrap(*self._span(node), before, after, why)

    def _replace(self, node: ast.AST, new: str, why: str) -> None:
        self.edits.replace(*self._span(node), new, why)

    def _attribute_span(self, node: ast.Attribute) -> tuple[int, int]:
        """The name behind the dot."""
        end = self._span(node)[1]
        return end - len(node.attr), end

    def _full(self, node: ast.expr) -> str:
        """A dotted name, with the module's own name in front."""
        if isinstance(node, ast.Attribute):
            return f"{self._full(node.value)}.{node.attr}"
        return self.modules.get(node.id, node.id) if isinstance(node, ast.Name) else ""
