"""The floors: a module imports only from its own floor and those below; TYPE_CHECKING and lazy imports count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "caffe"

FLOORS = [
    ["proto", "errors", "runtime", "logs", "limits", "systems"],
    [
        "torch_private",
        "allocator",
        "kernels",
        "memory",
        "blob",
        "gradients",
        "deferred",
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


def module_name(path: Path) -> str:
    """``caffe.net.net``; of a folder's ``__init__``, the folder's."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("caffe", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def left_in_circles(imports: dict[str, set[str]]) -> set[str]:
    """The names that stand in a circle, or between two: of names and what each of them imports."""
    left = {name: wanted & set(imports) - {name} for name, wanted in imports.items()}
    while True:
        needed = set().union(*left.values())
        free = [name for name, wanted in left.items() if not wanted & set(left) or name not in needed]
        if not free:
            return set(left)
        for name in free:
            del left[name]


def test_no_circles():
    """No file imports one that imports it, through however many others, and wherever in it the import stands."""
    assert left_in_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == set("abc")
    files = {module_name(path): path for path in MODULES}
    imports = {}
    for name, path in files.items():
        wanted = imported_modules(path)
        imports[name] = {m for m in wanted if not any(w.startswith(m + ".") and w in files for w in wanted)}
    assert not left_in_circles(imports)


def test_no_circles_of_rooms():
    rooms: dict[str, set[str]] = {}
    for path in MODULES:
        rooms.setdefault(room(path), set()).update(name for name, _ in imported_rooms(path))
    assert not left_in_circles(rooms)


def test_what_is_imported_by_name():
    """Imports of names that are put together are seen by none of these tests: they are all listed here."""
    by_name = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                what = ast.unparse(node.args[0])
                if not what.startswith("'") or what.startswith("'caffe."):
                    by_name.add((module_name(path).removeprefix("caffe."), what))
    assert by_name == {
        ("cli.commands", "f'caffe.cli.{entry.module or entry.name}'"),
        ("export.packages", "name"),  # optional packages of others
        ("importing.onnx_front", "f'caffe.importing.onnx_ops.{family}'"),
        ("importing.ops", "f'caffe.importing.ops.{family}'"),
        ("layer_factory", "module_name"),  # layers/
        ("export.onnx_symbolics", "f'torch.onnx.{name}'"),
        ("export.onnx_symbolics", "f'torch.onnx._internal.torchscript_exporter.{name}'"),
        ("legacy.libraries", "_RENAMED[name]"),  # modules of old Pythons
        ("layers.common.python", "module"),  # the user's
        ("layers.common.python", "name"),
        ("layers.common.python", "_STAND_INS[name]"),
        ("net.contents", "'caffe.export'"),  # net.to_torch(): what stands above the net is found by its name
        ("net.contents", "'caffe.web.notebook'"),  # net.view()
        ("solvers.setup", "f'caffe.solvers.{RULES[name]}'"),
    }


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


PRIVATE_TO_OTHERS = {"os._exit", "sys._getframe", "A._upsample_nearest_exact2d"}
"""What of others' private names is used all the same; of torch only in its own module and in ONNX's symbolics."""


def test_private_names_stay_in_their_files():
    """``x._name`` is used where a file defines that name, or for ``self``."""
    used = set()
    for path in MODULES:
        if path.stem in ("torch_private", "onnx_symbolics"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Store):
                own.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or node.attr in own:
                continue
            if not node.attr.startswith("_") or node.attr.startswith("__"):
                continue
            if ast.unparse(node.value) not in ("self", "cls", "super()"):
                used.add(f"{room(path)}: {ast.unparse(node)}")
    assert {name.split(": ")[1] for name in used} <= PRIVATE_TO_OTHERS, sorted(used)


def test_no_time_is_measured_by_the_time_of_day():
    """A clock that is set, or jumps, would end waiting early, or never."""
    assert [str(p) for p in SOURCE.rglob("*.py") if "time.time(" in p.read_text(encoding="utf-8")] == []
