"""The lines of a forward method: steps as statements, short ones nested, values in as few variables as read well."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from caffe.export.source.steps import SELF, Step

WIDTH = 96
"""Of an expression."""
DEPTH = 4
"""Calls in one another."""
_LAYERS = ("Conv", "Linear")
"""What a line begins with, rather than have it in the middle."""
_RESERVED = {"torch", "nn", "F", "self", "math", "super", "range", "x", "y"}


@dataclass
class _Value:
    text: str
    depth: int = 0
    operators: bool = False


def forward(
    steps: Sequence[Step], attributes: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
) -> list[str]:
    """The lines that compute ``outputs`` from ``inputs``, a return at the end; ``attributes`` are of steps by name."""
    return _Writer(steps, attributes, inputs, outputs).lines()


def identifier(name: str, taken: set[str] | frozenset[str] = frozenset()) -> str:
    """A name of Python's for a blob or layer."""
    word = re.sub(r"\W+", "_", name.partition("@")[0]).strip("_") or "value"
    word = f"value_{word}" if word[0].isdigit() else word
    while word in taken or keyword.iskeyword(word) or word in _RESERVED:
        word += "_"
    return word


class _Writer:
    def __init__(
        self,
        steps: Sequence[Step],
        attributes: Mapping[str, str],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        self._steps, self._attributes, self._outputs = steps, attributes, list(outputs)
        self._last = {name: i for i, step in enumerate(steps) for name in step.bottoms}
        self._last.update(dict.fromkeys(outputs, len(steps)))
        self._uses = Counter(n for step in steps for n in step.bottoms)
        self._uses.update(outputs)
        self._variables: dict[str, str] = {}  # values by name
        self._pending: dict[str, _Value] = {}
        for name in inputs:
            self._variables[name] = (
                "x" if len(inputs) == 1 and name == "x" else identifier(name, self._taken())
            )

    def _taken(self) -> set[str]:
        return set(self._variables.values())

    def lines(self) -> list[str]:
        code: list[str] = []
        for i, step in enumerate(self._steps):
            value = self._expression(step)
            if step.text == SELF and not step.bottoms:  # a buffer has a name already
                self._variables[step.tops[0]] = value.text
                continue
            if self._nests(i, value):
                self._pending[step.tops[0]] = value
                continue
            for name in [n for n in self._variables if self._last.get(n, -1) <= i]:
                del self._variables[name]
            targets = self._targets(step)
            if targets != [value.text]:
                code.append(f"{', '.join(targets)} = {value.text}")
        results = [self._value(name).text for name in self._outputs]
        if code and len(results) == 1 and code[-1].startswith(f"{results[0]} = "):
            code[-1] = f"return {code[-1].partition(' = ')[2]}"
        else:
            code.append(f"return {', '.join(results)}")
        return _loops(code)

    def _value(self, name: str) -> _Value:
        return self._pending.pop(name) if name in self._pending else _Value(self._variables[name])

    def _expression(self, step: Step) -> _Value:
        values = [self._value(name) for name in step.bottoms]
        template = step.text.replace("{all}", ", ".join(f"{{{i}}}" for i in range(len(values))))
        for i, value in enumerate(values):
            place = f"{{{i}}}"
            if value.operators and not re.search(rf"[(,\[] ?\{{{i}\}}[,)\]]", template):
                value.text = f"({value.text})"
            template = template.replace(place, value.text)
        text = template.replace(SELF, f"self.{self._attributes.get(step.name, '')}")
        bare = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", step.text))
        return _Value(
            text, 1 + max((v.depth for v in values), default=0), bool(re.search(r" [-+*/>] |^-", bare))
        )

    def _nests(self, i: int, value: _Value) -> bool:
        """Whether the step's value is written where the next step uses it."""
        step = self._steps[i]
        if len(step.tops) > 1 or self._uses[step.tops[0]] != 1:
            return False
        if i + 1 == len(self._steps):
            return self._outputs == step.tops and len(self._outputs) == 1
        following = self._steps[i + 1]
        name = step.tops[0]
        if name not in following.bottoms or len(following.bottoms) > 1:
            return False
        if following.name.startswith("block "):
            return False
        kind = following.made.kind.__name__ if following.made is not None else ""
        if kind.startswith(_LAYERS) and value.depth > 1:
            return False
        if following.text.count("{0}") + following.text.count("{all}") != 1:
            return False
        return value.depth < DEPTH and len(value.text) + len(following.text) < WIDTH

    def _targets(self, step: Step) -> list[str]:
        variable = self._running(step)
        if variable:
            self._variables[step.tops[0]] = variable
            return [variable]
        targets = []
        for name in step.tops:
            if not self._uses[name]:
                targets.append("_")
                continue
            self._variables[name] = identifier(name, self._taken())
            targets.append(self._variables[name])
        return targets

    def _running(self, step: Step) -> str:
        """x for what goes on from step to step, y beside it; nothing for what deserves a name."""
        if step.named or len(step.tops) > 1 or (len(self._outputs) > 1 and step.tops[0] in self._outputs):
            return ""
        users = [s for s in self._steps if step.tops[0] in s.bottoms]
        joined = len(users) == 1 and "torch.cat" in users[0].text
        if "x" not in self._taken():
            return "" if joined else "x"
        alone = len(users) == 1 and not joined and step.tops[0] not in self._outputs
        return "y" if alone and "y" not in self._taken() else ""


def _loops(lines: list[str]) -> list[str]:
    """Three and more of ``x = self.a(x)`` after one another as a loop."""
    looped: list[str] = []
    run: list[str] = []
    for line in [*lines, ""]:
        match = re.fullmatch(r"x = self\.(\w+)\(x\)", line)
        if match:
            run.append(match[1])
            continue
        if len(run) > 2:
            text = ", ".join(f"self.{name}" for name in run)
            looped += [f"for layer in ({text}):", "    x = layer(x)"]
        else:
            looped += [f"x = self.{name}(x)" for name in run]
        run = []
        looped.append(line)
    return looped[:-1]


def wrapped(line: str, width: int) -> list[str]:
    """A line as several, broken inside its outermost parentheses, where it is longer than ``width``."""
    end = "):" if line.endswith("):") else ")"
    head, opening, rest = line.removesuffix(end).partition("(")
    depths = list(accumulate((c in "([{") - (c in ")]}") for c in rest))
    if len(line) <= width or not opening or not line.endswith(end) or min(depths, default=-1) < 0:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    inner = textwrap.wrap(rest, width - len(indent) - 4, break_long_words=False, break_on_hyphens=False)
    return [f"{head}(", *(f"{indent}    {part}" for part in inner), f"{indent}{end}"]
