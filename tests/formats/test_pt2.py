"""Programs of torch.export: those that are, and those that would run something."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caffe.errors import CaffeError, MissingFileError, ParseError
from caffe.formats.pt2 import load_program


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.register_buffer("grid", torch.arange(4.0).view(1, 4, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x)) + self.grid
        return torch.nn.functional.interpolate(y, scale_factor=2)[:, :, : x.shape[2] // 2]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(
        Net().eval(), (torch.ones(4, 3, 8, 9),), dynamic_shapes=({0: batch, 2: torch.export.Dim.AUTO},)
    )
    torch.export.save(program, str(tmp_path / "good.pt2"))
    return tmp_path / "good.pt2"


def changed(
    path: Path, change: Callable[[str, bytes], bytes | None], extra: dict[str, bytes] | None = None
) -> Path:
    """The archive with other entries: ``change`` gives an entry's bytes, or None to leave them."""
    bad = path.with_name("bad.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(name, data) or data)
        for name, data in (extra or {}).items():
            new.writestr(f"{old.namelist()[0].split('/')[0]}/{name}", data)
    return bad


def graph_with(edit: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes | None]:
    def change(name: str, data: bytes) -> bytes | None:
        if not name.endswith("models/model.json"):
            return None
        model = json.loads(data)
        edit(model)
        return json.dumps(model).encode()

    return change


class Touch:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "ran")


def pickled(thing: object) -> bytes:
    file = io.BytesIO()
    torch.save(thing, file, pickle_protocol=2)
    return file.getvalue()


def test_a_program_computes_what_it_did(good: Path) -> None:
    x = torch.randn(5, 3, 8, 9)
    expected = torch.export.load(str(good)).module()(x)
    assert torch.equal(load_program(good).module()(x), expected)


def test_damaged_and_missing(good: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        load_program(tmp_path / "none.pt2")
    (tmp_path / "cut.pt2").write_bytes(good.read_bytes()[:-200])
    for size in (200, 20_000_000):
        (tmp_path / "cut.pt2").write_bytes(good.read_bytes()[:-size])
        with pytest.raises(ParseError, match=r"cut\.pt2.*cut off"):
            load_program(tmp_path / "cut.pt2")


def sample_inputs(path: Path, marker: Path) -> Path:
    return changed(path, lambda name, data: pickled((Touch(marker),)) if "sample_inputs" in name else None)


def constant(path: Path, marker: Path) -> Path:
    return changed(path, lambda *_: None, {"data/constants/custom_obj_0": pickle.dumps(Touch(marker))})


def weight(path: Path, marker: Path) -> Path:
    def change(name: str, data: bytes) -> bytes | None:
        if name.endswith("model_weights_config.json"):
            config = json.loads(data)
            for payload in config["config"].values():
                payload["use_pickle"] = True
            return json.dumps(config).encode()
        return pickled(Touch(marker)) if "weights/weight_" in name else None

    return changed(path, change)


def legacy_weights(path: Path, marker: Path) -> Path:
    return changed(path, lambda *_: None, {"data/weights/model.pt": pickled(Touch(marker))})


def size(path: Path, marker: Path) -> Path:
    def edit(model: dict[str, Any]) -> None:
        code = f"__import__('pathlib').Path({str(marker)!r}).write_text('ran')"
        values = model["graph_module"]["graph"]["tensor_values"]
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": code, "hint": {"as_int": 4}}}

    return changed(path, graph_with(edit))


def target(path: Path, marker: Path) -> Path:
    def edit(model: dict[str, Any]) -> None:
        model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"

    return changed(path, graph_with(edit))


def guard(path: Path, marker: Path) -> Path:
    def edit(model: dict[str, Any]) -> None:
        model["guards_code"] = [f"__import__('pathlib').Path({str(marker)!r}).write_text('ran') or True"]

    return changed(path, graph_with(edit))


@pytest.mark.parametrize(
    "attack", [sample_inputs, constant, weight, legacy_weights, size, target, guard], ids=lambda a: a.__name__
)
def test_nothing_of_a_stranger_runs(attack: Callable[[Path, Path], Path], good: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    bad = attack(good, marker)
    try:
        load_program(bad).module()(torch.randn(5, 3, 8, 9))
    except CaffeError as error:
        assert isinstance(error, ParseError) and "bad.pt2" in str(error)
    else:
        assert attack is guard  # left out
    assert not marker.exists()


@pytest.mark.parametrize("attack", [sample_inputs, size, guard], ids=lambda a: a.__name__)
def test_torch_alone_would_run_it(attack: Callable[[Path, Path], Path], good: Path, tmp_path: Path) -> None:
    """So that the attacks above are some."""
    marker = tmp_path / "marker"
    bad = attack(good, marker)
    with contextlib.suppress(Exception):
        torch.export.load(str(bad)).module()(torch.randn(5, 3, 8, 9))
    assert marker.exists()


@pytest.mark.parametrize(
    "text",
    ["9**9**9**9", "Pow(Integer(9), Integer(99999999))", "s0.__class__", "lambda: 0", "exit()", "1<<99"],
)
def test_sizes_that_are_none(text: str, good: Path) -> None:
    def edit(model: dict[str, Any]) -> None:
        values = model["graph_module"]["graph"]["tensor_values"]
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": text, "hint": None}}

    with pytest.raises(ParseError, match="no expression of sizes"):
        load_program(changed(good, graph_with(edit)))


@pytest.mark.parametrize(
    "text",
    ["_operator.attrgetter", "_operator.call", "torch.load", "torch.ops.aten.from_file.default", "math.comb"],
)
def test_functions_that_are_no_operations(text: str, good: Path) -> None:
    def edit(model: dict[str, Any]) -> None:
        model["graph_module"]["graph"]["nodes"][0]["target"] = text

    with pytest.raises(ParseError, match="no operation on tensors"):
        load_program(changed(good, graph_with(edit)))
