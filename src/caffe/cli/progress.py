"""Progress bars of the tools: drawn on a terminal, silent elsewhere and with ``--quiet`` (``CAFFE_PROGRESS=0``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from caffe import logs

T = TypeVar("T")


def wanted() -> bool:
    """Whether bars are drawn."""
    return sys.stderr.isatty() and os.environ.get("CAFFE_PROGRESS") != "0"


@contextmanager
def bar(what: str, total: int | None, *, start: int = 0, of_bytes: bool = False) -> Iterator[Bar]:
    """A bar of ``total`` steps; ``advance(n)`` moves it. Log lines go above it."""
    if not wanted():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.4g}/s" if task.speed else "")

    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    columns += [DownloadColumn(), TransferSpeedColumn()] if of_bytes else [MofNCompleteColumn(), Rate()]
    console = Console(stderr=True, soft_wrap=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=total, completed=start)

        class Drawn(Bar):
            def advance(self, steps: int = 1) -> None:
                progress.advance(task, steps)

        logs.redirect(lambda text: console.print(text, markup=False, highlight=False))
        try:
            yield Drawn()
        finally:
            logs.redirect(None)


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
