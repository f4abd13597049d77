"""The floors: a module imports only from its own floor and those below; TYPE_CHECKING and lazy imports count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "caffe"

FLOORS = [
    ["proto", "errors", "runtime", "logs", "limits", "systems"],
    [
        "allocator",
        "kernels",
        "memory",
        "blob",
        "gradients",
        "precision",
        "randomness",
        "fillers",
        "io",
        "net_spec",
        "formats",
        "boxes",
        "timer",
        "resize",
        "display",
    ],
    ["passes", "data", "draw", "coord_map"],
    ["layer", "tensor_layer", "layer_factory", "user_layer", "layers", "dialects"],
    ["net"],
    ["solvers"],
    [
        "importing",
        "classifier",
        "detector",
        "parallel",
        "training_log",
        "models",
        "doctor",
        "export",
        "finetuning",
        "legacy",
        "predict",
    ],
    ["web", "serving"],
    ["cli"],
]
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names} | {"__version__": 0}
ABOVE_ALL = {"__init__", "__main__", "pycaffe", "_caffe", "model_libs"}
"""The package's front: it only re-exports, lazily."""

MODULES = [
    p
    for p in sorted(SOURCE.rglob("*.py"))
    if p.relative_to(SOURCE).parts[0].removesuffix(".py") not in ABOVE_ALL
]


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[tuple[str, int]]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{a.name}" for a in node.names] if node.module == "caffe" else [node.module]
            )
        for name in names:
            parts = name.split(".")
            if parts[0] == "caffe" and len(parts) > 1:
                found.add((parts[1], node.lineno))
    return found


def test_every_module_has_a_floor():
    assert {room(p) for p in MODULES} <= set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downward(path):
    floor = FLOOR[room(path)]
    upward = [f"line {line}: {name}" for name, line in imported_rooms(path) if FLOOR.get(name, 99) > floor]
    assert not upward, f"{path.name} is on floor {floor} and imports from above it: {upward}"


def imported_modules(path: Path) -> set[str]:
    """Every module of the package that a file imports anywhere in it, under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return found


KNOWN_CIRCLES = {
    ("data.sources.database", "data.sources.leveldb"),
    ("data.sources.database", "data.sources.lmdb"),
    ("dialects.checking", "dialects.dialect"),
    ("importing.emitter", "importing.ops.padding"),
}
"""Still there; none is to join them."""


def test_no_two_files_import_each_other():
    names = {"caffe." + ".".join(p.relative_to(SOURCE).with_suffix("").parts): p for p in MODULES}
    imports = {name: imported_modules(path) & set(names) for name, path in names.items()}
    found = {(a, b) for a in names for b in imports[a] if a < b and a in imports[b]}
    found = {(a.removeprefix("caffe."), b.removeprefix("caffe.")) for a, b in found}
    assert found <= KNOWN_CIRCLES


def test_no_circles_in_the_net_and_the_solvers():
    """Not of three or more files either."""
    names = {"caffe." + ".".join(p.relative_to(SOURCE).with_suffix("").parts): p for p in MODULES}
    rooms = ("caffe.net.", "caffe.solvers.", "caffe.blob", "caffe.display", "caffe.memory", "caffe.layer")
    left = {
        name: {m for m in imported_modules(path) if m.startswith(rooms)}
        for name, path in names.items()
        if name.startswith(rooms)
    }
    while free := [name for name, wanted in left.items() if not wanted & set(left)]:
        for name in free:
            del left[name]
    assert not left


def test_what_runs_a_net_knows_no_rewrite():
    """Rewrites are made of what runs; which there are, and in which order, the net alone says."""
    for path in (SOURCE / "net" / "run").glob("*.py"):
        assert not [
            m for m in imported_modules(path) if m.startswith(("caffe.net.rewrites", "caffe.net.net"))
        ]
    users = {p.name for p in MODULES if "caffe.net.rewrites.order" in imported_modules(p)}
    assert users == {"net.py"}


def test_no_assert_in_the_package():
    found = [
        f"{p.relative_to(SOURCE)}:{node.lineno}"
        for p in MODULES
        for node in ast.walk(ast.parse(p.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not found


def test_no_pickle_and_no_eval_in_the_package():
    """No file is read by running it."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
                if any(n.split(".")[0] in ("pickle", "cPickle", "dill", "shelve", "marshal") for n in names):
                    found.append(f"{path.name}:{node.lineno}")
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("eval", "exec")
            ):
                found.append(f"{path.name}:{node.lineno}")
    assert not found
