"""Tokens and statements of Python 2, which Python 3's own tokenizer refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PATTERN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>(?:[uU][rR]?|[bB][rR]?|[rR][bB]?|[fF][rR]?|[rR][fF])?
        (?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<number>0[xX][\da-fA-F_]+[lL]?|0[bBoO][\d_]+[lL]?|(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d+)?[jJlL]?)
    |(?P<name>[^\W\d]\w*)
    |(?P<newline>\n)
    |(?P<space>[ \t\f\r\ufeff]+|\\\r?\n)
    |(?P<op><>|<<=|>>=|\*\*=|//=|->|:=|!=|==|<=|>=|[-+*/%&|^@]=|<<|>>|\*\*|//|\.\.\.|.)""",
    re.VERBOSE | re.DOTALL,
)
_COMPOUND = {"if", "elif", "else", "while", "for", "try", "except", "finally", "with", "def", "class"}


@dataclass(frozen=True)
class Token:
    """A piece of text: comment, string, number, name, newline, space or op."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.start + len(self.text)


def tokens(text: str) -> list[Token]:
    """Every piece of the text, in order; nothing is left out."""
    return [Token(str(m.lastgroup), m.group(), m.start()) for m in _PATTERN.finditer(text)]


def statements(text: str) -> Iterator[list[Token]]:
    """The simple statements and the heads of compound ones, without spaces and comments."""
    statement: list[Token] = []
    depth, lambdas = 0, [0]
    for token in tokens(text):
        if token.kind in ("space", "comment"):
            continue
        if token.kind == "newline":
            if depth == 0 and statement:
                yield statement
                statement, lambdas = [], [0]
            continue
        if token.text in "([{":
            depth += 1
            lambdas.append(0)
        elif token.text in ")]}" and depth:
            depth -= 1
            lambdas.pop()
        if depth == 0 and token.text == ";" and token.kind == "op":
            if statement:
                yield statement
            statement, lambdas = [], [0]
            continue
        statement.append(token)
        if token.kind == "name" and token.text == "lambda":
            lambdas[-1] += 1
        elif token.text == ":" and token.kind == "op":
            if lambdas[-1]:
                lambdas[-1] -= 1
            elif depth == 0 and statement[0].text in _COMPOUND:
                yield statement
                statement = []
    if statement:
        yield statement


def split_at(parts: list[Token], separator: str) -> list[list[Token]]:
    """Tokens between separators that are in no brackets."""
    found: list[list[Token]] = [[]]
    depth = 0
    for token in parts:
        depth += (token.text in "([{") - (token.text in ")]}") if token.kind == "op" else 0
        if depth == 0 and token.text == separator and token.kind in ("op", "name"):
            found.append([])
        else:
            found[-1].append(token)
    return found


def closing(parts: list[Token], start: int) -> int:
    """The index of the bracket that closes the one at ``start``; the last index where none does."""
    depth = 0
    for i in range(start, len(parts)):
        if parts[i].kind == "op":
            depth += (parts[i].text in "([{") - (parts[i].text in ")]}")
            if depth == 0:
                return i
    return len(parts) - 1
