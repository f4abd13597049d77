"""Classes: what a block's or the net's ``__init__`` and ``forward`` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.export.forms.form import Made, literal
from caffe.export.source.blocks import Block
from caffe.export.source.body import forward, identifier, wrapped
from caffe.export.source.heads import gathered
from caffe.export.source.steps import State, Step

INDENT = "    "
WIDTH = 110
_USUAL: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
"""What torch's windows have where nothing else is said."""


class BlockClass:
    """The class of blocks that are alike but for numbers, which its ``__init__`` takes."""

    def __init__(self, name: str, blocks: Sequence[Block]) -> None:
        self.name, self.blocks = name, blocks
        self._parameters: dict[tuple[str, ...], str] = {}  # by the values in every block
        self._made = [self._open(i) for i in range(len(blocks[0].steps))]

    def _open(self, index: int) -> str:
        """How a step's module is made, with names in place of what differs."""
        steps = [block.steps[index] for block in self.blocks]
        if steps[0].made is None:
            return ""
        attribute = self.blocks[0].attributes[steps[0].name]
        made = [step.made for step in steps if step.made is not None]
        window = "Conv" in made[0].kind.__name__
        arguments = []
        for i in range(len(made[0].args)):
            name = "inputs" if i == 0 else attribute if i == 1 or not window else f"{attribute}_size"
            arguments.append(self._name([m.args[i] for m in made], name))
        given = {k for m in made for k in m.kwargs}
        free = {
            key: [m.kwargs.get(key, _USUAL.get(key)) for m in made]
            for key in [*(k for k in _USUAL if k in given), *sorted(given - _USUAL.keys())]
        }
        for key, values in free.items():  # a padding that is the dilation is called so
            name = "dilation" if key == "padding" and values == free.get("dilation") else key
            arguments.append(f"{key}={self._name(values, name)}")
        return f"{_type(made[0])}({', '.join(arguments)})"

    def _name(self, values: Sequence[Any], name: str) -> str:
        texts = tuple(map(literal, values))
        if len(set(texts)) == 1:
            return texts[0]
        if texts not in self._parameters:
            self._parameters[texts] = identifier(name, set(self._parameters.values()))
        return self._parameters[texts]

    def call(self, block: Block) -> str:
        """How a block is made."""
        index = [id(b) for b in self.blocks].index(id(block))
        return f"{self.name}({', '.join(values[index] for values in self._parameters)})"

    def lines(self) -> list[str]:
        """The class."""
        block = self.blocks[0]
        made = [
            f"self.{block.attributes[step.name]} = {text}"
            for step, text in zip(block.steps, self._made)
            if text
        ]
        inner = {n: f"{block.short(n)}@{n}" for step in block.steps for n in step.tops}
        inputs = ["x"] if len(block.inputs) == 1 else [identifier(n) for n in block.inputs]
        renamed = {**inner, **dict(zip(block.inputs, inputs))}
        steps = [_renamed(step, renamed) for step in block.steps]
        body = forward(steps, block.attributes, inputs, [renamed.get(n, n) for n in block.outputs])
        return _class(self.name, [], list(self._parameters.values()), made, inputs, body)


def _renamed(step: Step, names: Mapping[str, str]) -> Step:
    bottoms, tops = ([names.get(n, n) for n in values] for values in (step.bottoms, step.tops))
    return replace(step, bottoms=bottoms, tops=tops)


def _type(made: Made) -> str:
    own = not made.kind.__module__.startswith("torch.")
    return made.kind.__name__ if own else f"nn.{made.kind.__name__}"


def _class(
    name: str, doc: Sequence[str], parameters: Sequence[str], made: Sequence[str], inputs: Sequence[str],
    body: Sequence[str],
) -> list[str]:  # fmt: skip
    lines = [f"class {name}(nn.Module):", *(INDENT + line if line else "" for line in doc)]
    if made:
        lines += [
            f"{INDENT}def __init__({', '.join(['self', *parameters])}):",
            f"{INDENT * 2}super().__init__()",
        ]
        lines += [INDENT * 2 + line for line in made] + [""]
    lines += [f"{INDENT}def forward({', '.join(['self', *inputs])}):"]
    lines += [INDENT * 2 + line for line in body]
    return [part for line in lines for part in wrapped(line, WIDTH)]


