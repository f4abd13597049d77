"""Heads: the same done to several values, then concatenated, as detectors do at each scale; written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from caffe.export.source.steps import SELF, Step

LEAST = 3
"""Heads that are worth it."""
_CAT = "torch.cat([{all}], "


def gathered(steps: Sequence[Step], attributes: Mapping[str, str], outputs: Sequence[str]) -> list[Step]:
    """The steps with heads of one kind, and the concatenation of what they give, as few steps."""
    return _Gatherer(steps, attributes, outputs).steps


class _Gatherer:
    def __init__(self, steps: Sequence[Step], attributes: Mapping[str, str], outputs: Sequence[str]) -> None:
        self.steps = list(steps)
        self._attributes = attributes
        self._makers = {top: step for step in steps for top in step.tops}
        self._uses = Counter(n for step in steps for n in step.bottoms)
        self._uses.update(outputs)
        self._features: dict[tuple[str, ...], str] = {}
        for step in steps:
            if step.text.startswith(_CAT) and step in self.steps and not self._several(step):
                self._alike(step)

    def _called(self, step: Step) -> str:
        """The module that a step is a call of, if it is that of one value."""
        if len(step.bottoms) > 1 or step.text not in (f"{SELF}({{all}})", f"{SELF}({{0}})"):
            return ""
        return f"self.{self._attributes[step.name]}"

    def _several(self, cat: Step) -> bool:
        """Blocks that each give what several concatenations take, in the same order."""
        heads = [self._makers.get(name) for name in cat.bottoms]
        blocks = [h for h in heads if h is not None and len(h.tops) > 1 and self._called(h)]
        if not LEAST <= len(blocks) == len(heads):
            return False
        rows = list(zip(*(h.tops for h in blocks)))
        cats = [next((s for s in self.steps if tuple(s.bottoms) == row), cat) for row in rows]
        alike = all(s.text == cat.text and tuple(s.bottoms) == row for s, row in zip(cats, rows))
        if not alike or any(self._uses[name] != 1 for row in rows for name in row):
            return False
        calls = ", ".join(f"{self._called(h)}({{{i}}})" for i, h in enumerate(blocks))
        name = f"heads@{cat.tops[0]}"
        first = Step(name, f"zip({calls})", [h.bottoms[0] for h in blocks], [name], named=True)
        axis = cat.text.removeprefix(_CAT)
        text = f"(torch.cat(parts, {axis} for parts in {{0}})"
        self._replace(cats, blocks, [first, Step(cat.name, text, [name], [s.tops[0] for s in cats])])
        return True

    def _alike(self, cat: Step) -> bool:
        """The same steps from several values, the first of each a module's."""
        chains = [self._chain(name) for name in cat.bottoms]
        texts = {tuple(step.text for step in chain[1:]) for chain in chains}
        features = tuple(chain[0].bottoms[0] for chain in chains if chain)
        if not LEAST <= len(set(features)) == len(chains) or len(texts) > 1 or not any(texts):
            return False
        text = "head(feature)"
        for step in chains[0][1:]:
            text = step.text.replace("{all}", "{0}").replace("{0}", text)
        added = []
        if features not in self._features:
            name = self._features[features] = f"features@{cat.tops[0]}"
            added.append(Step(name, "({all})", list(features), [name], named=True))
        name = f"heads@{cat.tops[0]}"
        modules = ", ".join(self._called(chain[0]) for chain in chains)
        added.append(Step(name, f"zip(({modules}), {{0}})", [self._features[features]], [name], named=True))
        axis = cat.text.removeprefix(_CAT)
        text = f"torch.cat([{text} for head, feature in {{0}}], {axis}"
        added.append(Step(cat.name, text, [name], cat.tops, named=True))
        self._replace([cat], [step for chain in chains for step in chain], added)
        return True

    def _chain(self, name: str) -> list[Step]:
        """The steps to a value from the last module's on, where nothing else uses what they give; or none."""
        chain: list[Step] = []
        while (step := self._makers.get(name)) is not None:
            if len(step.bottoms) != 1 or len(step.tops) > 1 or self._uses[name] != 1:
                return []
            chain.insert(0, step)
            if self._called(step):
                return chain
            if SELF in step.text or step.text.count("{0}") + step.text.count("{all}") != 1:
                return []
            name = step.bottoms[0]
        return []

    def _replace(self, cats: Sequence[Step], heads: Sequence[Step], added: Sequence[Step]) -> None:
        at = min(self.steps.index(step) for step in cats)
        gone = {id(step) for step in (*cats, *heads)}
        before = [step for step in self.steps[:at] if id(step) not in gone]
        self.steps = [*before, *added, *(s for s in self.steps[at:] if id(s) not in gone)]
