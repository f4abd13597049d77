"""Checks of Python scripts that use pycaffe, without running them."""

from __future__ import annotations

import ast
import importlib.util
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import caffe
from caffe import net_spec
from caffe.doctor.finding import NOTE, PROBLEM, Finding
from caffe.errors import CaffeError, close_names
from caffe.legacy.renewal import OLD

# What stops Python 3 from reading the file: pattern, message, fix
_PYTHON2_LINES = (
    (
        r"^\s*print\s+[^\s(=.,)]|^\s*print\s*>>|^\s*print\s*$",
        "print is a function in Python 3",
        "Write print(…)",
    ),
    (r"^\s*except\s+[\w., ()]+,\s*\w+\s*:", "'except A, b' is Python 2", "Write 'except A as b'"),
    (r"^\s*exec\s+[\"'\w]", "exec is a function in Python 3", "Write exec(…)"),
    (r"^\s*raise\s+\w+\s*,", "'raise A, b' is Python 2", "Write 'raise A(b)'"),
    (r"<>", "'<>' is Python 2", "Write !="),
    (r"\b0\d+\b(?!\.)", "Numbers with a leading 0 are octal in Python 2", "Write 0o…"),
    (r"\b\d+[lL]\b", "Numbers ending in L are Python 2", "Leave out the L"),
)

_PYTHON2_NAMES = {
    "xrange": "range",
    "raw_input": "input",
    "unicode": "str",
    "basestring": "str",
    "unichr": "chr",
    "long": "int",
    "reduce": "functools.reduce",
    "execfile": "exec(open(…).read())",
    "file": "open",
}
_PYTHON2_METHODS = {"iteritems": "items", "itervalues": "values", "iterkeys": "keys", "has_key": "in"}
_PYTHON2_MODULES = {
    "cPickle": "pickle",
    "StringIO": "io",
    "cStringIO": "io",
    "urllib2": "urllib.request",
    "Queue": "queue",
    "ConfigParser": "configparser",
    "Tkinter": "tkinter",
    "commands": "subprocess",
}

# Left pycaffe itself in 2014 and 2015
_REMOVED_METHODS = {
    "set_phase_test": "Give the phase to the constructor: caffe.Net(model, weights, caffe.TEST)",
    "set_phase_train": "Give the phase to the constructor: caffe.Net(model, caffe.TRAIN)",
    "set_mode_cpu": "Call caffe.set_mode_cpu()",
    "set_mode_gpu": "Call caffe.set_mode_gpu()",
    "set_device": "Call caffe.set_device(0)",
    "set_input_scale": "Set it on a caffe.io.Transformer, or give input_scale to caffe.Classifier",
    "set_raw_scale": "Set it on a caffe.io.Transformer, or give raw_scale to caffe.Classifier",
    "set_channel_swap": "Set it on a caffe.io.Transformer, or give channel_swap to caffe.Classifier",
}
NOT_LOOKED_AT = "The rest was not looked at: Python 3 cannot read the file"
_MISSING = re.compile(r"The module '?([\w.]+)'? is (?:Python 2's|not installed)")
_READ = (".prototxt", ".caffemodel", ".binaryproto", ".solverstate", ".npy")


def check(path: Path) -> list[Finding]:
    """What would not work in a script."""
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        return [Finding(str(path), 0, PROBLEM, f"cannot be read: {error}")]
    return check_text(str(path), text)


def check_text(name: str, text: str) -> list[Finding]:
    """What would not work in a script's text."""
    try:
        tree = ast.parse(text, name)
    except SyntaxError as error:
        findings = list(_python2_syntax(name, text))
        if not findings:
            findings = [Finding(name, error.lineno or 0, PROBLEM, f"This is not Python 3: {error.msg}")]
        return [*findings, Finding(name, 0, NOTE, NOT_LOOKED_AT)]
    return sorted(set(_Script(name).check(tree)))


def missing_module(finding: Finding) -> str | None:
    """The module that a finding says cannot be imported; None if it is about something else."""
    match = _MISSING.fullmatch(finding.message)
    return match and match.group(1)


