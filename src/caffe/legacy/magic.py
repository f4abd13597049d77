"""IPython's lines in scripts, as tutorials print them: !commands and %magics."""

from __future__ import annotations

import re

from caffe.legacy.edits import Edits

_PROMPT = re.compile(r"^In ?\[[\d ]*\]:[ \t]?", re.MULTILINE)
_LINE = re.compile(rf"(?:{_PROMPT.pattern}|^)([ \t]*)([!%][^\n]*)$", re.MULTILINE)
_ASSIGNED = re.compile(
    rf"(?:{_PROMPT.pattern}|^)([ \t]*)([\w, ]+?)[ \t]*=[ \t]*!([^=\n][^\n]*)$", re.MULTILINE
)


def plain(text: str) -> Edits:
    """!commands as calls, %magics as nothing: what stands in strings and brackets is left alone."""
    edits = Edits(text)
    if not re.search(r"^[ \t]*[!%]|^In ?\[|=[ \t]*!(?!=)", text, re.MULTILINE):
        return edits
    inside = _inside(text)
    for found in _PROMPT.finditer(text):
        if found.start() not in inside:
            edits.replace(found.start(), found.end(), "", "a prompt of IPython's")
    for found in _ASSIGNED.finditer(text):
        if found.start() not in inside and found.start(3) not in inside:
            call = f"_old.captured({found.group(3).strip()!r}, globals(), locals())"
            start = found.start(3) - 1
            edits.replace(start, found.end(), call, "a command of the shell")
    for found in _LINE.finditer(text):
        if found.start(2) in inside or found.start() in inside:
            continue
        line = found.group(2).rstrip()
        if line.startswith("!"):
            call = f"_old.shell({line[1:].strip()!r}, globals(), locals())"
            edits.replace(found.start(2), found.end(), call, "a command of the shell")
        elif re.match(r"%{1,2}(timeit|time)\s+\S", line) and not line.startswith("%%"):
            statement = re.sub(r"^%\w+\s+(-\S+\s+\d*\s*)*", "", line)
            edits.replace(found.start(2), found.end(), statement, "%time and %timeit: run once, not measured")
        else:
            edits.replace(found.start(2), found.end(), "pass", f"{line.split()[0]} is for notebooks")
    return edits


def _inside(text: str) -> set[int]:
    """Places of line starts that are within strings or brackets."""
    from caffe.legacy.tokens import tokens

    found: set[int] = set()
    depth = 0
    skip = -1
    for token in tokens(text):
        if token.start < skip:
            continue
        if token.kind == "op" and depth == 0 and token.text in "!%":
            before = _PROMPT.sub("", text[text.rfind("\n", 0, token.start) + 1 : token.start])
            if not before.strip() or before.rstrip().endswith("="):
                skip = text.find("\n", token.start)  # the rest of a command is no Python
                skip = len(text) if skip < 0 else skip
                continue
        if token.kind == "string" and "\n" in token.text:
            found.update(range(token.start + 1, token.end))
        elif token.kind == "op":
            depth = max(0, depth + (token.text in "([{") - (token.text in ")]}"))
        if depth and token.kind in ("newline", "space"):
            found.update(range(token.start, token.end + 1))
    return found
