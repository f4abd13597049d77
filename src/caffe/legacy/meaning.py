"""What Python 3 reads without complaint but takes otherwise: names, methods, lists, division, keys, old modules."""

from __future__ import annotations

import ast
from pathlib import Path

from caffe.legacy.arithmetic import Arithmetic, called
from caffe.legacy.edits import Edits
from caffe.legacy.renewal import OLD
from caffe.legacy.roots import is_checkout, is_within_checkout

NAMES = {
    "xrange": "range", "raw_input": "input", "unicode": "str", "basestring": "str", "unichr": "chr", "long": "int",
    "reduce": f"{OLD}.reduce", "file": f"{OLD}.open", "cmp": f"{OLD}.cmp", "reload": f"{OLD}.reload",
    "intern": "str", "buffer": "memoryview", "round": f"{OLD}.round",
}  # fmt: skip
_LISTS = {"map": "map", "zip": "zip", "filter": "filter", "range": "range"}
_VIEWS = {"keys", "values", "items"}
_ITERATORS = {"iteritems": "items", "itervalues": "values", "iterkeys": "keys", "viewitems": "items",
              "viewkeys": "keys", "viewvalues": "values"}  # fmt: skip
_CONSUMERS = {"list", "tuple", "set", "sorted", "sum", "dict", "max", "min", "enumerate", "any", "all", "len",
              "frozenset", "zip", "map", "iter", "reversed"}  # fmt: skip
NUMPY = {
    "float": "float", "int": "int", "bool": "bool", "object": "object", "long": "int", "str": "str",
    "unicode": "str", "complex": "complex",
}  # fmt: skip
CODECS = ("hex", "base64", "zlib", "bz2")
"""What Python 2's text could be encoded with, that is no encoding of text."""
_KEYED = {"put", "get", "delete", "set_key", "set_range", "replace", "pop", "Put", "Get", "Delete"}


def renew(text: str, tree: ast.Module, python2: bool, folder: Path | None = None) -> Edits:
    """The changes to text that Python 3 can read; of Python 2's meaning only where ``python2``."""
    return _Meaning(text, tree, python2, folder).run()


