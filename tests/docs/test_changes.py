"""The list of changes: sections, and each thing told once."""

from __future__ import annotations

import re
from collections import Counter

from support_assets import ROOT


def test_changes_stand_in_sections_and_once():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        before, *sections = re.split(r"^### ", version, flags=re.MULTILINE)
        assert sections and "\n- " not in before
        assert all("\n- " in section for section in sections)
        titles = Counter(section.split("\n")[0] for section in sections)
        begins = Counter(re.findall(r"^- (.{25})", version, re.MULTILINE))
        assert [begin for begin, count in (titles + begins).items() if count > 1] == []
