"""Which blobs ops read from outside, which they write, and who reads a blob last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caffe.blob import Blob
from caffe.net.run.op import Op
from caffe.net.step import Step
from caffe.net.wiring import Wiring


def steps_of(ops: Iterable[Op]) -> list[Step]:
    """All steps, in order."""
    return [step for op in ops for step in op.steps]


def entering(steps: Iterable[Step]) -> list[Blob]:
    """What is read before any of the steps writes it. Tops of Input layers, which scripts fill, count as read."""
    written: set[Blob] = set()
    entered: dict[Blob, None] = {}
    for step in steps:
        if step.layer.type == "Input":
            entered.update(dict.fromkeys(step.top))
            continue
        entered.update((blob, None) for blob in step.bottom if blob not in written)
        written.update(step.top)
    return list(entered)


def written(steps: Iterable[Step]) -> dict[Blob, str]:
    """What the steps write, with its names."""
    return {
        blob: name
        for step in steps
        if step.layer.type != "Input"
        for name, blob in zip(step.top_names, step.top)
    }


def read(steps: Iterable[Step]) -> set[Blob]:
    """What the steps read."""
    return {blob for step in steps for blob in step.bottom}


def last_uses(ops: Sequence[Op]) -> list[dict[Blob, str]]:
    """For each op the blobs that no later one reads or writes, with their names."""
    last: list[dict[Blob, str]] = [{} for _ in ops]
    seen: set[Blob] = set()
    for i in reversed(range(len(ops))):
        for step in ops[i].steps:
            for name, blob in (*zip(step.bottom_names, step.bottom), *zip(step.top_names, step.top)):
                if blob not in seen:
                    last[i][blob] = name
        seen.update(last[i])
    return last


def shown(wiring: Wiring, names: Iterable[str] = ()) -> set[Blob]:
    """What stays there for whoever looks: the net's inputs, outputs, losses, and the blobs of these names."""
    stays = {wiring.blobs[name] for name in (*wiring.inputs, *wiring.outputs, *names)}
    stays.update(b for step in wiring.steps for b, weight in zip(step.top, step.loss_weights) if weight)
    return stays
