"""The report of a fine-tuning: one page with curves, the confusion of classes, and the most wrong images."""

from __future__ import annotations

import base64
import html
import io
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe import training_log
from caffe.data.image_files import read_image
from caffe.finetuning.scores import MarkScores, Scores, Wrong
from caffe.formats import atomic

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --good: 34, 139, 94; --bad: 200, 60, 50 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 3px 10px; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid var(--line) }
.confusion td { min-width: 2.2em; text-align: center } img.curves { max-width: 100%; background: #fff }
.wrong { display: flex; flex-wrap: wrap; gap: 14px } figure { margin: 0; width: 150px } figcaption { font-size: 13px }
.found figure { width: 300px }
pre { padding: .7em 1em; background: #8882; overflow-x: auto } .scroll { overflow-x: auto }
"""
_THUMBNAIL, _PICTURE = 150, 300
_MOST_IN_TABLE = 40
_MOST_DRAWN, _MOST_NAMED = 200, 25  # classes in the picture of confusions
_GOOD = {"color": "#2f855a", "marker": "o", "markersize": 4}


def curves(metrics: Path, scores: Scores | None = None, labels: list[str] | None = None) -> bytes | None:
    """Losses and accuracies over the iterations, as a PNG, and with scores what was taken for what.

    None without matplotlib (the extra ``plot``).
    """
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    log = training_log.read(metrics)
    figure, axes = plt.subplots(1, 3 if scores else 2, figsize=(15 if scores else 10, 4.6 if scores else 3.6))
    left, right = axes[:2]
    for rows, name, ax, style in (
        (log.train, "loss", left, {"label": "training loss", "color": "#2b6cb0", "linewidth": 1.4}),
        (log.test, "loss", left, {"label": "test loss", "color": "#c05621", "marker": "o", "markersize": 4}),
        (log.test, "accuracy", right, {"label": "test accuracy", **_GOOD}),
        (log.test, "detection_eval", right, {"label": "mean average precision", **_GOOD}),
    ):
        points = [(row["NumIters"], row[name]) for row in rows if name in row]
        if points:
            ax.plot(*zip(*points), **style)
    for ax in (left, right):
        ax.set_xlabel("iteration")
        ax.grid(alpha=0.25)
        if ax.lines:
            ax.legend(frameon=False)
    losses = [row["loss"] for row in (*log.train, *log.test) if "loss" in row and row["NumIters"] > 0]
    if losses and np.isfinite(losses).all():  # an untrained net's test loss may be a hundred times the others
        left.set_ylim(0, 1.1 * max(losses))
    right.set_ylim(0, 1.02)
    if scores and labels:
        _draw_confusion(axes[2], scores, labels)
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
    return file.getvalue()


def _draw_confusion(ax: Any, scores: Scores, labels: list[str]) -> None:
    """Shares of each class's images, a row a class; numbers stand for names that are many, or in other letters."""
    table = scores.confusion
    ax.imshow(table / np.maximum(table.sum(axis=1, keepdims=True), 1), cmap="Greens", vmin=0, vmax=1)
    places = list(range(len(labels))) if len(labels) <= _MOST_NAMED else []
    names = (
        [name if name.isascii() and len(name) <= 16 else str(i) for i, name in enumerate(labels)]
        if places
        else []
    )
    ax.set_xticks(places, names, rotation=45, ha="right")
    ax.set_yticks(places, names)
    for row, column in zip(*np.nonzero(table)) if places else ():
        dark = row == column and table[row, column] > table[row].sum() / 2
        ax.text(
            column,
            row,
            str(table[row, column]),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )
    ax.set_xlabel("taken for")
    ax.set_ylabel("is")


def write(
    path: Path,
    scores: Scores | MarkScores,
    labels: list[str],
    root: Path,
    metrics: Path,
    facts: dict[str, Any],
    commands: list[str],
) -> None:
    """Write the page, and ``report.png`` with curves and confusions beside it. Raises FileAccessError."""
    parts = _head(path, facts, metrics)
    if isinstance(scores, Scores) and len(labels) <= _MOST_DRAWN:
        picture = curves(metrics, scores, labels)
        if picture is not None:
            with atomic.replacing(path.with_suffix(".png")) as file:
                file.write_bytes(picture)
    parts.append("<h2>Classes</h2>")
    rows = [["class", "precision", "recall", "test images"]]
    order = sorted(zip(labels, scores.by_class()), key=lambda item: (_last_if_nan(item[1][1]), item[0]))
    for label, (precision, recall, count) in order[:_MOST_IN_TABLE]:
        rows.append([label, _percent(precision), _percent(recall), str(count)])
    parts.append(_table(rows, head=True))
    if len(order) > _MOST_IN_TABLE:
        parts.append(f"<p>The {_MOST_IN_TABLE} of {len(order)} classes with the least recall.</p>")
    if isinstance(scores, Scores) and len(labels) <= _MOST_IN_TABLE:
        parts.append("<h2>What was taken for what</h2>" + _confusion(scores, labels))
    parts.append("<h2>The most wrong</h2>" + _most_wrong(scores.most_wrong(), labels, root))
    _finish(path, parts, commands)


def _head(path: Path, facts: dict[str, Any], metrics: Path) -> list[str]:
    """Title, facts and curves; these also in a PNG beside the page."""
    parts = [f"<h1>{html.escape(path.parent.name)}</h1>"]
    parts.append(_table([[name, str(value)] for name, value in facts.items()]))
    picture = curves(metrics)
    if picture is not None:
        with atomic.replacing(path.with_suffix(".png")) as file:
            file.write_bytes(picture)
        parts.append(f'<img class="curves" alt="Loss and accuracy" src="{_data(picture, "png")}">')
    return parts


def _finish(path: Path, parts: list[str], commands: list[str]) -> None:
    parts.append("<h2>The same by hand</h2><pre>" + html.escape("\n".join(commands)) + "</pre>")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(path.parent.name)}</title>'
    )
    page += f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    with atomic.replacing(path) as file:
        file.write_text(page, encoding="utf-8", errors="replace")


