"""Progress bars of the tools: drawn on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def bar(what: str, total: int | None, *, start: int = 0, of_bytes: bool = False) -> Iterator[Bar]:
    """A bar of ``total`` steps; ``advance(n)`` moves it."""
    if not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    columns += [DownloadColumn(), TransferSpeedColumn()] if of_bytes else [MofNCompleteColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, completed=start)

        class Drawn(Bar):
            def advance(self, steps: int = 1) -> None:
                progress.advance(task, steps)

        yield Drawn()


class Bar:
    """A bar nobody sees."""

    def advance(self, steps: int = 1) -> None:
        """Move on by ``steps``."""


def track(items: Iterable[T], what: str, total: int | None = None, start: int = 0) -> Iterator[T]:
    """The items, with a bar that moves for each."""
    with bar(what, total, start=start) as progress:
        for item in items:
            yield item
            progress.advance()
