"""Every link within the project's pages leads somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support_assets import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        *ROOT.glob("benchmarks/**/*.md"),
    ]
)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(
    r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"",
    re.MULTILINE,
)


def anchors(page: Path) -> set[str]:
    """The names that headings of a page have, as the hosts of repositories make them."""
    found: dict[str, int] = {}
    names = set()
    for title in re.findall(
        r"^#+ +(.+?) *#*$", _CODE.sub(_plain, page.read_text(encoding="utf-8")), re.MULTILINE
    ):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(name if name not in found else f"{name}-{found[name]}")
        found[name] = found.get(name, 0) + 1
    return names


def _plain(code: re.Match[str]) -> str:
    return "" if code[0].startswith("```") else code[0].strip("`")


def links(page: Path) -> list[str]:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    return [next(filter(None, found)) for found in _LINK.findall(text)]


def broken(page: Path) -> list[str]:
    found = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or ROOT not in (target, *target.parents):
            found.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            found.append(f"{link}: no such heading")
    return found


def test_links_of_pages() -> None:
    assert len(PAGES) > 200
    assert {str(p.relative_to(ROOT)): wrong for p in PAGES if (wrong := broken(p))} == {}


def test_no_page_is_unreachable() -> None:
    """From the README every page of docs/ is found by following links."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert {str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")} - {
        str(p.relative_to(ROOT)) for p in seen
    } == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](nowhere.md)", ["nowhere.md: no such file"]),
        ("[a](#other-heading)", ["#other-heading: no such heading"]),
        ('[a](#a-heading-of-it) `[x](code.md)` <a href="gone.html">', ["gone.html: no such file"]),
        ("[a](https://example.org/nowhere)", []),
    ],
)
def test_a_broken_link_is_seen(
    text: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A `heading` of it!\n\n{text}\n")
    monkeypatch.setattr(sys.modules[broken.__module__], "ROOT", tmp_path)
    assert broken(page) == said
