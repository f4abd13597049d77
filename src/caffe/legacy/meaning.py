"""What Python 3 reads without complaint but takes otherwise: names, methods, lists, division, keys, old modules."""

from __future__ import annotations

import ast
from pathlib import Path

from caffe.legacy.edits import Edits
from caffe.legacy.roots import is_checkout

OLD = "_old"
"""The name under which translated code finds :mod:`caffe.legacy.shims`."""

MODULES = {
    "cPickle", "copy_reg", "StringIO", "cStringIO", "urllib2", "urlparse", "Queue", "ConfigParser", "Tkinter",
    "commands", "HTMLParser", "SocketServer", "BaseHTTPServer", "SimpleHTTPServer", "httplib", "cookielib",
    "__builtin__", "exceptions", "sets", "scipy.misc", "sklearn.cross_validation", "sklearn.grid_search",
    "skimage.filter", "cv2.cv", "cv",
}  # fmt: skip
"""Modules of Python 2, and of libraries of then, that imports still find."""
NAMES = {
    "xrange": "range", "raw_input": "input", "unicode": "str", "basestring": "str", "unichr": "chr", "long": "int",
    "reduce": f"{OLD}.reduce", "file": f"{OLD}.open", "cmp": f"{OLD}.cmp", "reload": f"{OLD}.reload",
    "intern": "str", "buffer": "memoryview",
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
_KEYED = {"put", "get", "delete", "set_key", "set_range", "replace", "pop", "Put", "Get", "Delete"}
_SEARCHED = {"floor", "ceil", "round", "rint", "around", "sqrt"}
_METHODS2 = {*_ITERATORS, "has_key", "maxint", "izip", "imap", "ifilter", "setdefaultencoding"}
_NAMES2 = {"xrange", "raw_input", "basestring", "execfile"}
_NEW = (
    ast.JoinedStr, ast.AnnAssign, ast.AsyncFunctionDef, ast.Nonlocal, ast.NamedExpr, ast.YieldFrom, ast.MatMult,
)  # fmt: skip
"""What only Python 3 has."""


class _Parents(ast.NodeVisitor):
    def __init__(self) -> None:
        self.of: dict[ast.AST, ast.AST] = {}

    def generic_visit(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.of[child] = node
        super().generic_visit(node)


def is_python3(tree: ast.Module) -> bool:
    """Whether there is anything that only Python 3 has."""
    return any(isinstance(node, _NEW) or _is_new(node) for node in ast.walk(tree))


def is_python2(tree: ast.Module) -> bool:
    """Whether names say that a script, which Python 3 can read, was written for Python 2."""
    if is_python3(tree):
        return False
    nodes = list(ast.walk(tree))
    defined = _defined(tree)
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in _NAMES2 - defined:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _METHODS2:
            return True
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        old = any(m in MODULES and "." not in m for m in modules)
        if old and not _guarded(tree, node):
            return True
    return False


def _is_new(node: ast.AST) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.Lambda)) and node.args.kwonlyargs:
        return True
    if isinstance(node, ast.FunctionDef):
        return node.returns is not None or any(a.annotation for a in node.args.args)
    return isinstance(node, ast.Raise) and node.cause is not None


def _guarded(tree: ast.Module, wanted: ast.AST) -> bool:
    """Whether an import stands in a try, beside the one for Python 3."""
    return any(
        isinstance(node, ast.Try)
        and any(
            child is wanted for part in (*node.body, *node.handlers, *node.orelse) for child in ast.walk(part)
        )
        for node in ast.walk(tree)
    )


