"""Every case of ``cases/`` holds, and every registered layer type has one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from harness import Case, check_layer, layer_parameter, load_cases

import caffe.layer_factory

ALL = load_cases()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    check_layer(case, tmp_path)


def test_names_are_unique() -> None:
    twice = [name for name, count in Counter(case.name for case in ALL).items() if count > 1]
    assert not twice


def test_every_type_has_a_case(tmp_path: Path) -> None:
    tried = set()
    for i, case in enumerate(ALL):
        folder = tmp_path / str(i)
        folder.mkdir()
        text = case.layer if isinstance(case.layer, str) else case.layer(folder)
        tried.add(layer_parameter(text).type)
    types = caffe.layer_factory.layer_type_list()
    built_in = {t for t in types if caffe.layer_factory.layer_class(t).__module__.startswith("caffe.layers.")}
    without = sorted(built_in - tried)
    assert not without, f"layer types without a case in tests/layers/cases: {', '.join(without)}"
