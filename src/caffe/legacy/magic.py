"""IPython's lines in scripts, as tutorials print them: !commands and %magics."""

from __future__ import annotations

import re

from caffe.legacy.edits import Edits
from caffe.legacy.renewal import OLD
from caffe.legacy.tokens import tokens

_PROMPT = re.compile(r"^In ?\[[\d ]*\]:[ \t]?", re.MULTILINE)
_LINE = re.compile(rf"(?:{_PROMPT.pattern}|^)([ \t]*)([!%](?:[^\n]*\\\n)*[^\n]*)$", re.MULTILINE)
_ASSIGNED = re.compile(
    rf"(?:{_PROMPT.pattern}|^)([ \t]*)([\w, ]+?)[ \t]*=[ \t]*!([^=\n][^\n]*)$", re.MULTILINE
)


def plain(text: str) -> Edits:
    """!commands as calls, %magics as nothing: what stands in strings and brackets is left alone."""
    edits = Edits(text)
    if not re.search(r"^[ \t]*[!%]|^In ?\[|=[ \t]*!(?!=)", text, re.MULTILINE):
        return edits
    inside = _inside(text)
    for match in _PROMPT.finditer(text):
        if match.start() not in inside:
            edits.replace(match.start(), match.end(), "", "a prompt of IPython's")
    for match in _ASSIGNED.finditer(text):
        if match.start() not in inside and match.start(3) not in inside:
            call = _call("captured", match.group(3))
            start = match.start(3) - 1
            edits.replace(start, match.end(), call, "a command of the shell")
    for match in _LINE.finditer(text):
        if match.start(2) in inside or match.start() in inside:
            continue
        line = match.group(2).rstrip()
        if line.startswith("!"):
            call = _call("shell", line[1:])
            edits.replace(match.start(2), match.end(), call, "a command of the shell")
        elif re.match(r"%{1,2}(timeit|time)\s+\S", line) and not line.startswith("%%"):
            statement = re.sub(r"^%\w+\s+(-\S+\s+\d*\s*)*", "", line)
            edits.replace(match.start(2), match.end(), statement, "%time and %timeit: run once, not measured")
        else:
            nothing = "pass" + "\n" * line.count("\n")
            edits.replace(match.start(2), match.end(), nothing, f"{line.split()[0]} is for notebooks")
    return edits


def _call(name: str, command: str) -> str:
    """A call with the command, over as many lines as it has."""
    joined = command.replace("\\\n", " ").strip()
    return f"{OLD}.{name}({joined!r}, globals(), locals()" + "\n" * command.count("\n") + ")"


def end_of_command(text: str, start: int) -> int:
    """Where a command that begins here ends: at the end of a line that is not continued."""
    end = text.find("\n", start)
    while end > 0 and text[end - 1] == "\\":
        end = text.find("\n", end + 1)
    return len(text) if end < 0 else end


def _inside(text: str) -> set[int]:
    """Places of line starts that are within strings or brackets."""
    inside: set[int] = set()
    depth = 0
    skip = -1
    for token in tokens(text):
        if token.start < skip:
            continue
        if token.kind == "op" and depth == 0 and token.text in "!%":
            before = _PROMPT.sub("", text[text.rfind("\n", 0, token.start) + 1 : token.start])
            if not before.strip() or before.rstrip().endswith("="):
                skip = end_of_command(text, token.start)  # the rest of a command is no Python
                continue
        if token.kind == "string" and "\n" in token.text:
            inside.update(range(token.start + 1, token.end))
        elif token.kind == "op":
            depth = max(0, depth + (token.text in "([{") - (token.text in ")]}"))
        if depth and token.kind in ("newline", "space"):
            inside.update(range(token.start, token.end + 1))
    return inside
