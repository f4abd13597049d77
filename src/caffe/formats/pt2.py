"""Programs of torch.export (.pt2), read without running what a stranger may have put there.

Loading one by torch alone unpickles weights, constants and sample inputs, evaluates sizes and guards as Python, and
calls whatever function a node names. Here an archive holds nothing but what torch.export.save writes for tensors, and
its graph nothing but operations on them.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from caffe.errors import MissingFileError, ParseError
from caffe.torch_private import without_guards

_ENTRIES = re.compile(
    r"data/weights/(weight_\d+|\w+_weights_config\.json|\w+\.pt)"
    r"|data/constants/(tensor_\d+|\w+_constants_config\.json|\w+\.pt)"
    r"|data/sample_inputs/\w+\.pt|models/\w+\.json|extra/.*"
    r"|archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)"
    r"|serialized_(exported_program|state_dict|constants|example_inputs)\.(json|pt)"  # torch 2.6 and before
)
"""Names in an archive, behind its folder; others, such as custom_obj_0, are pickled objects or machine code."""
_PROGRAM = re.compile(r"(^|/)(models/|serialized_exported_program)")
_OPERATIONS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|higher_order)\.(?!from_file)\w+(\.\w+)?"
    r"|_operator\.(eq|ne|l[et]|g[et]|neg|pos|abs|not_|and_|or_|xor|[lr]shift|getitem|add|sub|mul|(true|floor)div|mod|pow)"
    r"|math\.(trunc|ceil|floor|sqrt)|torch\.(_sym_\w+|sym_\w+)"
)
_SIZES = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Mod|Max|Min|Abs|Eq|Equality|Ne|Unequality|Lt|StrictLessThan|Le|LessThan"
    r"|Gt|StrictGreaterThan|Ge|GreaterThan|And|Or|Not|[Tt]rue|[Ff]alse|Piecewise|ExprCondPair|FloorDiv|ModularIndexing"
    r"|Where|PythonMod|CleanDiv|(Ceil|Floor|Round|Trunc)ToInt|CeilDiv|[LR]Shift|PowByNatural|FloatPow|(Float|Int)TrueDiv"
    r"|IsNonOverlappingAndDenseIndicator|TruncToFloat|RoundDecimal|ToFloat|Identity|oo|int_oo"
)
"""What expressions of sizes are made of, besides symbols (s0, u1)."""
_SYMBOL = re.compile(r"[a-z]+\d+")
_POWERS = ("Pow", "PowByNatural", "FloatPow", "LShift")
_LARGEST_POWER = 8
_NODES = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp),
    *(ast.Compare, ast.operator, ast.unaryop, ast.cmpop),
)


def load_program(path: str | os.PathLike[str]) -> torch.export.ExportedProgram:
    """The program of a .pt2 file. Raises MissingFileError; ParseError for a damaged one, or one that could run code."""
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise MissingFileError("There is no such file", file=name)
    try:
        clean = _clean(name)
        with _weights_only():
            program = torch.export.load(clean)
    except ParseError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ParseError(
            f"torch.export cannot load it: {first}", file=name, fix="It may be cut off, or of a newer PyTorch"
        ) from None
    without_guards(program)
    return program


def _clean(path: str) -> io.BytesIO:
    """The archive written anew of the entries that were looked at, so that torch reads just those."""
    clean, seen = io.BytesIO(), set()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(clean, "w") as copy:
        if not any(_PROGRAM.search(name) for name in archive.namelist()):
            raise ParseError("holds no program of torch.export", file=path, fix="It may be cut off")
        for entry in archive.infolist():
            folder, _, inner = entry.filename.partition("/")
            if not inner:
                folder, inner = "", folder
            if not _ENTRIES.fullmatch(inner) or inner in seen or entry.compress_type != zipfile.ZIP_STORED:
                raise ParseError(
                    f"entry '{entry.filename}' is none that torch.export.save writes for a program of tensors",
                    file=path,
                    fix="Such an entry may run code when it is loaded: ask for an .onnx, or export the module yourself",
                )
            seen.add(inner)
            data = archive.read(entry)
            if inner.endswith(".json"):
                _check(json.loads(data), path)
            copy.writestr(zipfile.ZipInfo(entry.filename), data)
    clean.seek(0)
    return clean


def _check(value: Any, path: str) -> None:
    """Raise ParseError where a graph names a function, or a size, that is none."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack.extend(part)
        elif isinstance(part, dict):
            stack.extend(part.values())
            nodes = part.get("nodes")
            for node in nodes if isinstance(nodes, list) else ():
                target = node.get("target") if isinstance(node, dict) else None
                if not isinstance(target, str) or not _OPERATIONS.fullmatch(target):
                    raise ParseError(f"node of '{target}': no operation on tensors", file=path)
            size = part.get("expr_str")
            if size is not None and not (isinstance(size, str) and _is_size(size)):
                raise ParseError(f"'{str(size)[:60]}' is no expression of sizes", file=path)


def _is_size(text: str) -> bool:
    if len(text) > 2000:
        return False
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(node) for node in nodes)


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        power = isinstance(node.func, ast.Name) and node.func.id in _POWERS
        return isinstance(node.func, ast.Name) and (not power or _is_small(node.args[-1:]))
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.LShift)):
        return _is_small([node.right])
    if isinstance(node, ast.Name):
        return any(known.fullmatch(node.id) for known in (_SIZES, _SYMBOL))
    if isinstance(node, ast.Constant):
        text = isinstance(node.value, str) and re.fullmatch(r"[a-z]+\d+|[\d.e+-]+", node.value) is not None
        return text or (isinstance(node.value, (int, float)) and abs(node.value) < 2**64)
    return isinstance(node, _NODES)


def _is_small(exponent: list[ast.expr]) -> bool:
    """Whether an exponent is a small number: some bytes must not ask for a number of gigabytes."""
    node = exponent[0] if exponent else None
    if isinstance(node, ast.Call) and len(node.args) == 1:  # Integer(2)
        node = node.args[0]
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value <= _LARGEST_POWER


@contextmanager
def _weights_only() -> Iterator[None]:
    """Within it torch.load unpickles tensors and containers only, also where torch asks it for more."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    other = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {key: os.environ.pop(key, None) for key in (name, other)}
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update({key: value for key, value in before.items() if value is not None})
