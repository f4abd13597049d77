"""Python 2's syntax as Python 3's, line by line: print, exec, raise, except, `x`, <>, numbers, tuple parameters."""

from __future__ import annotations

import re

from caffe.legacy.edits import Edits
from caffe.legacy.tokens import Token, closing, split_at, statements

PRINT = "print is a function"
_FUTURE = re.compile(r"^\s*from\s+__future__\s+import\s[^#\n]*\bprint_function\b", re.MULTILINE)


def modernize(text: str) -> Edits:
    """The changes that make Python 3's grammar of Python 2's."""
    edits = Edits(text)
    prints = not _FUTURE.search(text)
    parameters: list[tuple[str, str]] = []  # to be unpacked in front of the next statement
    for parts in statements(text):
        if parameters and parts[0].text != ":":
            unpacked = "".join(f"{names} = {name}; " for names, name in parameters)
            edits.wrap(parts[0].start, parts[0].start, unpacked, "")
            parameters = []
        first = parts[0].text
        if first == "print" and parts[0].kind == "name" and prints:
            _print(edits, parts)
        elif first == "exec" and len(parts) > 1 and not _is_call(parts):
            _exec(edits, parts)
        elif first == "raise":
            _raise(edits, parts)
        elif first == "except":
            _except(edits, parts)
        elif first == "def":
            parameters = _tuple_parameters(edits, parts)
        _lambdas(edits, parts)
        _small(edits, parts)
    return edits


def _is_call(parts: list[Token]) -> bool:
    """Whether a word is followed by one bracket and nothing else."""
    return len(parts) > 1 and parts[1].text == "(" and closing(parts, 1) == len(parts) - 1


def _print(edits: Edits, parts: list[Token]) -> None:
    word, rest = parts[0], parts[1:]
    if not rest:
        edits.replace(word.start, word.end, "print()", PRINT)
        return
    if rest[0].text in ("=", ".", "+=") or (rest[0].text == "," and len(rest) > 1):
        return  # a name
    if _is_call(parts):
        inner = split_at(parts[2:-1], ",")
        by_name = any(len(p) > 1 and p[0].kind == "name" and p[1].text == "=" for p in inner)
        if len(inner) > 1 and not by_name:
            edits.wrap(
                rest[0].start, rest[-1].end, "(", ")", "print of several values in brackets prints a tuple"
            )
        return
    ending = ""
    target = ""
    start = rest[0].start
    if rest[0].text == ">>":
        to, *values = split_at(rest[1:], ",")
        target = f", file={edits.text[to[0].start : to[-1].end]}"
        rest = [t for t in rest if values and values[0] and t.start >= values[0][0].start]
        if not rest:
            edits.replace(word.end, to[-1].end, f"({target[2:]})", PRINT)
            return
        start = rest[0].start
    last = rest[-1]
    if last.text == ",":
        ending, last = ", end=' '", rest[-2]
        edits.replace(rest[-1].start, rest[-1].end, "", PRINT)
    edits.replace(word.end, start, "(", PRINT)
    edits.wrap(last.end, last.end, "", f"{ending}{target})")


def _exec(edits: Edits, parts: list[Token]) -> None:
    code, *spaces = split_at(parts[1:], "in")
    edits.replace(parts[0].end, code[0].start, "(", "exec is a function")
    if spaces:
        edits.replace(code[-1].end, spaces[0][0].start, ", ", "exec is a function")
    edits.wrap(parts[-1].end, parts[-1].end, "", ")")


def _raise(edits: Edits, parts: list[Token]) -> None:
    pieces = split_at(parts[1:], ",")
    if len(pieces) < 2 or not all(pieces):
        return
    why = "'raise E, value' is 'raise E(value)'"
    edits.replace(pieces[0][-1].end, pieces[1][0].start, "(", why)
    if len(pieces) == 3:
        edits.replace(pieces[1][-1].end, pieces[2][0].start, ").with_traceback(", why)
    edits.wrap(parts[-1].end, parts[-1].end, "", ")")


