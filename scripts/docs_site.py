"""What the documentation site adds to docs/: the README as its first page, files that pages link to, the reference
of the Python API and of the commands, made from the package itself. A hook of MkDocs; `make docs` runs it.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "index.md": "README.md",
    "tutorials.md": "examples/README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
"""Page of the site → what it is made of, outside of docs/."""
LINK = re.compile(r"(\]\()([^)#\s]+)")
SITE = "_files"
"""Where files that are no pages lie in the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that docs/ does not have, and the files that pages link to."""
    for name, source in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, "api.md", content=api()))
    files.append(File.generated(config, "cli.md", content=commands()))
    known = {file.src_uri for file in files}
    for file in list(files.documentation_pages()):
        for target in _targets(file):
            name = f"{SITE}/{target.relative_to(ROOT)}"
            if target.is_file() and name not in known:
                known.add(name)
                files.append(File.generated(config, name, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are in the repository lead to where things are in the site."""

    def changed(match: re.Match[str]) -> str:
        target = _resolve(page.file, match[2])
        if target is None:
            return match[0]
        if target.is_dir():
            target = target / "README.md"
        inside = target.relative_to(ROOT).as_posix()
        pages = {source: name for name, source in PAGES.items()}
        there = pages.get(inside) or (
            inside.removeprefix("docs/") if inside.startswith("docs/") else f"{SITE}/{inside}"
        )
        up = "../" * page.file.src_uri.count("/")
        return match[1] + up + there

    return LINK.sub(changed, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A flag without a default has none to show."""
    return html.replace("<td>``</td>", "<td></td>")


def _targets(file: File) -> set[Path]:
    found = {_resolve(file, match[2]) for match in LINK.finditer(file.content_string)}
    paths = {path / "README.md" if path.is_dir() else path for path in found if path is not None}
    return {
        p
        for p in paths
        if not p.is_relative_to(ROOT / "docs") and str(p.relative_to(ROOT)) not in PAGES.values()
    }


def _resolve(file: File, link: str) -> Path | None:
    """The file of the repository that a relative link means."""
    if "://" in link or link.startswith(("#", "mailto:")):
        return None
    source = PAGES.get(file.src_uri)
    base = (ROOT / (source or f"docs/{file.src_uri}")).parent
    target = (base / link).resolve()
    return target if target.exists() and target.is_relative_to(ROOT) else None


def api() -> str:
    """A page with every public name of the package."""
    import caffe

    lines = ["# Python API", "", "What `import caffe` gives, and the modules that scripts import.", ""]
    for module, names in sorted(caffe._NAMES.items()):
        lines += [f"::: {module}.{name}\n" for name in names if name not in ("params", "to_proto")]
    lines += [
        f"::: {module}\n"
        for module in ("caffe.io", "caffe.draw", "caffe.coord_map", "caffe.errors", "caffe.export")
    ]
    return "\n".join(lines)


def commands() -> str:
    """A page with every command's help, from click."""
    from caffe.cli.commands import GROUPS

    lines = ["# Every command", ""]
    for group, entries in GROUPS.items():
        lines += [f"## {group}", ""]
        for entry in entries:
            lines += [
                f"::: mkdocs-click\n    :module: caffe.cli.{entry.module or entry.name}\n    :command: command"
            ]
            lines += [f"    :prog_name: caffe {entry.name}\n    :depth: 2\n    :style: table\n"]
    return "\n".join(lines)
