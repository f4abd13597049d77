"""Whether this installation is whole: what Python means by ``caffe``, versions, devices, compiler, extras."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import caffe
from caffe.doctor.finding import NOTE, PROBLEM, Finding

DISTRIBUTION = "caffe-torch"


def facts() -> dict[str, str]:
    """What is installed, by the name of each thing: the package's place, versions, devices, compiler, extras."""
    told = {
        "caffe": f"{caffe.__version__} in {Path(caffe.__file__).parent}",
        "Python": f"{platform.python_version()} on {platform.platform()}",
    }
    required, extras = _requirements()
    told |= {name: _version(name) or "not installed" for name in required}
    told["devices"] = _devices()
    told["C++ compiler"] = _compiler()
    for extra, packages in extras.items():
        absent = [name for name in packages if not _version(name)]
        told[f"[{extra}]"] = f"not installed: {', '.join(absent)}" if absent else "installed"
    return told


def check(folder: Path, path: Sequence[str] | None = None) -> list[Finding]:
    """What stands in the way of ``import caffe`` meaning this package, for scripts run in ``folder``.

    ``path``: where Python looks for modules; ``sys.path`` where left out.
    """
    return [*_in_folder(folder), *_elsewhere(sys.path if path is None else path, folder), *_absent()]


def _in_folder(folder: Path) -> Iterator[Finding]:
    for name in ("caffe.py", "caffe/__init__.py"):
        file = folder / name
        if file.is_file() and not _is_ours(file):
            yield Finding(
                str(file),
                0,
                PROBLEM,
                "scripts and notebooks in this folder import this instead of the package that is installed",
                f"Rename {folder / name.split('/')[0]}, or run scripts from another folder",
            )
    for checkout in (folder, folder / "caffe"):
        module = checkout / "python" / "caffe" / "__init__.py"
        if module.is_file() and not _is_ours(module):
            yield Finding(
                str(module),
                0,
                NOTE,
                "a checkout of Caffe: scripts that put its folder 'python' into sys.path import that one, which needs"
                " to be built",
                "Take the lines with sys.path.insert(…) out of such scripts, or run them as: caffe run script.py",
            )


def _elsewhere(path: Sequence[str], folder: Path) -> Iterator[Finding]:
    set_by_user = {os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p}
    for place in dict.fromkeys(os.path.abspath(p) for p in path if p):
        file = Path(place, "caffe", "__init__.py")
        if place == os.path.abspath(folder) or not file.is_file() or _is_ours(file):
            continue
        copy = (file.parent / "doctor" / "installation.py").is_file()
        yield Finding(
            str(file),
            0,
            NOTE if copy else PROBLEM,
            f"another {'copy of this package' if copy else 'package called caffe'} is here; which of the two Python"
            " takes depends on the order of sys.path",
            _way_out(place, place in set_by_user),
        )


def _way_out(place: str, set_by_user: bool) -> str:
    if set_by_user:
        return f"Take {place} out of PYTHONPATH"
    names = [n for n in metadata.packages_distributions().get("caffe", []) if _folded(n) != DISTRIBUTION]
    return f"pip uninstall {' '.join(sorted(set(names)))}" if names else f"Take {place} out of sys.path"


def _absent() -> Iterator[Finding]:
    for name in _requirements()[0]:
        if not _version(name):
            yield Finding(
                str(Path(caffe.__file__).parent),
                0,
                PROBLEM,
                f"{name} is not installed",
                f"pip install {name}",
            )


def _is_ours(file: Path) -> bool:
    return file.resolve() == Path(caffe.__file__).resolve()


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The packages that are needed, and those of each extra for users, as the installed package names them."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # used from its source folder
        return ["torch", "numpy", "protobuf", "lmdb", "h5py", "opencv-python-headless", "click", "rich"], {}
    required, extras = [], dict[str, list[str]]()
    for line in lines:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if extra is None and "python_version" not in line:
            required.append(name)
        elif extra is not None and extra[1] not in ("test", "dev", "docs"):
            extras.setdefault(extra[1], []).append(name)
    return required, extras


def _version(name: str) -> str:
    """The installed version; empty where there is none. Any build of OpenCV will do."""
    for one in (name, *(["opencv-python", "opencv-contrib-python"] if name.startswith("opencv") else [])):
        try:
            return metadata.version(one)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _devices() -> str:
    try:
        import torch

        from caffe import runtime
    except ImportError as error:
        return f"torch cannot be imported: {error}"
    names = runtime.accelerators()
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return (
        f"CPU, {torch.get_num_threads()} threads" + "".join(f", {n}" for n in names) + f"; torch is {build}"
    )


def _compiler() -> str:
    name = os.environ.get("CXX") or ("cl" if os.name == "nt" else "c++")
    compiler = shutil.which(name) or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        return "none: --compile needs one (Debian: apt install g++); all else goes without"
    try:
        run = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        return f"{compiler}, which does not run: {error.strerror}"
    return f"{compiler}: {(run.stdout or run.stderr).splitlines()[0] if run.stdout or run.stderr else 'no version'}"


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
