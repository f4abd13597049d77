"""The shell's commands of old scripts: the original's tools and data scripts go to ours."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import Any

_TOOL = re.compile(
    r"(?<![\w-])(?:[\w./${}~-]*/)?(?:build|\.build_release|cmake_build)/(?:tools|examples/\w+)/(\w+)(?:\.bin|\.exe)?"
)
_SCRIPTS = {
    "get_mnist.sh": "download mnist",
    "get_cifar10.sh": "download cifar10",
    "get_ilsvrc_aux.sh": "download ilsvrc_aux",
    "create_mnist.sh": "",
    "download_model_binary.py": "download_model_binary",
    "parse_log.py": "parse_log",
    "draw_net.py": "draw_net",
    "classify.py": "classify",
    "detect.py": "detect",
}
_SCRIPT = re.compile(
    r"(?<![\w-])(?:(?:bash|sh|python[23]?)\s+)?(?:[\w./${}~-]*/)?("
    + "|".join(map(re.escape, _SCRIPTS)) + r")(?![\w.])"
)  # fmt: skip
_SHELL_FILE = re.compile(r"(?<![\w./-])(?:(?:bash|sh|source|\.)\s+)?([\w./~-]+\.sh)(?![\w.])")
_reading: set[str] = set()
"""Shell scripts that are being translated; they may name themselves."""
_MNIST = "examples/mnist/mnist_{0}_lmdb"


def ours(command: str) -> str:
    """The same command line with the original's programs replaced."""
    caffe = f"{shlex.quote(sys.executable)} -m caffe"
    command = _TOOL.sub(lambda m: caffe if m.group(1) == "caffe" else f"{caffe} {m.group(1)}", command)

    def script(found: re.Match[str]) -> str:
        name = found.group(1)
        if name == "create_mnist.sh":
            return " && ".join(_create_mnist(caffe))
        return f"{caffe} {_SCRIPTS[name]}"

    return _SCRIPT.sub(script, _SHELL_FILE.sub(_translated, command))


def _translated(found: re.Match[str]) -> str:
    """A script of the user's that names the original's programs: its text, translated, in its place."""
    path = os.path.expanduser(found.group(1))
    if os.path.basename(path) in _SCRIPTS or path in _reading or not os.path.isfile(path):
        return found.group()
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    _reading.add(path)
    new = ours(text)
    _reading.discard(path)
    return found.group() if new == text else f"bash -c {shlex.quote(new)} {shlex.quote(found.group(1))}"


def _create_mnist(caffe: str) -> list[str]:
    files = {"train": "train", "test": "t10k"}
    return [
        f"({caffe} convert_mnist_data data/mnist/{prefix}-images-idx3-ubyte data/mnist/{prefix}-labels-idx1-ubyte"
        f" {_MNIST.format(kind)} --backend=lmdb --overwrite)"
        for kind, prefix in files.items()
    ]


def install() -> None:
    """Have ``os.system`` and ``subprocess`` run our programs in place of the original's."""
    if getattr(os.system, "is_ours", False):
        return
    system, popen = os.system, subprocess.Popen.__init__

    def ours_system(command: Any) -> int:
        return system(ours(command) if isinstance(command, str) else command)

    def ours_popen(self: Any, args: Any, *more: Any, **kwargs: Any) -> None:
        popen(self, ours_of(args), *more, **kwargs)

    ours_system.is_ours = True  # type: ignore[attr-defined]
    os.system = ours_system
    subprocess.Popen.__init__ = ours_popen  # type: ignore[method-assign]


def ours_of(args: Any) -> Any:
    """What subprocess is given, with the original's programs replaced: a line, or a list of words."""
    if isinstance(args, str):
        return ours(args)
    if isinstance(args, (list, tuple)) and args and all(isinstance(a, str) for a in args):
        head = [str(a) for a in args[:2]]
        for count in (2, 1):
            line = ours(" ".join(head[:count]))
            if line != " ".join(head[:count]) and " " not in "".join(head[:count]):
                return [*shlex.split(line), *args[count:]]
    return args
