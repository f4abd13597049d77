"""Files of every format, changed at random, given to what reads them: ``python -m tests.fuzz --seconds=60``.

Each must be read, or refused with an error of Caffe's own, within time and memory. The cases run in processes that
are bounded in both; one that ends its process, stands still or raises another exception is kept in ``--out``, and
belongs into ``tests/fuzz/corpus/<format>/``, whose files are read first. Needs a system with fork.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", GLOG_minloglevel="3", CAFFE_MAX_MEMORY="200M", OPENCV_LOG_LEVEL="OFF")

from caffe.errors import CaffeError

from .formats import FORMATS, Format
from .mutations import mutated

CORPUS = Path(__file__).parent / "corpus"
SECONDS, MEMORY, BATCH = 10, 3 << 30, 250
"""For one case; bytes of addresses beside those at the start; cases a process."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--cases", type=int, default=0, help="how many cases, in place of seconds")
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers start (0)")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"how many cases a process ({BATCH})")
    parser.add_argument("--formats", default="", help="a,b: only these")
    parser.add_argument("--corpus", action="store_true", help="only the files of the corpus")
    parser.add_argument("--out", default="fuzz-found", help="where cases that fail are kept (fuzz-found)")
    given = parser.parse_args()
    chosen = [f for f in FORMATS if not given.formats or f.name in given.formats.split(",")]
    counts: dict[str, collections.Counter[str]] = {f.name: collections.Counter() for f in chosen}
    end = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        seeds = {f.name: f.seeds(_new(work / f.name)) for f in chosen}
        out = Path(given.out).absolute()
        for form in chosen:
            kept = [p.read_bytes() for p in sorted((CORPUS / form.name.replace(" ", "_")).glob("*"))]
            seeds[form.name] += kept
            _run(form, kept, work, out, counts[form.name])
        batch = 0
        while not given.corpus and (
            batch * given.batch < given.cases if given.cases else time.monotonic() < end
        ):
            form = chosen[batch % len(chosen)]
            draw = random.Random(f"{given.seed} {batch}")
            count = min(given.batch, given.cases - batch * given.batch) if given.cases else given.batch
            own = seeds[form.name]
            cases = [mutated(draw.choice(own), form.kind, draw, own) for _ in range(count)]
            _run(form, cases, work, out, counts[form.name])
            batch += 1
    kinds = ("read", "refused", "bare", "hang", "crash")
    print(f"{'format':17}" + "".join(f"{kind:>9}" for kind in kinds))
    for name, found in counts.items():
        print(f"{name:17}" + "".join(f"{found[kind]:9,}" for kind in kinds))
    total = sum(counts.values(), collections.Counter())
    print(f"{'all ' + format(total.total(), ','):17}" + "".join(f"{total[kind]:9,}" for kind in kinds))
    return 1 if total["bare"] + total["hang"] + total["crash"] else 0


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(form: Format, cases: list[bytes], work: Path, out: Path, counts: collections.Counter[str]) -> None:
    """Read the cases in forked processes; one that ends early is followed by another, behind the case that did it."""
    first = 0
    while first < len(cases):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(form, cases, first, work, writing)
        os.close(writing)
        with open(reading, "rb") as pipe:
            lines = pipe.read().decode(errors="replace").splitlines()
        status = os.waitpid(child, 0)[1]
        for line in lines:
            kind, _, text = line.partition(" ")
            counts[kind] += 1
            if kind == "bare":
                _keep(form, cases[first], out, text)
            first += 1
        if first < len(cases):
            hang = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
            counts["hang" if hang else "crash"] += 1
            _keep(form, cases[first], out, f"{'hang' if hang else 'crash'}, status {status}")
            first += 1


def _child(form: Format, cases: list[bytes], first: int, work: Path, writing: int) -> None:
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    addresses = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (addresses + MEMORY, addresses + MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    path = work / f"case-{os.getpid()}"
    (work / f"case-{os.getpid()}.trainstate").unlink(missing_ok=True)
    place = path.with_name(path.name + ".trainstate") if form.name == "trainstate" else path
    for case in cases[first:]:
        place.write_bytes(case)
        signal.alarm(SECONDS)
        try:
            form.read(path)
            said = "read"
        except CaffeError:
            said = "refused"
        except BaseException as error:
            said = f"bare {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        signal.alarm(0)
        os.write(writing, (said + "\n").encode(errors="replace"))
    place.unlink(missing_ok=True)
    os._exit(0)


def _keep(form: Format, case: bytes, out: Path, why: str) -> None:
    folder = out / form.name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(case).hexdigest()[:16]
    path.write_bytes(case)
    print(f"{form.name}: {why}: {path}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
