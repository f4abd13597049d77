"""Parting: nothing of a group is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PARTING = """
import os, sys
from pathlib import Path
from caffe.parallel.group import Group
from caffe.parallel.place import Place

def threads():
    names = (path / "comm" for path in Path("/proc/self/task").iterdir())
    return [name.read_text().strip() for name in names if "gloo" in name.read_text()]

group = Group(Place(rank=0, count=1, local_rank=0, meeting=f"file://{sys.argv[1]}/meeting"), 30)
group.broadcast(7)
assert threads(), "the threads of gloo have other names now: this test sees nothing"
getattr(group, sys.argv[2])()
print(threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc, to see a process's threads")
@pytest.mark.parametrize("parting", ["close", "abandon"])
def test_parting_ends_the_threads_of_the_connections(tmp_path, parting):
    """One that runs while the interpreter ends aborts the process."""
    done = subprocess.run(
        [sys.executable, "-c", PARTING, str(tmp_path), parting],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
