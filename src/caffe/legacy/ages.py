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


def defined(tree: ast.Module) -> set[str]:
    """The names that a script gives a meaning to."""
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
