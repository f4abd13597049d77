"""Lint real nets in the dialects of the forks they come from: what is refused is a false alarm, or a fault of the file.

    python benchmarks/lint_zoo.py ../shared/zoo

The folder holds one folder a repository, named owner+name (or owner+name@date). Nets of repositories that no dialect
names are left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from caffe import dialects
from caffe.errors import CaffeError
from caffe.formats import prototxt
from caffe.passes import upgrade_v0, upgrade_v1


def repositories() -> dict[str, str]:
    """The dialect of each repository that a dialect's file names, by owner+name."""
    found: dict[str, str] = {}
    for name in dialects.names():
        dialect = dialects.load(name)
        for text in (*dialect.aliases, *dialect.sources):
            match = re.search(r"(?:^|github\.com/)([\w.-]+)/([\w.-]+)", text)
            if match:
                found.setdefault("+".join(match.groups()), name)
    return found


def main(folder: Path) -> int:
    known = repositories()
    files = refused = unreadable = 0
    counted = set()
    for repository in sorted(folder.iterdir()):
        name = known.get(repository.name.split("@")[0])
        if name is None:
            continue
        for path in sorted(p for p in repository.rglob("*") if p.is_file()):
            try:
                net = prototxt.read_net(path)
                for step in (upgrade_v0.upgrade, upgrade_v1.upgrade_transformations, upgrade_v1.upgrade):
                    step(net)
            except CaffeError:
                unreadable += 1  # a solver, or a file that is none
                continue
            if not net.param.layer:
                continue
            files += 1
            counted.add(repository.name)
            for finding in dialects.check(dialects.load(name), net.param, net.lines):
                refused += 1
                print(f"{path.relative_to(folder)}: {finding}")
    print(f"{files} nets of {len(counted)} repositories: {refused} refusals; {unreadable} files are no nets")
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
