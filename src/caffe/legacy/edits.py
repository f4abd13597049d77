"""Changes to a text that leave its lines where they are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Change:
    """A line that was changed: its number, before and after, and why."""

    line: int
    before: str
    after: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.why}\n    - {self.before.strip()}\n    + {self.after.strip()}"


@dataclass
class Edits:
    """Replacements and insertions, made all at once. Openings at a place are in the order they were asked for,
    closings in the reverse: who asks for the outer parts first gets well-nested text.
    """

    text: str
    reasons: dict[int, list[str]] = field(default_factory=dict)
    _replaced: dict[tuple[int, int], str] = field(default_factory=dict)
    _openings: dict[int, list[str]] = field(default_factory=dict)
    _closings: dict[int, list[str]] = field(default_factory=dict)

    def replace(self, start: int, end: int, new: str, why: str) -> None:
        """Put ``new`` in the place of text[start:end]."""
        self._replaced[start, end] = new
        self.because(start, why)

    def wrap(self, start: int, end: int, before: str, after: str, why: str = "") -> None:
        """Put text before and after text[start:end]."""
        self._openings.setdefault(start, []).append(before)
        self._closings.setdefault(end, []).insert(0, after)
        if why:
            self.because(start, why)

    def because(self, place: int, why: str) -> None:
        """Note why the line of a place is changed."""
        line = self.text.count("\n", 0, place) + 1
        reasons = self.reasons.setdefault(line, [])
        if why not in reasons:
            reasons.append(why)

    def result(self) -> str:
        """The changed text."""
        places = {*self._openings, *self._closings, *(start for start, _ in self._replaced)}
        replaced = {start: (end, new) for (start, end), new in self._replaced.items()}
        out: list[str] = []
        at = 0
        for place in sorted(places):
            if place < at:
                continue
            out.append(self.text[at:place])
            out += self._closings.get(place, [])
            out += self._openings.get(place, [])
            at = place
            if place in replaced:
                at, new = replaced[place]
                out.append(new)
        out.append(self.text[at:])
        return "".join(out)
