"""A script's text as Python 3 and the libraries of today read it."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from caffe.errors import ParseError
from caffe.legacy import ages, magic, meaning, syntax
from caffe.legacy.edits import Change, Edits
from caffe.legacy.renewal import OLD

HEADER = f"import caffe.legacy.shims as {OLD}  # what Python 2 and the libraries of then had\n"


@dataclass
class Translation:
    """The translated text, of as many lines as the original, and what was changed."""

    text: str
    changes: list[Change] = field(default_factory=list)
    python2: bool = False

    def standing_alone(self) -> str:
        """The text as a file that runs without ``caffe run``."""
        if not self.changes:
            return self.text
        lines = self.text.splitlines(keepends=True)
        at = 0
        while at < len(lines) and lines[at].startswith("#"):
            at += 1
        tree = ast.parse(self.text)
        for node in tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not (is_future or (is_docstring and node is tree.body[0])):
                break
            at = node.end_lineno or at
        return "".join([*lines[:at], HEADER, *lines[at:]])


def translate(
    text: str, file: str = "the script", python2: bool | None = None, assume: bool = False
) -> Translation:
    """A script's text, translated; the same text where there is nothing to do.

    ``python2`` says whether it is of Python 2, where that is known; ``assume`` that it is where nothing in it is of
    Python 3. Raises ParseError for a script that is neither.
    """
    changed = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    reasons: dict[int, list[str]] = {}
    ipython = magic.plain(changed)
    changed = _apply(ipython, reasons)
    tree = _parsed(changed)
    if isinstance(tree, SyntaxError) or (python2 and _FUTURE_PRINT.search(changed) is None):
        python2 = True
        changed = _apply(syntax.modernize(changed), reasons)
        tree = _parsed(changed)
        if isinstance(tree, TabError):
            changed = syntax.spaces_for_tabs(changed)
            reasons.setdefault(tree.lineno or 1, []).append("tabs and spaces are mixed: a tab is up to eight")
            tree = _parsed(changed)
        if isinstance(tree, SyntaxError):
            raise _refused(text, file, tree)
    if python2 is None:
        python2 = ages.is_python2(tree) or (assume and not ages.is_python3(tree))
    folder = Path(file).parent if Path(file).is_file() else None
    changed = _apply(meaning.renew(changed, tree, python2, folder), reasons)
    if changed is not text and isinstance(again := _parsed(changed), SyntaxError):
        raise _refused(changed, file, again)
    if changed == text or (changed == text.replace("\r\n", "\n") and not reasons):
        return Translation(text, python2=python2)
    before, after = text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), changed.split("\n")
    changes = [
        Change(i, before[i - 1], after[i - 1], "; ".join(filter(None, why)))
        for i, why in sorted(reasons.items())
    ]
    return Translation(changed, changes, python2)


_FUTURE_PRINT = re.compile(r"^\s*from\s+__future__\s+import\s[^#\n]*\bprint_function\b", re.MULTILINE)


def _apply(edits: Edits, reasons: dict[int, list[str]]) -> str:
    for line, why in edits.reasons.items():
        known = reasons.setdefault(line, [])
        known += [w for w in why if w not in known]
    return edits.result() if edits.reasons else edits.text


def _parsed(text: str) -> ast.Module | SyntaxError:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.parse(text)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or brackets without end
        return SyntaxError(str(error))


def _refused(text: str, file: str, error: SyntaxError) -> ParseError:
    line = error.lineno or 1
    shown = text.split("\n")[line - 1].strip() if line <= text.count("\n") + 1 else ""
    return ParseError(
        f"Neither Python 3 nor Python 2 can read this: {error.msg}: {shown}", file=file, line=line
    )


def decoded(content: bytes) -> str:
    """A script's text by its coding line, else UTF-8, else Latin-1 as Python 2 let pass."""
    match = re.match(rb"^(?:[^\n]*\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", content)
    for coding in (match.group(1).decode() if match else "utf-8-sig", "utf-8-sig", "latin-1"):
        try:
            return content.decode(coding)
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode("latin-1")
