"""``caffe runs``: the runs of training in folders, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from caffe.cli import gflags


@click.command("runs", cls=gflags.GflagsCommand)
@click.argument("paths", nargs=-1, metavar="[RUN…]")
@click.option("--sort", default="", help="By this column: name, iteration, loss, or a test output.")
@click.option("--settings/--nosettings", default=False, help="Also the solver's fields in which they differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(paths: tuple[str, ...], sort: str, settings: bool, as_json: bool) -> int:
    """List runs and compare them: iterations, last loss, best score of each test output.

    RUNs are folders (runs by default, where caffe train --run=NAME keeps them), metrics.jsonl, logs of any Caffe, or
    snapshot prefixes.

    \b
      caffe runs --sort=accuracy
    """
    from caffe.web import runs as finding

    if not paths and not Path("runs").is_dir():
        raise click.UsageError(
            "There is no folder 'runs' here: name a folder, a metrics.jsonl, a log or a prefix."
        )
    document = finding.RunsDocument.of_paths(paths or ("runs",))
    rows = [_row(run) for run in document.json()["runs"]]
    if sort:
        rows = _sorted(rows, sort)
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
        return 0
    _table(rows, _differing(rows) if settings else [])
    return 0


def _row(run: dict[str, Any]) -> dict[str, Any]:
    from caffe import training_log

    if run.get("error"):
        return {"name": run["name"], "error": run["error"], "settings": {}}
    losses = [row["loss"] for row in run["train"] if row.get("loss") is not None]
    best = {}
    for name in training_log.outputs(run["test"]):
        row = training_log.best(run["test"], name)
        if row is not None:
            best[name] = {"value": row[name], "iteration": int(row["NumIters"])}
    return {
        "name": run["name"],
        "iteration": int(run["last"]),
        "loss": losses[-1] if losses else None,
        "best": best,
        "speed": run["speed"],
        "snapshots": len(run["snapshots"]),
        "settings": run["settings"],
    }


def _sorted(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    from caffe.solvers.callbacks import lower_is_better

    known = {"name", "iteration", "loss"} | {name for row in rows for name in row.get("best", {})}
    if by not in known:
        from caffe.errors import close_names

        raise click.BadParameter(
            f"no run has '{by}'. {close_names(by, known) or 'Columns: ' + ', '.join(sorted(known))}",
            param_hint="--sort",
        )

    def key(row: dict[str, Any]) -> Any:
        best = row.get("best", {}).get(by)
        return best["value"] if best else row.get(by)

    there = [row for row in rows if key(row) is not None]
    low = by == "name" or lower_is_better(by)
    return sorted(there, key=key, reverse=not low) + [row for row in rows if key(row) is None]


def _differing(rows: list[dict[str, Any]]) -> list[str]:
    fields = dict.fromkeys(name for row in rows for name in row["settings"])
    skipped = ("net", "train_net", "test_net", "snapshot_prefix")
    return [
        name
        for name in fields
        if name not in skipped
        and len({str(row["settings"].get(name)) for row in rows if row["settings"]}) > 1
    ]


def _table(rows: list[dict[str, Any]], fields: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    outputs = list(dict.fromkeys(name for row in rows for name in row.get("best", {})))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in (
        "Run",
        "Iterations",
        "Loss",
        *(f"Best {name}" for name in outputs),
        "It/s",
        "Snapshots",
        *fields,
    ):
        table.add_column(title, justify="left" if title == "Run" else "right", overflow="fold")
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], row["error"])
            continue
        best = [row["best"].get(name) for name in outputs]
        table.add_row(
            row["name"],
            f"{row['iteration']:,}",
            "" if row["loss"] is None else f"{row['loss']:.4g}",
            *("" if b is None else f"{b['value']:.4g} at {b['iteration']:,}" for b in best),
            "" if row["speed"] is None else f"{row['speed']:.3g}",
            str(row["snapshots"]),
            *(str(row["settings"].get(name, "")) for name in fields),
        )
    wide = None if sys.stdout.isatty() else 10_000  # piped lines do not break
    Console(width=wide, highlight=False, soft_wrap=False).print(table)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