def _defined(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((a.asname or a.name).split(".")[0] for a in node.names)
    return found


def renew(text: str, tree: ast.Module, python2: bool, folder: Path | None = None) -> Edits:
    """The changes to text that Python 3 can read; of Python 2's meaning only where ``python2``."""
    return _Renewal(text, tree, python2, folder).run()


class _Renewal:
    def __init__(self, text: str, tree: ast.Module, python2: bool, folder: Path | None) -> None:
        self.edits = Edits(text)
        self.text, self.tree, self.python2, self.folder = text, tree, python2, folder
        self.lines = text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        parents = _Parents()
        parents.visit(tree)
        self.parent = parents.of
        self.defined = _defined(tree)
        self.modules: dict[str, str] = {}
        self.caught: set[str] = set()
        self.divides = python2

    def run(self) -> Edits:
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
            bases = (Path(), *([self.folder] if self.folder else []))
            if any(is_checkout(base / value.value) for base in bases):
                return
        elif not self.python2:
            return
        self._wrap(value, f"{OLD}.root(", ")", "the folder may be no checkout")

    # Calls

    def _on_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            self._on_method(node, function)
        elif self.python2 and isinstance(function, ast.Name) and function.id not in self.defined:
            if function.id in _LISTS and not self._is_consumed(node):
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
        elif self._full(function) in ("pickle.load", "pickle.loads"):
            self._wrap(function.value, f"{OLD}.pickled(", ")", "pickles of Python 2 hold text as bytes")

    def _open_bracket(self, node: ast.Call) -> int:
        return self.text.index("(", self._span(node.func)[1]) + 1

    def _reads_databases(self) -> bool:
        return any(name in ("lmdb", "leveldb", "plyvel") for name in self.modules.values())

    def _full(self, node: ast.expr) -> str:
        """A dotted name, with the module's own name in front."""
        if isinstance(node, ast.Attribute):
            return f"{self._full(node.value)}.{node.attr}"
        return self.modules.get(node.id, node.id) if isinstance(node, ast.Name) else ""

    def _is_consumed(self, node: ast.AST) -> bool:
        """Whether a list is not needed: something runs through it once, here."""
        parent = self.parent.get(node)
        if isinstance(parent, ast.Call):
            function = parent.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            return node in parent.args and name in (_CONSUMERS - {"len"}) | {"join", "extend"}
        if isinstance(parent, (ast.For, ast.comprehension)):
            is_view = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            return parent.iter is node and not (is_view and isinstance(parent, ast.For))
        if isinstance(parent, ast.Compare):
            return node in parent.comparators and all(
                isinstance(op, (ast.In, ast.NotIn)) for op in parent.ops
            )
        return isinstance(parent, ast.Starred)

    # Division, indices, comparisons

    def _on_BinOp(self, node: ast.BinOp) -> None:
        if (
            self.divides
            and isinstance(node.op, ast.Div)
            and not (_is_float(node.left) or _is_float(node.right))
        ):
            place = self._operator(node)
            self._wrap(node, f"{OLD}.div(", ")", "/ of integers is //")
            self.edits.replace(place, place + 1, ",", "/ of integers is //")

    def _operator(self, node: ast.BinOp) -> int:
        at, end = self._span(node.left)[1], self._span(node.right)[0]
        while at < end and self.text[at] != "/":
            at = self.text.index("\n", at) if self.text[at] == "#" else at + 1
        return at

    def _on_AugAssign(self, node: ast.AugAssign) -> None:
        if self.divides and isinstance(node.op, ast.Div) and not _is_float(node.value):
            target = self.text[slice(*self._span(node.target))]
            at = self.text.index("/=", self._span(node.target)[1])
            self.edits.replace(at, at + 2, f"= {OLD}.divided({target},", "/= of integers is //=")
            self._wrap(node.value, "", ")", "")

    def _on_Subscript(self, node: ast.Subscript) -> None:
        if not self.python2:
            return
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            bounds = (part.lower, part.upper, part.step) if isinstance(part, ast.Slice) else (part,)
            for bound in bounds:
                if bound is not None and _may_be_float(bound):
                    self._wrap(bound, f"{OLD}.index(", ")", "whole floats were indices")

    def _sizes(self, node: ast.Call) -> None:
        full = self._full(node.func)
        sized = ("numpy.zeros", "numpy.ones", "numpy.empty", "numpy.arange", "numpy.tile", "numpy.repeat")
        if self.python2 and (full in sized or full.endswith((".reshape", ".randint"))):
            for argument in node.args[:1] if full.startswith("numpy") else node.args:
                parts = argument.elts if isinstance(argument, (ast.Tuple, ast.List)) else [argument]
                for part in parts:
                    if _may_be_float(part):
                        self._wrap(part, f"{OLD}.index(", ")", "whole floats were sizes")

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
        return (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()


def _is_float(node: ast.expr) -> bool:
    """Whether an operand is surely no integer: a float, text or float(…)."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (float, str, bytes, complex))
    if isinstance(node, ast.BinOp):
        return _is_float(node.left) or _is_float(node.right)
    if isinstance(node, ast.UnaryOp):
        return _is_float(node.operand)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return name in ("float", "sqrt", "exp", "log", "float32", "float64")
    return False


def _may_be_float(node: ast.expr) -> bool:
    """Whether an index may be a float of a whole value."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            name = part.func.id if isinstance(part.func, ast.Name) else getattr(part.func, "attr", "")
            if name in _SEARCHED:
                return not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "int")
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div):
            return not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "int")
        if isinstance(part, ast.Constant) and isinstance(part.value, float):
            return True
    return False
