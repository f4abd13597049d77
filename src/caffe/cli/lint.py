"""caffe lint: what a fork of Caffe or a toolchain would refuse of a net, with layer and line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from caffe.cli.gflags import GflagsCommand

if TYPE_CHECKING:
    from caffe.dialects import Dialect, Finding
    from caffe.formats.prototxt import NetFile


@click.command("lint", cls=GflagsCommand)
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option(
    "--dialect", metavar="NAME", help="The fork or toolchain; what the file says of itself, else bvlc."
)
@click.option(
    "--list", "listed", is_flag=True, help="List the dialects, or with --dialect what one is made of."
)
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
def command(files: tuple[str, ...], dialect: str | None, listed: bool, as_json: bool) -> int:
    """Say what a fork of Caffe or an accelerator's toolchain would refuse of the net in each prototxt FILE.

    Layer types, fields and values that it does not have, and limits such as the largest kernel, each with file,
    line and layer. Exit status 1 where there is something.

    \b
      caffe lint deploy.prototxt --dialect=nnie
    """
    from caffe import dialects

    if listed:
        click.echo(_contents(dialects.load(dialect)) if dialect else _table())
        return 0
    if not files:
        raise click.UsageError("Give a prototxt, or --list")
    findings: list[tuple[str, Dialect, Finding]] = []
    for path in files:
        chosen, problems = _lint(path, dialect)
        findings += [(path, chosen, each) for each in problems]
        if not as_json:
            for each in problems:
                click.echo(f"{path}:{each.line or 1}: {each}")
            if not problems:
                click.echo(f"{path}: nothing that {chosen.title} would refuse")
    if as_json:
        rows = [{"file": path, "dialect": chosen.name, **asdict(each)} for path, chosen, each in findings]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    return 1 if findings else 0


def _lint(path: str, name: str | None) -> tuple[Dialect, list[Finding]]:
    from caffe.dialects import checking, load
    from caffe.formats import prototxt
    from caffe.passes import upgrade_v0, upgrade_v1

    text = prototxt.read_text(path)
    net = prototxt.parse_net(text, file=path)
    dialect = load(name or net.dialect or "bvlc")
    for step in (upgrade_v0.upgrade, upgrade_v1.upgrade_transformations, upgrade_v1.upgrade):
        step(net)  # inputs stay as they are written
    shapes = (
        _shapes(path, net)
        if any("." in x.of and x.of[:3] in ("bot", "top") for x in dialect.limits)
        else None
    )
    return dialect, checking.located(checking.check(dialect, net.param, net.lines, shapes), text)


def _shapes(path: str, net: NetFile) -> dict[str, tuple[int, ...]] | None:
    """The blobs' shapes, where the net can be built; nothing of the net's is run, so not behind Python layers."""
    from caffe.errors import CaffeError
    from caffe.formats.prototxt import NetFile
    from caffe.net.net import Net
    from caffe.passes.filter import filter_net
    from caffe.proto import caffe_pb2

    safe = NetFile(caffe_pb2.NetParameter(), path)
    safe.param.CopyFrom(net.param)
    safe.param.state.phase = caffe_pb2.TEST
    unknown: set[str] = set()
    try:
        filter_net(safe)
        layers = list(safe.param.layer)
        del safe.param.layer[:]
        for layer in layers:
            if layer.type == "Python" or not unknown.isdisjoint(layer.bottom):
                unknown.update(layer.top)
            else:
                safe.param.layer.add().CopyFrom(layer)
        built = Net(safe, caffe_pb2.TEST)
    except CaffeError as error:
        click.echo(
            f"{path}: limits on sizes are not looked at, as the net cannot be built: {error}", err=True
        )
        return None
    if unknown:
        click.echo(
            f"{path}: limits on sizes are not looked at behind Python layers, which are not run", err=True
        )
    return {name: tuple(blob.shape) for name, blob in built.blobs.items() if name not in unknown}


def _table() -> str:
    from caffe.dialects import load, names

    rows = [(name, load(name)) for name in names()]
    width = max(len(name) for name, _ in rows)
    parts = []
    for head, deploy in (("Forks", False), ("Toolchains", True)):
        parts.append(f"{head}:")
        parts += [f"  {name:{width}}  {d.title}" for name, d in rows if d.deploy == deploy]
    return "\n".join(parts)


def _contents(dialect: Dialect) -> str:
    lines = [f"{dialect.name}: {dialect.title}"]
    if dialect.about:
        lines.append(dialect.about)
    if dialect.aliases:
        lines.append(f"Also called: {', '.join(dialect.aliases)}")
    lines += [f"Source: {source}" for source in dialect.sources]
    lines.append(f"Layer types ({len(dialect.types)}): {' '.join(sorted(dialect.types))}")
    for limit in dialect.limits:
        bounds = [
            f"{word} {value:g}"
            for word, value in (("at least", limit.least), ("at most", limit.most))
            if value is not None
        ]
        if limit.among is not None:
            bounds.append(" or ".join(map(str, limit.among)))
        if limit.given is not None:
            bounds.append("given" if limit.given else "not given")
        lines.append(
            f"{' '.join(sorted(limit.types))}: {limit.of} {', '.join(bounds)}. {limit.says}".rstrip()
        )
    return "\n".join(lines)
