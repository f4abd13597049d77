"""The times of a net's layers as a table for a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe.net.net import Net

_SLOWEST = 3
_BAR = 10  # cells


@dataclass
class LayerTime:
    """A layer's milliseconds, forward and backward, its work and what its tops hold."""

    name: str
    type: str
    forward: float
    backward: float
    multiply_adds: int
    memory: int

    @property
    def whole(self) -> float:
        return self.forward + self.backward

    @property
    def gflops(self) -> float:
        """Thousand millions of operations a second in forward; a multiply-add is two."""
        return 2 * self.multiply_adds / self.forward / 1e6 if self.forward else 0.0


def layer_times(net: Net, forward: list[float], backward: list[float]) -> list[LayerTime]:
    """The layers in the net's order, from milliseconds by layer."""
    from caffe.display import multiply_adds

    return [
        LayerTime(
            step.name,
            step.layer.type,
            f,
            b,
            multiply_adds(step),
            4 * sum(blob.count for blob in step.top if all(blob is not other for other in step.bottom)),
        )
        for step, f, b in zip(net.steps, forward, backward)
    ]


def as_json(net: Net, rows: list[LayerTime], iterations: int) -> dict[str, Any]:
    """Everything that the table shows, in milliseconds and bytes."""
    return {
        "net": net.name,
        "iterations": iterations,
        "forward_ms": sum(row.forward for row in rows),
        "backward_ms": sum(row.backward for row in rows),
        "layers": [
            {
                "name": row.name,
                "type": row.type,
                "forward_ms": row.forward,
                "backward_ms": row.backward,
                "multiply_adds": row.multiply_adds,
                "top_bytes": row.memory,
            }
            for row in rows
        ],
    }


def show(net: Net, rows: list[LayerTime], iterations: int) -> None:
    """Print the table, and the slowest layers by name."""
    from rich.console import Console
    from rich.table import Table

    total = sum(row.whole for row in rows) or 1.0
    longest = max(row.whole for row in rows)
    console = Console(highlight=False)
    wide = console.width >= 64 + max(len(row.name) for row in rows) + max(len(row.type) for row in rows)
    title = f"{net.name or 'Net'}: milliseconds, means of {iterations} iterations"
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    table.add_column("layer", overflow="fold")
    if wide:
        table.add_column("type", no_wrap=True)
    for name in ("forward", "backward", "GFLOP/s", "tops"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("share of the time", no_wrap=True)
    for row in rows:
        cells = round(_BAR * row.whole / longest) if longest else 0
        table.add_row(
            row.name,
            *([row.type] if wide else []),
            f"{row.forward:.3f}",
            f"{row.backward:.3f}",
            f"{row.gflops:.1f}" if row.multiply_adds else "",
            _bytes(row.memory) if row.memory else "",
            f"{'█' * cells:{_BAR}} {row.whole / total:6.1%}",
        )
    forward, backward = sum(row.forward for row in rows), sum(row.backward for row in rows)
    work = 2 * sum(row.multiply_adds for row in rows)
    table.add_section()
    table.add_row(
        "all",
        *([""] if wide else []),
        f"{forward:.3f}",
        f"{backward:.3f}",
        f"{work / forward / 1e6:.1f}" if forward else "",
        _bytes(sum(row.memory for row in rows)),
        style="bold",
    )
    console.print(table)
    slowest = sorted(rows, key=lambda row: -row.whole)[:_SLOWEST]
    named = ", ".join(f"{row.name} ({row.type}, {row.whole / total:.0%})" for row in slowest)
    console.print(f"Slowest: {named}", markup=False)


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