def write_detection(
    path: Path,
    precisions: list[tuple[str, float, int]],
    pictures: list[tuple[str, Any]],
    metrics: Path,
    facts: dict[str, Any],
    commands: list[str],
) -> None:
    """Write a detector's page: curves, each class's average precision and number of things, photos with boxes."""
    rows = [["class", "average precision", "things in test images"]]
    worst_first = sorted(precisions, key=lambda one: (one[1], one[0]))
    rows += [
        [name, f"{precision:.3f}", str(count)] for name, precision, count in worst_first[:_MOST_IN_TABLE]
    ]
    parts = [
        *_head(path, facts, metrics),
        "<h2>Classes</h2>",
        _table(rows, head=True),
        "<h2>What it finds</h2>",
    ]
    figures = [_figure(photo, name, name, _PICTURE) for name, photo in pictures]
    parts.append(f'<div class="wrong found">{"".join(figures)}</div>')
    _finish(path, parts, commands)


def _last_if_nan(value: float) -> float:
    return 2.0 if math.isnan(value) else value


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _table(rows: list[list[str]], head: bool = False) -> str:
    found = []
    for i, row in enumerate(rows):
        tag = "th" if head and i == 0 else "td"
        found.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
    return f'<div class="scroll"><table>{"".join(found)}</table></div>'


def _confusion(scores: Scores, labels: list[str]) -> str:
    table = scores.confusion
    head = "".join(f"<th>{html.escape(label)}</th>" for label in labels)
    rows = [f"<tr><th>is, taken for</th>{head}</tr>"]
    for i, label in enumerate(labels):
        total = max(int(table[i].sum()), 1)
        cells = []
        for k, count in enumerate(table[i].tolist()):
            kind = "good" if i == k else "bad"
            shade = f' style="background: rgba(var(--{kind}), {0.75 * count / total:.2f})"' if count else ""
            cells.append(f"<td{shade}>{count or ''}</td>")
        rows.append(f"<tr><th>{html.escape(label)}</th>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table class="confusion">{"".join(rows)}</table></div>'


def _most_wrong(wrong: list[Wrong], labels: list[str], root: Path) -> str:
    if not wrong:
        return "<p>No test image is taken for another class.</p>"
    figures = []
    for one in wrong:
        photo = read_image(str(root / one.image))
        figures.append(_figure(photo, one.image, f"{one.said(labels)}\n{one.image}", _THUMBNAIL))
    return f'<div class="wrong">{"".join(figures)}</div>'


def _figure(photo: Any, name: str, said: str, side: int) -> str:
    """A photo (height × width × 3, blue first) whose longer side is ``side``, with words below, a line each."""
    factor = side / max(photo.shape[:2])
    size = max(round(photo.shape[1] * factor), 1), max(round(photo.shape[0] * factor), 1)
    done, coded = cv2.imencode(".jpg", cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
    source = _data(coded.tobytes(), "jpeg") if done else ""
    lines = "<br>".join(html.escape(line) for line in said.split("\n"))
    return f'<figure><img alt="{html.escape(name)}" src="{source}"><figcaption>{lines}</figcaption></figure>'
