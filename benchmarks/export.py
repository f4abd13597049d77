"""Our ONNX files against those of other importers, on the same trained models, in one run.

    python -m benchmarks.export MODELS --caffe2onnx=venv1/bin/python --caffe-onnx=venv2/bin/python \
        --opencv=venv3/bin/python --out=found.json

Each importer has a Python of its own, since none installs beside another: caffe2onnx 2.0.1, caffe-onnx 0.1.2, OpenCV of
at most 4.10, which runs models but writes none. Each conversion is a process, its start included in the seconds. Right
is what agrees to 1e-4 of the largest value with the outputs recorded from the original Caffe, where MODELS has them, or
else with our net. Speeds are ratios in ONNX Runtime on one thread, the files taking turns. Started again with the
same --out, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import caffe
from benchmarks import contenders, measure, nets
from caffe import export
from caffe.errors import WeightsError
from caffe.export import check

Arrays = dict[str, npt.NDArray[Any]]
SECONDS = 60
"""For a conversion."""
PEERS = ("caffe2onnx", "caffe-onnx", "opencv")
COMMANDS = {
    "caffe2onnx": ["-m", "caffe2onnx.convert", "--prototxt={net}", "--caffemodel={weights}", "--onnx={out}"],
    "caffe-onnx": [
        "-c",
        "from src.cli import main; main()",
        "{net}",
        "{weights}",
        "{out.stem}",
        "{out.parent}",
    ],
    "ours": ["-m", "caffe", "export", "{net}", "{weights}", "--to={out}"],
}
OPENCV = """
import sys, cv2, numpy
given, net = numpy.load(sys.argv[3]), cv2.dnn.readNetFromCaffe(sys.argv[1], sys.argv[2])
for name in given.files:
    net.setInput(given[name], name)
