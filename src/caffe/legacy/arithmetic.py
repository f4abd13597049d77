"""Numbers as Python 2 and old NumPy took them: division, and whole floats as indices and sizes."""

from __future__ import annotations

import ast
import functools

from caffe.legacy.renewal import OLD, Renewal

_FLOATS = {"floor", "ceil", "round", "rint", "around", "sqrt", "float", "exp", "log"}
_INTEGERS = {"int", "len", "ord", "argmax", "argmin", "index", "count", "randint", "long"}
_SIZED = (".reshape", ".randint", ".tile", ".repeat", ".resize", ".linspace", ".eye", ".identity")


class Arithmetic(Renewal):
    """Division, indices, sizes."""

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
            if not isinstance(part, ast.Slice):
                if self._may_be_float(part):
                    self._wrap(part, f"{OLD}.index(", ")", "whole floats were indices")
                continue
            for bound in (part.lower, part.upper, part.step):
                if bound is not None and not self._is_integer(bound):
                    self._wrap(bound, f"{OLD}.bound(", ")", "floats were bounds of slices")

    def _sizes(self, node: ast.Call) -> None:
        full = self._full(node.func)
        if not self.python2 or not full.endswith(_SIZED):
            return
        for argument in node.args:
            parts = argument.elts if isinstance(argument, (ast.Tuple, ast.List)) else [argument]
            for part in parts:
                if self._may_be_float(part):
                    self._wrap(part, f"{OLD}.index(", ")", "whole floats were sizes")

    # What names stand for, whatever the scope

    @functools.cached_property
    def _bindings(self) -> dict[str, list[ast.expr | None]]:
        """The values that each name is given anywhere; None for those that nothing is known of."""
        bindings: dict[str, list[ast.expr | None]] = {}

        def bind(target: ast.expr, value: ast.expr | None) -> None:
            if isinstance(target, ast.Name):
                bindings.setdefault(target.id, []).append(value)
            elif isinstance(target, (ast.Tuple, ast.List)):
                same = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
                is_shape = isinstance(value, ast.Attribute) and value.attr == "shape"
                for i, part in enumerate(target.elts):
                    bind(part, value.elts[i] if same else value if is_shape else None)  # type: ignore[union-attr]

        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    bind(target, node.value)
            elif isinstance(node, ast.AugAssign):
                bind(node.target, ast.BinOp(node.target, node.op, node.value))
            elif isinstance(node, (ast.For, ast.comprehension)):
                bind(node.target, None)
                if isinstance(node.iter, ast.Call):
                    self._bind_loop(bindings, node.target, called(node.iter))
            elif isinstance(node, ast.arg):
                bindings.setdefault(node.arg, []).append(None)
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                bind(node.optional_vars, None)
        return bindings

    @staticmethod
    def _bind_loop(found: dict[str, list[ast.expr | None]], target: ast.expr, called: str) -> None:
        first = target.elts[0] if isinstance(target, ast.Tuple) and called == "enumerate" else target
        if isinstance(first, ast.Name) and called in ("range", "xrange", "enumerate"):
            found[first.id][-1] = ast.Constant(0)

    def _is_integer(self, node: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
        """Whether it is surely an integer (or text, which is no number)."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, (int, str)) or node.value is None
        if isinstance(node, ast.UnaryOp):
            return self._is_integer(node.operand, seen)
        if isinstance(node, ast.BinOp):
            whole = self.divides or not isinstance(node.op, ast.Div)
            return whole and self._is_integer(node.left, seen) and self._is_integer(node.right, seen)
        if isinstance(node, ast.Call):
            name = called(node)
            return name in _INTEGERS or (
                name in ("min", "max", "abs", "sum") and all(self._is_integer(a, seen) for a in node.args)
            )
        if isinstance(node, ast.Subscript):
            return isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
        if isinstance(node, ast.Attribute):
            return node.attr in ("shape", "size", "ndim", "num", "channels", "height", "width")
        if isinstance(node, ast.Name) and node.id in self._bindings:
            return node.id in seen or all(
                value is not None and self._is_integer(value, seen | {node.id})
                for value in self._bindings[node.id]
            )
        return False

    def _may_be_float(self, node: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
        """Whether there is reason to think that it is a float."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, float)
        if isinstance(node, ast.UnaryOp):
            return self._may_be_float(node.operand, seen)
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Div):
                return not self._is_integer(node)
            return any(self._may_be_float(side, seen) for side in (node.left, node.right))
        if isinstance(node, ast.Call):
            return called(node) in _FLOATS
        if isinstance(node, ast.IfExp):
            return self._may_be_float(node.body, seen) or self._may_be_float(node.orelse, seen)
        if isinstance(node, ast.Name) and node.id not in seen:
            values = self._bindings.get(node.id, ())
            return any(v is not None and self._may_be_float(v, seen | {node.id}) for v in values)
        return False


def called(node: ast.Call) -> str:
    """The last word of what is called."""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _is_float(node: ast.expr) -> bool:
    """Whether an operand is surely no integer: a float, text or float(…)."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (float, str, bytes, complex))
    if isinstance(node, ast.BinOp):
        return _is_float(node.left) or _is_float(node.right)
    if isinstance(node, ast.UnaryOp):
        return _is_float(node.operand)
    if isinstance(node, ast.Call):
        return called(node) in ("float", "sqrt", "exp", "log", "float32", "float64")
    return False
