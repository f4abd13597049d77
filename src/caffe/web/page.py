"""The page's files, and the page as one file with everything in it."""

from __future__ import annotations

import base64
import html
import json
import secrets
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
MODULES = sorted(p.relative_to(STATIC).as_posix() for p in STATIC.rglob("*.js"))
"""The modules of the page; ``import … from "caffe/graph.js"`` finds ``static/graph.js``."""
STYLES = ("vendor/uPlot.min.css", "style.css")


def whole(state: Any, title: str = "caffe") -> str:
    """A page that needs no server and no network, for the state that it shows."""
    modules = {f"caffe/{name}": _data_url(STATIC / name) for name in MODULES}
    styles = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)
    return _page(title, modules, f"<style>{styles}</style>", state)


def served(title: str = "caffe", base: str = "", main: str = "main.js") -> tuple[str, str]:
    """The page for a server that gives its files under ``static/``, and its Content-Security-Policy."""
    nonce = secrets.token_urlsafe(12)
    modules = {f"caffe/{name}": f"{base or './'}static/{name}" for name in MODULES}
    links = "".join(f'<link rel="stylesheet" href="{base}static/{name}">' for name in STYLES)
    policy = (
        f"default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; frame-ancestors 'self'; base-uri 'none'; "
        "form-action 'none'"
    )
    return _page(title, modules, links, None, nonce, main), policy


def _page(
    title: str, modules: dict[str, str], styles: str, state: Any, nonce: str = "", main: str = "main.js"
) -> str:
    allowed = f' nonce="{nonce}"' if nonce else ""
    data = json.dumps(state, allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title>{styles}"
        f'<script type="importmap"{allowed}>{json.dumps({"imports": modules})}</script></head><body>'
        f'<script type="application/json" id="state">{data}</script>'
        f'<div id="app"></div><script type="module"{allowed}>import "caffe/{main}";</script></body></html>\n'
    )


def _data_url(path: Path) -> str:
    return "data:text/javascript;base64," + base64.b64encode(path.read_bytes()).decode()