def _python2_syntax(file: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("#")[0]
        for pattern, message, fix in _PYTHON2_LINES:
            bare = re.sub(r"(['\"]).*?\1", "''", code) if pattern in ("<>",) or "\\d" in pattern else code
            if re.search(pattern, bare):
                yield Finding(file, number, PROBLEM, message, fix)
                break


class _Script:
    """One script: what its names stand for, and what was found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.names = {OLD: "caffe.legacy.shims"}  # name in the script → what of caffe it stands for
        self.transformers: set[str] = set()
        self.defined: set[str] = set()

    def check(self, tree: ast.Module) -> Iterator[Finding]:
        nodes = list(ast.walk(tree))
        for node in nodes:
            self._learn(node)
        written = set(_written(nodes))
        joined = {id(c) for n in nodes if isinstance(n, (ast.BinOp, ast.JoinedStr)) for c in ast.walk(n)}
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from self._import(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield from self._name(node)
            elif isinstance(node, ast.Assign):
                yield from self._assignment(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._string(node, node.value, id(node) in joined or node.value in written)

    def _problem(self, node: ast.AST, message: str, fix: str = "") -> Finding:
        return Finding(self.file, getattr(node, "lineno", 0), PROBLEM, message, fix)

    def _note(self, node: ast.AST, message: str, fix: str = "") -> Finding:
        return Finding(self.file, getattr(node, "lineno", 0), NOTE, message, fix)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "caffe":
                    self.names[alias.asname or "caffe"] = alias.name if alias.asname else "caffe"
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "caffe":
            for alias in node.names:
                self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self.defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self.defined.add(node.id)
        elif isinstance(node, ast.arg):
            self.defined.add(node.arg)
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func).endswith("Transformer")
        ):
            self.transformers.update(ast.unparse(target) for target in node.targets)

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if isinstance(node, ast.ImportFrom) and node.level:
            return
        for module in modules:
            top = module.split(".")[0]
            if top in _PYTHON2_MODULES:
                yield self._problem(
                    node, f"The module {top} is Python 2's", f"Import {_PYTHON2_MODULES[top]}"
                )
            elif top == "caffe":
                if module != "caffe" and not _is_module(module):
                    yield self._problem(node, f"There is no module {module} here")
            elif not _is_module(top) and not any(self._beside(name) for name in (top, f"{top}.py")):
                yield self._problem(node, f"The module '{top}' is not installed")
        if isinstance(node, ast.ImportFrom) and node.module == "caffe":
            for alias in node.names:
                if alias.name != "*" and not _is_public(alias.name):
                    yield self._problem(
                        node, f"caffe has no '{alias.name}'", close_names(alias.name, caffe.__all__)
                    )

    def _beside(self, name: str) -> bool:
        return (Path(self.file).parent / name).exists()

    def _stands_for(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            base = self._stands_for(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def _attribute(self, node: ast.Attribute) -> Iterator[Finding]:
        base = self._stands_for(node.value)
        if base == "caffe" and not _is_public(node.attr):
            yield self._problem(node, f"caffe has no '{node.attr}'", close_names(node.attr, caffe.__all__))
        elif base.startswith("caffe.params."):
            try:
                getattr(getattr(net_spec.params, base.split(".")[2]), node.attr)
            except CaffeError as error:
                yield self._problem(node, error.message, error.fix or "")
        elif base == "caffe.layers":
            yield from self._layer_type(node, node.attr)
        elif node.attr in _PYTHON2_METHODS and not base:
            yield self._problem(node, f".{node.attr} is Python 2's", f"Write {_PYTHON2_METHODS[node.attr]}")

    def _layer_type(self, node: ast.AST, name: str) -> Iterator[Finding]:
        from caffe.layer_factory import layer_class, layer_type_list

        if name.startswith("_") or name in layer_type_list():
            return
        try:
            layer_class(name)
        except CaffeError as error:
            yield self._problem(node, error.message, error.fix or "")

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        function = self._stands_for(node.func)
        if function.startswith("caffe.layers."):
            kind = function.split(".")[2]
            given = [k for k in node.keywords if k.arg and k.arg not in ("ntop", "in_place")]
            for keyword in given:
                if not net_spec.takes(kind, str(keyword.arg)):
                    error = net_spec.unknown_parameter(kind, str(keyword.arg))
                    yield self._problem(keyword.value, f"{kind}: {error.message}", error.fix or "")
        if isinstance(node.func, ast.Attribute) and node.func.attr in _REMOVED_METHODS:
            owner = ast.unparse(node.func.value)
            transformer = owner in self.transformers or "transformer" in owner.lower()
            if not self._stands_for(node.func.value) and not transformer:
                message = f".{node.func.attr}() left pycaffe's nets in 2014 or 2015"
                yield self._problem(node, message, _REMOVED_METHODS[node.func.attr])
        if function in ("caffe.Classifier", "caffe.Detector"):
            for keyword in node.keywords:
                if keyword.arg == "gpu":
                    yield self._problem(node, "The argument gpu is gone", "Call caffe.set_mode_gpu() before")
                if keyword.arg == "mean_file":
                    yield self._problem(node, "The argument mean_file is gone", "Give mean=np.load(…)")

    def _name(self, node: ast.Name) -> Iterator[Finding]:
        if node.id in _PYTHON2_NAMES and node.id not in self.defined and node.id not in self.names:
            yield self._problem(node, f"{node.id} is Python 2's", f"Write {_PYTHON2_NAMES[node.id]}")

    def _assignment(self, node: ast.Assign) -> Iterator[Finding]:
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr in ("data", "diff"):
                text = ast.unparse(target)
                if ".blobs[" in text or ".params[" in text:
                    yield self._problem(
                        node, f"{text} cannot be replaced", f"Assign into it: {text}[...] = …"
                    )

    def _string(self, node: ast.Constant, value: str, unknown: bool) -> Iterator[Finding]:
        if "build/tools/" in value or "build/examples/" in value:
            yield self._note(
                node, f"'{value}' is a program of the original", "Use the caffe command (caffe --help)"
            )
        named = value.endswith(_READ) and not value.startswith(".") and not re.search(r"[%{*\s]", value)
        if named and not unknown and not Path(value).exists() and not self._beside(value):
            yield self._note(node, f"The file '{value}' does not exist from here")


def _written(nodes: list[ast.AST]) -> Iterator[str]:
    """File names that the script writes: opened with 'w', given to save and the like."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        strings = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        name = ast.unparse(node.func).split(".")[-1]
        if name in ("save", "save_hdf5", "dump", "savez", "imsave") or (
            name == "open" and len(strings) > 1 and set(strings[1]) & set("wax")
        ):
            yield from strings[:1]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _is_public(name: str) -> bool:
    return name in dir(caffe) or name.startswith("__") or _is_module(f"caffe.{name}")