def _except(edits: Edits, parts: list[Token]) -> None:
    pieces = split_at(parts[1:-1], ",")
    if len(pieces) == 2 and all(pieces):
        comma = next(t for t in parts if t.start >= pieces[0][-1].end and t.text == ",")
        edits.replace(comma.start, comma.end, " as", "'except E, name' is 'except E as name'")


def _tuple_parameters(edits: Edits, parts: list[Token]) -> list[tuple[str, str]]:
    start = next((i for i, t in enumerate(parts) if t.text == "("), None)
    if start is None:
        return []
    parameters = []
    for piece in split_at(parts[start + 1 : closing(parts, start)], ","):
        if piece and piece[0].text == "(":
            name = "_" + "_".join(t.text for t in piece if t.kind == "name")
            end = closing(piece, 0)
            parameters.append((edits.text[piece[0].start : piece[end].end], name))
            edits.replace(piece[0].start, piece[end].end, name, "parameters are unpacked in the function")
    return parameters


def _lambdas(edits: Edits, parts: list[Token]) -> None:
    """lambda (a, b): x as lambda _: (lambda a, b: x)(*_)."""
    for i, token in enumerate(parts):
        if token.text != "lambda" or token.kind != "name" or [t.text for t in parts[i + 1 : i + 2]] != ["("]:
            continue
        end = closing(parts, i + 1)
        if [t.text for t in parts[end + 1 : end + 2]] != [":"]:
            continue
        last = end + 1
        depth = 0
        for j in range(end + 2, len(parts)):
            depth += (parts[j].text in "([{") - (parts[j].text in ")]}") if parts[j].kind == "op" else 0
            if depth < 0 or (depth == 0 and parts[j].text in (",", ":") and parts[j].kind == "op"):
                break
            last = j
        why = "parameters are unpacked in the function"
        edits.replace(token.start, parts[i + 1].end, "lambda _: (lambda ", why)
        edits.replace(parts[end].start, parts[end].end, "", why)
        edits.wrap(parts[last].end, parts[last].end, "", ")(*_)")


def _small(edits: Edits, parts: list[Token]) -> None:
    """Operators, numbers and strings."""
    open_quote = False
    for i, token in enumerate(parts):
        text = token.text
        if token.kind == "op" and text == "<>":
            edits.replace(token.start, token.end, "!=", "'<>' is '!='")
        elif token.kind == "op" and text == "`":
            edits.replace(token.start, token.end, ")" if open_quote else "repr(", "backquotes are repr()")
            open_quote = not open_quote
        elif token.kind == "number":
            new = (
                text.rstrip("lL")
                if text[-1] in "lL" and not text.startswith(("0x", "0X"))
                else text.rstrip("L")
            )
            if re.fullmatch(r"0[0-7]+", new) and new.strip("0"):
                new = "0o" + new.lstrip("0")
            elif re.fullmatch(r"0\d+", new):
                new = new.lstrip("0") or "0"
            if new != text:
                edits.replace(token.start, token.end, new, f"the number {text} is written {new}")
        elif token.kind == "string" and text[:2].lower() == "ur":
            edits.replace(token.start, token.start + 2, "r", "ur'…' is r'…'")
        elif token.kind == "name" and text in ("async", "await") and not _is_keyword(parts, i):
            edits.replace(token.start, token.end, text + "_", f"{text} is a keyword")


def _is_keyword(parts: list[Token], i: int) -> bool:
    following = parts[i + 1].text if i + 1 < len(parts) else ""
    return following in ("def", "for", "with") or (parts[i].text == "await" and following[:1].isidentifier())


def spaces_for_tabs(text: str) -> str:
    """Indentation as Python 2 counted it: a tab goes to the next multiple of eight."""
    return re.sub(r"^[ \t]*\t[ \t]*", lambda m: m.group().expandtabs(8), text, flags=re.MULTILINE)