class _Meaning(Arithmetic):
    # Names

    def _on_Name(self, node: ast.Name) -> None:
        if not self.python2 or not isinstance(node.ctx, ast.Load) or node.id in self.defined:
            return
        if node.id == "open" and self._is_called(node):
            self._replace(node, f"{OLD}.open", "files opened without 'b' may hold bytes")
        elif node.id in NAMES:
            self._replace(node, NAMES[node.id], f"{node.id} is Python 2's")
        elif node.id in ("execfile", "apply"):
            self._replace(node, f"{OLD}.{node.id}", f"{node.id} is Python 2's")

    def _is_called(self, node: ast.AST) -> bool:
        parent = self.parent.get(node)
        return isinstance(parent, ast.Call) and parent.func is node

    def _on_Attribute(self, node: ast.Attribute) -> None:
        base = node.value.id if isinstance(node.value, ast.Name) else ""
        module = self.modules.get(base, "")
        if module == "numpy" and node.attr in NUMPY and isinstance(node.ctx, ast.Load):
            self._replace(
                node, NUMPY[node.attr], f"NumPy has no np.{node.attr} any more: it was Python's own"
            )
        elif self.python2 and node.attr == "message" and base in self.caught:
            self._replace(node, f"str({base})", "exceptions have no .message")

    def _on_Assign(self, node: ast.Assign) -> None:
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        if not any(name in ("caffe_root", "CAFFE_ROOT", "caffe_home") for name in names):
            return
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            if any(is_checkout(base / value.value) for base in self._bases()):
                return
        elif not self.python2:
            return
        self._wrap(value, f"{OLD}.root(", ")", "the folder may be no checkout")

    def _on_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str) or not is_within_checkout(node.value):
            return
        parent = self.parent.get(node)
        begins = not (isinstance(parent, ast.BinOp) and parent.right is node) and "%" not in node.value
        is_value = not isinstance(parent, (ast.Expr, ast.JoinedStr, ast.FormattedValue))
        if begins and is_value and not any((base / node.value).exists() for base in self._bases()):
            self._wrap(node, f"{OLD}.place(", ")", "the checkout may not be there")

    def _bases(self) -> list[Path]:
        """Where a script's paths begin: the present folder, and its own."""
        return [Path(), *([self.folder] if self.folder else [])]

    # Calls

    def _on_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            self._on_method(node, function)
        elif self.python2 and isinstance(function, ast.Name) and function.id not in self.defined:
            if function.id == "filter" or (function.id == "map" and _is_none(node.args[:1])):
                self._replace(function, f"{OLD}.{function.id}", f"{function.id}() gave a list or text")
            elif function.id in _LISTS and not self._is_consumed(node):
                self._wrap(node, "list(", ")", f"{function.id}() was a list")
            elif function.id == "execfile" and len(node.args) == 1:
                end = self._span(node)[1] - 1
                self.edits.wrap(end, end, "", ", globals()")
            elif function.id == "sorted" and len(node.args) == 2:
                self._wrap(node.args[1], f"key={OLD}.cmp_to_key(", ")", "sorted takes key, not cmp")
        for keyword in node.keywords if self.python2 else ():
            if keyword.arg == "cmp" and isinstance(function, (ast.Name, ast.Attribute)):
                start = self._span(keyword)[0]
                self.edits.replace(start, start + 3, "key", "sort takes key, not cmp")
                self._wrap(keyword.value, f"{OLD}.cmp_to_key(", ")", "sort takes key, not cmp")
        self._sizes(node)

    def _on_method(self, node: ast.Call, function: ast.Attribute) -> None:
        name, end = function.attr, self._span(node)[1]
        place = self._attribute_span(function)
        if name == "tostring" and not node.args and not node.keywords:
            self._wrap(function.value, f"{OLD}.tobytes(", ")", "arrays have tobytes, not tostring")
            self.edits.replace(self._span(function.value)[1], end, "", "arrays have tobytes, not tostring")
        elif self._full(function) == "yaml.load" and len(node.args) == 1 and not node.keywords:
            self.edits.replace(*place, "safe_load", "yaml.load(x) reads what is safe")
        if not self.python2:
            return
        if name in _ITERATORS and not node.args:
            self.edits.replace(*place, _ITERATORS[name], f".{name}() is Python 2's")
        elif name == "has_key" and len(node.args) == 1:
            self._wrap(node, f"{OLD}.has_key(", "", ".has_key() is Python 2's")
            self.edits.replace(self._span(function.value)[1], self._open_bracket(node), ", ", "")
        elif name == "next" and not node.args:
            self._wrap(node, f"{OLD}.next(", "", ".next() is next()")
            self.edits.replace(self._span(function.value)[1], end, ")", ".next() is next()")
        elif name in _VIEWS and not node.args and not node.keywords and not self._is_consumed(node):
            self._wrap(node, "list(", ")", f".{name}() was a list")
        elif name == "sort" and len(node.args) == 1 and isinstance(node.args[0], (ast.Lambda, ast.Name)):
            self._wrap(node.args[0], f"key={OLD}.cmp_to_key(", ")", "sort takes key, not cmp")
        elif name in _KEYED and node.args and self._reads_databases():
            self._wrap(function.value, f"{OLD}.keyed(", ")", "a database's keys and values are bytes")
        elif name == "decode" or (name == "encode" and _is_codec(node.args[:1])):
            more = ", " if node.args or node.keywords else ""
            self._wrap(node, f"{OLD}.{name}(", "", "text is text already")
            self.edits.replace(self._span(function.value)[1], self._open_bracket(node), more, "")
        elif self._full(function) == "tempfile.NamedTemporaryFile" and not (
            node.args or "mode" in ast.unparse(node)
        ):
            self._wrap(node, f"{OLD}.temporary(", ")", "files took text and bytes")
        elif self._full(function) in ("pickle.load", "pickle.loads"):
            self._wrap(function.value, f"{OLD}.pickled(", ")", "pickles of Python 2 hold text as bytes")

    def _open_bracket(self, node: ast.Call) -> int:
        return self.text.index("(", self._span(node.func)[1]) + 1

    def _reads_databases(self) -> bool:
        return any(name in ("lmdb", "leveldb", "plyvel") for name in self.modules.values())

    def _is_consumed(self, node: ast.AST) -> bool:
        """Whether a list is not needed: something runs through it once, here."""
        parent = self.parent.get(node)
        if isinstance(parent, ast.Call):
            return node in parent.args and called(parent) in (_CONSUMERS - {"len"}) | {"join", "extend"}
        if isinstance(parent, (ast.For, ast.comprehension)):
            is_view = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            return parent.iter is node and not (is_view and isinstance(parent, ast.For))
        if isinstance(parent, ast.Compare):
            return node in parent.comparators and all(
                isinstance(op, (ast.In, ast.NotIn)) for op in parent.ops
            )
        return isinstance(parent, ast.Starred)

    def _on_Compare(self, node: ast.Compare) -> None:
        if not self.python2 or len(node.ops) != 1 or not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            return
        sides = (node.left, node.comparators[0])
        if any(isinstance(s, ast.Constant) and type(s.value) in (str, int, float, bytes) for s in sides):
            start, end = self._span(node.left)[1], self._span(node.comparators[0])[0]
            equal = "==" if isinstance(node.ops[0], ast.Is) else "!="
            words = self.text[start:end]
            at = start + words.index("is")
            stop = at + 2
            if equal == "!=":
                stop = start + words.index("not") + 3
            self.edits.replace(at, stop, equal, "text and numbers are compared by ==")

    # Classes and imports

    def _on_ClassDef(self, node: ast.ClassDef) -> None:
        methods = {f.name: f for f in node.body if isinstance(f, ast.FunctionDef)}
        if not self.python2:
            return
        for old, new in (("next", "__next__"), ("__nonzero__", "__bool__"), ("__div__", "__truediv__")):
            if old in methods and new not in methods and (old != "next" or "__iter__" in methods):
                start = self.text.index(old, self._span(methods[old])[0] + 4)
                self.edits.replace(start, start + len(old), new, f"{old} is called {new}")
        self._metaclass(node)

    def _metaclass(self, node: ast.ClassDef) -> None:
        for part in node.body:
            if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__metaclass__":
                why = "the metaclass stands among the bases"
                given = f"metaclass={ast.unparse(part.value)}"
                if node.bases:
                    end = self._span(node.bases[-1])[1]
                    self.edits.wrap(end, end, "", f", {given}", why)
                else:
                    start = self.text.index(node.name, self._span(node)[0] + 5) + len(node.name)
                    end = self.text.index(":", start)
                    self.edits.replace(start, end, f"({given})", why)

    def _on_Import(self, node: ast.Import) -> None:
        [alias, *more] = node.names
        if not more and self._is_beside(alias.name):
            as_name = f" as {alias.asname}" if alias.asname else ""
            self._replace(node, f"from . import {alias.name}{as_name}", "a module of the same package")

    def _on_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level and self._is_beside(node.module.split(".")[0]):
            start = self.text.index(node.module, self._span(node)[0] + 4)
            self.edits.replace(start, start, ".", "a module of the same package")

    def _is_beside(self, name: str) -> bool:
        folder = self.folder
        if not self.python2 or folder is None or not (folder / "__init__.py").exists():
            return False
        return any((folder / f).exists() for f in (f"{name}.py", f"{name}/__init__.py", f"{name}.pyx"))


def _is_none(nodes: list[ast.expr]) -> bool:
    return any(isinstance(node, ast.Constant) and node.value is None for node in nodes)


def _is_codec(nodes: list[ast.expr]) -> bool:
    return any(isinstance(node, ast.Constant) and node.value in CODECS for node in nodes)
