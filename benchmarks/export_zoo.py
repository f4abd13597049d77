"""How many of the zoo's nets leave: each net that builds is exported and compared with its own forward.

    python -m benchmarks.export_zoo ZOO --ways=torch,onnx --seconds=600 --out=found.jsonl

Nets that differ only in names, fillers and rates are tried once and counted as often as they occur. Weights are
seeded, BatchNorm statistics plausible, batches of two where a net takes more. Started again with the same --out, it
goes on where it was.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import math
import multiprocessing
import random
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # noqa: F401
import torch
import torch._dynamo  # noqa: F401 - now, so that processes for single nets need not

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import zoo_nets

import caffe
from caffe import fillers
from caffe.errors import CaffeError
from caffe.export import check, graph, onnx_file
from caffe.export.torch_net import TorchNet
from caffe.formats import prototxt
from caffe.net import build
from caffe.proto import caffe_pb2

FORWARD = check.forward
MOST_VALUES = 500e6
"""Of parameters and blobs together; larger nets are left out, and named."""
WAIT = 15
"""Seconds on the clock for one of a processor, which others may be using."""


def net_of(path: Path) -> caffe.Net | None:
    """The net of a file for TEST with its data layers replaced by inputs, or None where that does not build."""
    text = path.read_bytes().decode("latin-1")
    definition = prototxt.read_net(path)
    for size in (0, 256):
        guesses: dict[str, list[int]] = {}
        for _ in range(zoo_nets.TRIES):
            param = caffe_pb2.NetParameter()
            param.CopyFrom(definition.param)
            found = prototxt.NetFile(param, lines=list(definition.lines), file=definition.file)
            data: dict[str, list[int]] = {}
            try:
                found = build.read(found)
                dense = bool(zoo_nets.DENSE.search(text))
                data = zoo_nets._replace_data(found, caffe.TEST, dense, size, guesses)
                if any(layer.type == "ZooStandIn" for layer in found.param.layer):
                    return None
                with fillers.deferred():
                    return caffe.Net(found, caffe.TEST)
            except CaffeError as error:
                if isinstance(error, caffe.errors.UnknownLayerError) or not zoo_nets._learn(
                    found, error, data, guesses
                ):
                    break
    return None


def structure(net: caffe.Net) -> str:
    """What nets have in common that compute the same."""
    param = net.to_proto()
    names: dict[str, str] = {}
    for layer in param.layer:
        layer.name = ""
        del layer.param[:]
        for field in (layer.bottom, layer.top):
            for i, name in enumerate(field):
                field[i] = names.setdefault(name, str(len(names)))
        for sub in ("convolution_param", "inner_product_param"):
            if layer.HasField(sub):
                getattr(layer, sub).ClearField("weight_filler")
                getattr(layer, sub).ClearField("bias_filler")
        layer.ClearField("include")
        layer.ClearField("exclude")
    param.name = ""
    shapes = repr([net.blobs[n].shape for n in net.inputs])
    return hashlib.md5(param.SerializeToString(deterministic=True) + shapes.encode()).hexdigest()


def fill(net: caffe.Net, seed: int = 7) -> None:
    """Weights that keep values in range, biases near 0, statistics near mean 0 and variance 1."""
    rng = np.random.RandomState(seed)
    for step in net.steps:
        for i, blob in enumerate(step.layer.blobs):
            shape = blob.shape
            if (step.layer.type == "BatchNorm" and i < 3) or (step.layer.type == "BN" and i >= 2):
                middle = (0.0, 1.0, 1.0)[i % 2 if step.layer.type == "BN" else i]
                spread = 0.0 if step.layer.type == "BatchNorm" and i == 2 else 0.3
                values = middle + rng.uniform(-spread, spread, shape)
            elif step.layer.type in ("BatchNorm", "BN", "Scale", "PReLU", "Normalize") and i != 1:
                values = rng.uniform(0.3, 1.2, shape)
            elif len(shape) > 1:
                fan = max(int(np.prod(shape[1:])), 1)
                values = rng.standard_normal(shape) * np.sqrt(2 / fan)
            else:
                values = rng.uniform(-0.1, 0.1, shape)
            blob.data[...] = values


def fewer(net: caffe.Net, most: int = 2) -> None:
    """Batches of ``most`` where all inputs come in larger ones, and the net allows it."""
    before = {name: net.blobs[name].shape for name in net.inputs}
    if len({shape[:1] for shape in before.values()}) != 1 or (*next(iter(before.values())), 0)[0] <= most:
        return
    try:
        for name, shape in before.items():
            net.blobs[name].reshape(most, *shape[1:])
        net.reshape()
    except CaffeError:
        for name, shape in before.items():
            net.blobs[name].reshape(*shape)
        net.reshape()


def attempt(net: caffe.Net, ways: list[str]) -> dict[str, str]:
    """For each way "ok" or why not."""
    found: dict[str, str] = {}
    fill(net)
    module = TorchNet(graph.graph_of(net))
    known: dict[str, check.Arrays] = {}

    def remembered(net: caffe.Net, module: TorchNet, arrays: check.Arrays) -> check.Arrays:
        key = repr([(n, a.shape, float(a.sum())) for n, a in arrays.items()])
        if key not in known:
            known[key] = FORWARD(net, module, arrays)
        return known[key]

    check.forward = remembered
    if "torch" in ways:
        found["torch"] = tried(lambda: check.compare(net, module, lambda a: check.torch_forward(module, a)))
    arrays = check.inputs_for(net, module.input_names, None, 0)
    inputs = [torch.from_numpy(a) for a in arrays.values()]
    free = all(len(s) > 0 and s[0] == inputs[0].shape[0] for s in (a.shape for a in arrays.values()))
    with tempfile.TemporaryDirectory() as folder:
        if "onnx" in ways:

            def onnx() -> None:
                form = TorchNet(module.graph, exact=True)
                path = Path(folder) / "m.onnx"
                onnx_file.write(form, path, inputs, dynamic=("batch",) if free else ())
                check.compare(net, module, onnx_file.runner(path))

            found["onnx"] = tried(onnx)
        if "pt2" in ways:
            from caffe.export import pt2_file

            def pt2() -> None:
                form = TorchNet(module.graph, exact=True)
                path = Path(folder) / "m.pt2"
                pt2_file.write(form, path, inputs, dynamic=())
                check.compare(net, module, pt2_file.runner(path, module.input_names, module.output_names))

            found["pt2"] = tried(pt2)
        if "source" in ways:
            from caffe.export import source

            def code() -> None:
                form = TorchNet(module.graph, exact=True)
                source.write(form, Path(folder) / "m.py", Path(folder) / "m.safetensors")
                check.compare(
                    net, module, source.runner(Path(folder) / "m.py", Path(folder) / "m.safetensors", module)
                )

            found["source"] = tried(code)
    return found


def tried(run: object) -> str:
    try:
        run()  # type: ignore[operator]
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return "ok"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--ways", default="torch,onnx")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--out", type=Path, default=Path("found.jsonl"))
    parser.add_argument(
        "--rounds",
        type=int,
        default=2,
        help="random inputs that each net is tried on; the first is the export's own",
    )
    parser.add_argument("--only", default="", help="what the paths must contain")
    parser.add_argument("--limit", type=int, default=120, help="seconds of a processor for a net")
    parser.add_argument("--memory", type=float, default=12, help="GB of addresses that a process may have")
    args = parser.parse_args()
    begun, ways = time.time(), args.ways.split(",")
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    done = {row["file"]: row for row in map(json.loads, lines)}
    by_structure = {row["structure"]: row for row in done.values() if row.get("structure")}
    paths = varied([p for p in zoo_nets.files(args.zoo) if args.only in str(p)])
    memory = int(args.memory * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    check.ROUNDS = args.rounds
    stand_in = {"ZooStandIn": zoo_nets.ZooStandIn}
    with args.out.open("a") as out, zoo_nets.mock.patch.dict(zoo_nets.layer_factory._registered, stand_in):
        for path in paths:
            name = path.relative_to(args.zoo).as_posix()
            if time.time() - begun > args.seconds:
                break
            if name in done:
                continue
            row = {"file": name, **apart(path, ways, by_structure, args.limit)}
            done[name] = row
            if row.get("structure"):
                by_structure[row["structure"]] = row
            out.write(json.dumps(row) + "\n")
            out.flush()
    report(list(done.values()), ways)


def apart(path: Path, ways: list[str], known: dict[str, dict[str, str]], limit: int) -> dict[str, str]:
    """What becomes of one file, in a process of its own: it may end it, take too long, or leave memory behind."""
    context = multiprocessing.get_context("fork")  # what is imported here is so there
    pipe, other = context.Pipe(False)
    process = context.Process(target=child, args=(other, path, ways, known, limit), daemon=True)
    process.start()
    other.close()
    try:
        if pipe.poll(WAIT * limit):
            row: dict[str, str] = pipe.recv()
            return row
        reason = f"took more than {WAIT * limit} s"
    except EOFError:
        process.join()
        reason = f"ended the process ({process.exitcode})"
        if process.exitcode == -signal.SIGXCPU:
            reason = f"took more than {limit} s of a processor"
    finally:
        process.kill()
        process.join()
    return dict.fromkeys(ways, reason)


def child(pipe: Any, path: Path, ways: list[str], known: dict[str, dict[str, str]], limit: int) -> None:
    """The side of the process of its own."""
    used = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + limit, resource.RLIM_INFINITY))
    pipe.send(one(path, ways, known))


def varied(paths: list[Path]) -> list[Path]:
    """In random order, but first those with layer types that none before had: a part of the zoo shows most of it."""
    random.Random(1).shuffle(paths)
    seen: set[str] = set()
    first, rest = [], []
    for path in paths:
        types = set(re.findall(r"type\s*:\s*['\"]?(\w+)", path.read_bytes().decode("latin-1")))
        (first if types - seen else rest).append(path)
        seen |= types
    return first + rest


def one(path: Path, ways: list[str], known: dict[str, dict[str, str]]) -> dict[str, str]:
    """What becomes of one file."""
    text = path.read_bytes().decode("latin-1")
    if not zoo_nets.NET.search(text) or zoo_nets.SOLVER.search(text):
        return {"skip": "no net"}
    try:
        net = net_of(path)
        if net is None:
            return {"skip": "does not build for TEST with data replaced"}
    except Exception as error:
        return {"skip": f"does not build: {error!r}"[:200]}
    key = structure(net)
    if key in known:
        return {"structure": key, **{k: v for k, v in known[key].items() if k in (*ways, "skip")}}
    fewer(net)
    size = sum(b.count for s in net.steps for b in s.layer.blobs) * 3 + sum(
        b.count for b in net.blobs.values()
    )
    if size > MOST_VALUES:
        return {"skip": f"too large to try here: {size / 1e6:.0f} million values", "structure": key}
    try:
        return {"structure": key, **attempt(net, ways)}
    except CaffeError as error:
        if "no inputs" in str(error) or "no outputs" in str(error):
            return {"skip": str(error)[:200]}
        return {"structure": key, **dict.fromkeys(ways, str(error)[:300])}
    except Exception as error:
        return {"structure": key, **dict.fromkeys(ways, repr(error)[:300])}
    finally:
        net.close()


def report(rows: list[dict[str, str]], ways: list[str]) -> None:
    """Shares, and the reason of every one that failed."""
    skips = collections.Counter(r["skip"].split(":")[0] for r in rows if "skip" in r)
    print(f"{len(rows)} files; left out: {dict(skips)}")
    for way in ways:
        tried_rows = [r for r in rows if way in r]
        right = sum(r[way] == "ok" for r in tried_rows)
        distinct = {r.get("structure") for r in tried_rows}
        share = 100 * right / max(len(tried_rows), 1)
        print(f"{way}: {right} of {len(tried_rows)} ({share:.1f} %), {len(distinct)} distinct")
        reasons = collections.Counter((r[way][:160]) for r in tried_rows if r[way] != "ok")
        for reason, count in reasons.most_common():
            file = next(r["file"] for r in tried_rows if r[way][:160] == reason)
            print(f"  {count} × {reason}   [{file}]")


if __name__ == "__main__":
    main()
