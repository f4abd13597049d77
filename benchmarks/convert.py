"""How many models of torchvision and timm become nets that give their numbers, and go back to PyTorch.

    python -m benchmarks.convert torchvision --out=torchvision.jsonl
    python -m benchmarks.convert timm --out=timm.jsonl --names=resnet18,rexnet_100
    python -m benchmarks.convert peers --peers=FOLDER --out=peers.jsonl     # see convert_peers.py
    python -m benchmarks.convert report torchvision.jsonl timm.jsonl

Weights are random, statistics and scales not trivial. Dialects are tried in order (bvlc, ssd, caffe-torch); each model
has its seconds, in a process of its own. Started again with the same --out, it goes on where it was.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import convert_models as lists
from benchmarks import convert_peers
from caffe.errors import CaffeError, InputError
from caffe.importing import check, conversion, torch_front
from caffe.importing.from_torch import judge_of

DIALECTS = ("bvlc", "ssd", "caffe-torch")


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """The module with statistics, scales and biases that are not trivial, so that leaving one out is seen."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.7, 1.3, generator=generator)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.reshape(-1)[0]).all()):
                noise = torch.empty(parameter.shape).uniform_(-0.2, 0.2, generator=generator)
                parameter.add_(noise)
    return module.eval()


Attempt = Callable[[], dict[str, Any]]


def attempt(build: lists.Builder) -> dict[str, Any]:
    """Convert one model: the first dialect that takes it, errors there and back, seconds."""
    torch.manual_seed(0)
    module, shape = build()
    lively(module)
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in module.parameters())}
    example = torch.randn(*shape)
    start = time.perf_counter()
    program = torch_front.exported(module, [example])
    judge = judge_of(module, 99)
    for dialect in DIALECTS:
        graph = torch_front.graph_of(program)
        try:
            done = conversion.convert(graph, judge, [example], dialect=dialect)
        except InputError as error:
            found.setdefault("refused", {})[dialect] = str(error)
            continue
        found["dialect"] = dialect
        found["seconds"] = round(time.perf_counter() - start, 1)
        found["error"] = max(done.checked.errors.values()) if done.checked else None
        found["batches"] = done.checked.batches if done.checked else []
        found["layers"] = len(done.param.layer)
        found["types"] = sorted({layer.type for layer in done.param.layer})
        found["back"] = _back(done, judge, example)
        break
    return found


def _back(done: conversion.Conversion, judge: check.Judge, example: torch.Tensor) -> float | str:
    """The largest error of the net's own torch module against the model."""
    try:
        module = done.net.to_torch(dict_outputs=True).eval()
        with torch.no_grad():
            got = module(example)
    except CaffeError as error:
        return str(error)[:300]
    wanted = judge([example])
    pairs = [(got[blob], w) for blob, w in zip(done.outputs.values(), wanted) if blob in got]
    return max((check.relative_error(g.numpy(), w.numpy()) for g, w in pairs), default="no outputs")


def _child(run: Attempt, pipe: Any) -> None:
    torch.set_num_threads(1)
    try:
        found = run()
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {error}"[:600]}
    pipe.send(found)


def timed(run: Attempt, seconds: float) -> dict[str, Any]:
    """What an attempt finds, in a process of its own, ended after its seconds."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(run, theirs))
    process.start()
    theirs.close()
    found: dict[str, Any] = {"failed": f"not done within {seconds:g} seconds"}
    if ours.poll(seconds):
        try:
            found = ours.recv()
        except EOFError:
            found = {"failed": "the process died (memory)"}
    process.kill()
    process.join()
    return found


def sweep(
    listed: Iterable[tuple[str, str, Attempt]], out: Path, names: set[str], seconds: float, most: float
) -> None:
    """All of a list that have no line in ``out`` yet, within ``most`` seconds."""
    done = {r["name"] for r in rows([out])} if out.exists() else set()
    end = time.monotonic() + most
    for name, group, run in listed:
        if name in done or (names and name.split()[0] not in names) or time.monotonic() > end:
            continue
        found = {"name": name, "group": group, **timed(run, seconds)}
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        said = next((found[key] for key in ("error", "failed", "unusable") if key in found), "refused")
        print(name, found.get("dialect", "-"), said, flush=True)


def rows(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """What sweeps found."""
    for path in paths:
        yield from map(json.loads, path.read_text().splitlines())


def report(paths: list[Path]) -> None:
    """A table of groups, and why models failed."""
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows(paths):
        count = table[row["group"]]
        count["models"] += 1
        if "dialect" in row:
            count["right"] += 1
            count[row["dialect"]] += 1
            count["back"] += isinstance(row["back"], float) and row["back"] < check.TOLERANCE
            count["another batch"] += len(row["batches"]) > 1
        else:
            why = row.get("failed") or row["refused"]["caffe-torch"]
            print(f"{row['name']}: {why}")
    for group, count in table.items():
        share = count["right"] / count["models"]
        print(f"{group}: {count['right']} of {count['models']} ({share:.1%}); {dict(count)}")


def main() -> None:
    """Run a list, or report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*lists.MODELS, "peers", "report"])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--names", default="")
    parser.add_argument("--peers", type=Path, default=Path(), help="the folder of the other tools' checkouts")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--most", type=float, default=1e9)
    given = parser.parse_args()
    if given.what == "report":
        report(given.files)
        return
    torch.set_num_threads(1)
    out = given.out or Path(f"{given.what}.jsonl")
    names = {n for n in given.names.split(",") if n}
    if given.what == "peers":
        sweep(convert_peers.listed(given.peers), out, names, given.seconds, given.most)
        print(convert_peers.table(list(rows([out]))))
        return
    listed = ((name, group, partial(attempt, build)) for name, group, build in lists.MODELS[given.what]())
    sweep(listed, out, names, given.seconds, given.most)


if __name__ == "__main__":
    sys.exit(main())
