"""Results as a Markdown table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.contenders import INFERENCE, REFERENCE, TRAINING
from benchmarks.measure import Times, ratios

Results = dict[str, Any]


def write_table(results: Results, path: Path) -> None:
    """One table a task: nets across, contenders down, times as fast as the reference."""
    lines = []
    for task, contenders in (("inference", INFERENCE), ("training", TRAINING)):
        runs = _runs(results, task)
        if not runs:
            continue
        lines += [f"**{task.capitalize()}**: times as fast as {REFERENCE} (milliseconds)", ""]
        lines.append("| | " + " | ".join(f"{name} ({batch})" for name, batch, _ in runs) + " |")
        lines.append("|---" * (len(runs) + 1) + "|")
        for contender in contenders:
            cells = []
            for _, _, times in runs:
                own = next((t for t in times if t.name == contender), None)
                cells.append(
                    "" if own is None else f"{ratios(times, REFERENCE)[contender]:.2f} ({own.median:.1f})"
                )
            if any(cells):
                lines.append(f"| {contender} | " + " | ".join(cells) + " |")
        ahead = [_ahead(times) for _, _, times in runs]
        if any(ahead):
            lines.append("| caffe compiled, times as fast as the better engine | " + " | ".join(ahead) + " |")
        lines.append("")
    machines = sorted({f"{run['machine']}; load {run['load']:.1f}" for run in results.values()})
    lines += ["Measured on: " + "; ".join(machines) + ".", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _ahead(times: list[Times]) -> str:
    """How many times as fast the compiled net is as the faster one of the inference engines."""
    engines = [t.name for t in times if t.name in ("ONNX Runtime", "OpenVINO")]
    if not engines or "caffe compiled" not in {t.name for t in times}:
        return ""
    return f"{min(ratios(times, engine)['caffe compiled'] for engine in engines):.2f}"


def draw(results: Results, path: Path) -> None:
    """Bars of how many times as fast as the reference each contender is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = [t for t in ("inference", "training") if _runs(results, t)]
    figure, axes = pyplot.subplots(len(tasks), 1, figsize=(11, 4.2 * len(tasks)), squeeze=False)
    for axis, task in zip(axes[:, 0], tasks):
        runs = _runs(results, task)
        names = list(dict.fromkeys(t.name for _, _, times in runs for t in times))
        width = 0.8 / len(names)
        for k, contender in enumerate(names):
            places, heights = [], []
            for i, (_, _, times) in enumerate(runs):
                if contender in {t.name for t in times}:
                    places.append(i + k * width)
                    heights.append(ratios(times, REFERENCE)[contender])
            ours = contender.startswith("caffe")
            axis.bar(places, heights, width, label=contender, edgecolor="black" if ours else "none")
        axis.axhline(1, color="grey", linewidth=0.8)
        axis.set_xticks([i + 0.4 for i in range(len(runs))], [f"{n} ({b})" for n, b, _ in runs])
        axis.set_ylabel(f"times as fast as {REFERENCE}")
        axis.set_title(task)
        axis.legend(fontsize=7, ncols=3)
    figure.tight_layout()
    figure.savefig(path)


def _runs(results: Results, task: str) -> list[tuple[str, str, list[Times]]]:
    found = []
    for key, run in results.items():
        name, kind, batch = key.split(" ")
        if kind == task:
            found.append((name, batch, [Times(n, ms) for n, ms in run["ms"].items()]))
    return found
