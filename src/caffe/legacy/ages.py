"""Which Python a script that Python 3 can read was written for."""

from __future__ import annotations

import ast

RENAMED_MODULES = {
    "copy_reg": "copyreg", "urlparse": "urllib.parse", "Queue": "queue", "ConfigParser": "configparser",
    "Tkinter": "tkinter", "commands": "subprocess", "HTMLParser": "html.parser", "SocketServer": "socketserver",
    "BaseHTTPServer": "http.server", "SimpleHTTPServer": "http.server", "httplib": "http.client",
    "cookielib": "http.cookiejar", "thread": "_thread", "__builtin__": "builtins", "exceptions": "builtins",
}  # fmt: skip
"""Modules of Python 2's standard library, and what they are called since."""
_OLD_MODULES = {*RENAMED_MODULES, "cPickle", "StringIO", "cStringIO", "urllib2", "sets"}
_METHODS = {
    "iteritems", "itervalues", "iterkeys", "viewitems", "viewkeys", "viewvalues", "has_key", "maxint", "izip", "imap",
    "ifilter", "setdefaultencoding",
}  # fmt: skip
_NAMES = {"xrange", "raw_input", "basestring", "execfile"}
_COMMON_NAMES = {"cmp", "unicode", "unichr", "reload", "long"}
"""Those that scripts for both Pythons have, too, where they ask for the version."""
_CHANGING = frozenset({"append", "pop", "sort", "extend", "insert", "remove", "reverse", "+"})
_ITERATORS = {
    **dict.fromkeys(("zip", "map", "filter"), _CHANGING | {"[]", "len", "index", "count"}),
    "range": _CHANGING,
}
"""What gave lists, and what these could be used for that today's iterators cannot."""
_NEW = (
    ast.JoinedStr, ast.AnnAssign, ast.AsyncFunctionDef, ast.Nonlocal, ast.NamedExpr, ast.YieldFrom, ast.MatMult,
)  # fmt: skip
"""What only Python 3 has."""


def is_python3(tree: ast.Module) -> bool:
    """Whether there is anything that only Python 3 has."""
    return any(isinstance(node, _NEW) or _is_new(node) for node in ast.walk(tree))


def is_python2(tree: ast.Module) -> bool:
    """Whether names say that a script, which Python 3 can read, was written for Python 2."""
    if is_python3(tree):
        return False
    nodes = list(ast.walk(tree))
    own = defined(tree)
    asks = {"version_info", "PY2", "PY3"} & {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    asks |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and ast.unparse(n) == "sys.version"}
    names = _NAMES if asks or "*" in own else _NAMES | _COMMON_NAMES
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in names - own:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _METHODS:
            return True
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        old = any(m in _OLD_MODULES for m in modules)
        if old and not _guarded(tree, node):
            return True
    return _takes_iterators_for_lists(nodes, own)


def _takes_iterators_for_lists(nodes: list[ast.AST], own: set[str]) -> bool:
    """Whether what zip, map, filter or range give is used as only Python 2's lists can be."""
    lazy = {name: node for name, node in _ITERATORS.items() if name not in own}
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            values = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
            kinds = {_called(value) for value in values}
            if len(kinds) == 1 and (kind := kinds.pop()) in _ITERATORS and kind not in own:
                lazy[node.name] = _ITERATORS[kind]
    held = _held(nodes, lazy)
    for node in nodes:
        value, use = None, ""
        if isinstance(node, ast.Subscript):
            value, use = node.value, "[]"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            value, use = node.func.value, node.func.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
            value, use = node.args[0], node.func.id
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            value, use = node.left if _called(node.left) in lazy else node.right, "+"
        if value is not None and use in lazy.get(_called(value), held.get(ast.unparse(value), frozenset())):
            return True
    return False


def _held(nodes: list[ast.AST], lazy: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """What a script keeps of such calls, and of nothing else, by name or attribute: what it cannot be used for."""
    held: dict[str, frozenset[str]] = {}
    other: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and _called(node.value) in lazy:
            held[ast.unparse(node.targets[0])] = lazy[_called(node.value)]
        elif isinstance(node, ast.Assign):
            stored = [
                n for t in node.targets for n in ast.walk(t) if isinstance(getattr(n, "ctx", None), ast.Store)
            ]
            other.update(map(ast.unparse, stored))
        elif isinstance(node, ast.arg):
            other.add(node.arg)
        elif isinstance(node, (ast.For, ast.comprehension, ast.With, ast.AugAssign, ast.Global)):
            other.update(
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
            other.update(node.names if isinstance(node, ast.Global) else ())
    return {name: uses for name, uses in held.items() if name not in other}


def _called(node: ast.AST | None) -> str:
    """The name of the function, or of the method of one's own object, that an expression calls."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "self"
    ):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


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


def defined(tree: ast.Module) -> set[str]:
    """The names that a script gives a meaning to."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((a.asname or a.name).split(".")[0] for a in node.names)
    return names