names = sys.argv[5:]
numpy.savez(sys.argv[4], **dict(zip(names, net.forward(names))))
"""


def recorded(folder: Path, net: caffe.Net, names: list[str]) -> tuple[Arrays, Arrays]:
    """Inputs, and what must come out: as recorded, or of our net."""
    file = folder / "expected.npz"
    inputs = check.inputs_for(net, list(net.inputs), None, 0)
    if not file.exists():
        return inputs, {n: np.array(v) for n, v in net.forward(names, None, None, **inputs).items()}
    with np.load(file) as record:
        random = np.random.RandomState(int(record["seed"]))
        inputs = {
            name: (random.uniform(-1, 1, record[f"input/{name}"]) * 60).astype(np.float32)
            for name in net.inputs
        }
        return inputs, {n: record[f"out/{n}"] for n in names if f"out/{n}" in record.files}


def right(found: Arrays, expected: Arrays) -> str:
    """ "right", or what is wrong."""
    for name, value in expected.items():
        if name not in found:
            return f"no output '{name}'"
        got = np.asarray(found[name]).reshape(-1)[: value.size]
        difference = check.distance(got, value.reshape(-1))
        if not difference <= check.TOLERANCE:
            return f"wrong: {name} differs by {difference:.1e}"
    return "right"


def session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def process(command: list[str]) -> tuple[str, float]:
    """What went wrong, if anything, and seconds."""
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"took more than {SECONDS} s", float(SECONDS)
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return last[:160] if done.returncode else "", time.perf_counter() - start


def convert(way: str, python: str, net: Path, weights: Path, out: Path) -> dict[str, Any]:
    """Convert with one of the importers."""
    command = [python, *(part.format(net=net, weights=weights, out=out) for part in COMMANDS[way])]
    failed, seconds = process(command)
    found: dict[str, Any] = {"seconds": seconds, "result": failed or "no file was written"}
    if out.exists() and not failed:
        found |= {"result": "converted", "bytes": out.stat().st_size}
    return found


def evaluate(path: Path, inputs: Arrays, expected: Arrays) -> str:
    """Run a file that was written. Inputs of other names are taken in order."""
    try:
        run = session(path)
        names = [i.name for i in run.get_inputs()]
        outputs = [o.name for o in run.get_outputs()]
        found = dict(zip(outputs, run.run(None, dict(zip(names, inputs.values())))))
    except Exception as error:  # ONNX Runtime's are of many types
        return f"does not run: {str(error).splitlines()[0][:160]}"
    if not set(expected) <= set(found) and len(found) == len(expected):
        found = dict(zip(expected, found.values()))
    return right(found, expected)


def one(folder: Path, pythons: dict[str, str], rounds: int) -> dict[str, Any]:
    """All importers on one model."""
    net_file = folder / "deploy.prototxt"
    weights = max(folder.glob("*.caffemodel"), key=lambda path: (path.stem == "weights", path.name))
    net = export.load(net_file, weights, caffe.TEST)
    names = export.to_torch(net).output_names
    inputs, expected = recorded(folder, net, names)
    row: dict[str, Any] = {"model": folder.name, "recorded": (folder / "expected.npz").exists()}
    with tempfile.TemporaryDirectory() as place:
        files = {}
        for way, python in pythons.items():
            out = Path(place) / f"{way}.onnx"
            if way == "opencv":
                row[way] = run_opencv(python, net_file, weights, inputs, expected, Path(place))
                continue
            row[way] = convert(way, python, net_file, weights, out)
            if row[way]["result"] == "converted":
                row[way]["result"] = evaluate(out, inputs, expected)
            if row[way]["result"] == "right":
                files[way] = out
        if "ours" in files and len(files) > 1:
            row["speed"] = speeds(files, inputs, rounds)
    return row


def run_opencv(
    python: str, net: Path, weights: Path, inputs: Arrays, expected: Arrays, place: Path
) -> dict[str, Any]:
    np.savez(place / "in.npz", **inputs)
    paths = [str(net), str(weights), str(place / "in.npz"), str(place / "out.npz")]
    failed, seconds = process([python, "-c", OPENCV, *paths, *expected])
    if failed:
        return {"result": failed, "seconds": seconds}
    with np.load(place / "out.npz") as found:
        return {"result": right(dict(found), expected), "seconds": seconds}


def speeds(files: dict[str, Path], inputs: Arrays, rounds: int) -> dict[str, float]:
    """How many times as fast as ours each is."""

    def step(path: Path) -> measure.Step:
        run = session(path)
        feed = dict(zip([i.name for i in run.get_inputs()], inputs.values()))
        return lambda: run.run(None, feed)

    times = measure.race({way: step(path) for way, path in files.items()}, rounds, least_seconds=0.05)
    return measure.ratios(times, "ours")


def by_hand(rounds: int) -> Iterator[tuple[str, float]]:
    """How many times as fast as ours the usual implementations in torch are, exported by torch itself."""
    for name in nets.INPUTS:
        with tempfile.TemporaryDirectory() as place, caffe.fillers.deferred():
            path = Path(place) / "net.prototxt"
            path.write_text(str(nets.definition(name, 1, False)))
            net = caffe.Net(str(path), caffe.TEST)
            export.to_onnx(net, Path(place) / "ours.onnx", check_it=False)
            files = {"ours": Path(place) / "ours.onnx", "by hand": contenders.onnx_file(name, 1)}
            inputs = check.inputs_for(net, list(net.inputs), None, 0)
            yield name, speeds(files, inputs, rounds)["by hand"]


def report(rows: list[dict[str, Any]], ways: list[str]) -> None:
    """The table; sizes and speeds are against ours, of the models that both have right; then every failure."""
    print(f"| {len(rows)} models | written | right | seconds, median | size, ours = 1 | speed, ours = 1 |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        found = [r[way] for r in rows]
        count = sum(f["result"] == "right" for f in found)
        seconds = statistics.median(f["seconds"] for f in found)
        cells = [way, "none" if way == "opencv" else str(sum("bytes" in f for f in found)), str(count)]
        cells.append(f"{seconds:.1f}")
        fast = [r["speed"][way] for r in rows if way in r.get("speed", {})]
        size = [r[way]["bytes"] / r["ours"]["bytes"] for r in rows if way in r.get("speed", {})]
        cells += [f"{statistics.median(v):.2f}" if v else "" for v in (size, fast)]
        print("| " + " | ".join(cells) + " |")
    for way in ways:
        for row in rows:
            if row[way]["result"] != "right":
                print(f"  {way}, {row['model']}: {row[way]['result']}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path)
    for way in PEERS:
        parser.add_argument(f"--{way}", default="", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3600, help="no further model after them")
    parser.add_argument("--only", default="", help="what the models' names must contain")
    parser.add_argument("--no-hand", action="store_true", help="leave the exports by hand out")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    given = {way: getattr(args, way.replace("-", "_")) for way in PEERS}
    pythons = {"ours": sys.executable, **{way: python for way, python in given.items() if python}}
    folders = [p.parent for p in sorted(args.models.glob("*/deploy.prototxt"))]
    folders = [f for f in folders if args.only in f.name and any(f.glob("*.caffemodel"))]
    begun = time.time()
    rows = json.loads(args.out.read_text()) if args.out and args.out.exists() else []
    done = {row["model"] for row in rows}
    for folder in folders:
        if folder.name in done or time.time() - begun > args.seconds:
            continue
        try:
            rows.append(one(folder, pythons, args.rounds))
        except WeightsError as error:
            print(f"left out: {error}")
        if args.out:
            args.out.write_text(json.dumps(rows, indent=1))
    report(rows, list(pythons))
    for name, ratio in () if args.no_hand else by_hand(args.rounds):
        print(f"by hand, {name}: {ratio:.2f} times as fast as ours", flush=True)


if __name__ == "__main__":
    main()