class NetClass:
    """The net's own class, and the state that it is loaded with."""

    def __init__(
        self, name: str, doc: Sequence[str], steps: Sequence[Step], classes: Sequence[BlockClass],
        inputs: Sequence[str], outputs: Sequence[str],
    ) -> None:  # fmt: skip
        self.state: State = {}
        self._owners: dict[int, str] = {}
        self._made: list[str] = []
        self._ties: list[str] = []
        attributes: dict[str, str] = {}
        calls = {id(block): (block, owner.call(block)) for owner in classes for block in owner.blocks}
        members = {id(s): block for block, _ in calls.values() for s in block.steps}
        placed: set[int] = set()
        top: list[Step] = []
        for step in _ordered(steps, [block for block, _ in calls.values()]):
            block = members.get(id(step))
            if block is None:
                top.append(step)
                if step.made is not None or step.state:
                    attributes[step.name] = identifier(step.name, set(attributes.values()))
                    self._add(step, attributes[step.name])
            elif id(block) not in placed:
                placed.add(id(block))
                attribute = identifier(block.name, set(attributes.values()))
                attributes[f"block {id(block)}"] = attribute
                places = ", ".join(f"{{{i}}}" for i in range(len(block.inputs)))
                text = f"{{self}}({places})"
                top.append(Step(f"block {id(block)}", text, block.inputs, block.outputs))
                self._made.append(f"self.{attribute} = {calls[id(block)][1]}")
                for inner in block.steps:
                    self._keep(inner, f"{attribute}.{block.attributes[inner.name]}")
        top = gathered(top, attributes, outputs)
        names = [identifier(n) for n in inputs]
        renamed = dict(zip(inputs, names))
        body = forward(
            [_renamed(s, renamed) for s in top], attributes, names, [renamed.get(n, n) for n in outputs]
        )
        self.lines = _class(name, doc, [], [*self._made, *self._ties], names, body)

    def _add(self, step: Step, attribute: str) -> None:
        if step.made is None:
            value = step.state[""]
            self._made.append(
                f'self.register_buffer("{attribute}", torch.empty({", ".join(map(str, value.shape))}))'
                "  # for inputs of these sizes"
            )
            self.state[attribute] = value
            return
        self._made.append(f"self.{attribute} = {step.made}")
        self._keep(step, attribute)

    def _keep(self, step: Step, path: str) -> None:
        for name, value in step.state.items():
            self.state[f"{path}.{name}"] = value
            if (key := step.shared.get(name)) is not None:
                owner = self._owners.setdefault(key, f"{path}.{name}")
                if owner != f"{path}.{name}":
                    self._ties.append(f"self.{path}.{name} = self.{owner}")


def _ordered(steps: Sequence[Step], blocks: Sequence[Block]) -> list[Step]:
    """The steps with each block's after one another, all that a block needs before it."""
    members = {id(step): block for block in blocks for step in block.steps}
    makers = {top: step for step in steps for top in step.tops}
    ordered: list[Step] = []
    done: set[int] = set()

    def place(step: Step) -> None:
        group = members[id(step)].steps if id(step) in members else [step]
        if id(step) in done:
            return
        done.update(map(id, group))
        for name in dict.fromkeys(n for s in group for n in s.bottoms):
            if name in makers and id(makers[name]) not in map(id, group):
                place(makers[name])
        ordered.extend(group)

    for step in steps:
        place(step)
    return ordered


def tensor_count(state: Mapping[str, torch.Tensor]) -> int:
    """How many values a state has."""
    return sum(value.numel() for value in state.values())
