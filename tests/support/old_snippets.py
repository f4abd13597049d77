"""Python 2 snippets, translated and run together in one process of their own: what each prints.

In a process of its own, because what old scripts need (old names in NumPy and the standard library) stays there.
"""

from __future__ import annotations

import json
import subprocess
import sys

_RUNNER = """
import contextlib, io, json, os, sys, types
from caffe.legacy import sources
from caffe.legacy.translate import translate
from caffe.legacy import shims
os.chdir(sys.argv[1])
found = {}
for name, text in json.load(sys.stdin).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = compile(translate(text, name, True).text, name, "exec")
            types.FunctionType(code, {"_old": shims, "__name__": name, "__builtins__": __builtins__})()
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    found[name] = out.getvalue().strip()
json.dump(found, sys.stdout)
"""


def printed_by(snippets: dict[str, str], folder: str) -> dict[str, str]:
    """What each snippet prints, without white space around; its error where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER, str(folder)],
        input=json.dumps(snippets), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, str] = json.loads(done.stdout)
    return found
