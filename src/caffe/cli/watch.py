"""``caffe watch``: runs of training as a page in the browser, live."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from caffe.cli import gflags


@click.command("watch", cls=gflags.GflagsCommand)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--wait/--nowait", default=False, help="Show runs as they begin, even if there is none yet.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option("--port", default=0, help="Port to serve on; a free one where left out.")
@click.option("--open/--noopen", "opens", default=True, help="Open the page in the browser.")
def command(runs: tuple[str, ...], **flags: Any) -> int:
    """Show RUNs together: curves, settings, snapshots, how each layer learns; it goes on as they do.

    A RUN is a log (the original's, too), a metrics.jsonl, a snapshot prefix or a folder of such. caffe train --watch
    opens the page for the run that it starts.

    \b
      caffe watch snapshots/
    """
    from caffe.web import hosting

    hosting.require("caffe watch")
    from caffe.web import server
    from caffe.web.runs import RunsDocument

    document = RunsDocument.of_paths(runs, wait=flags["wait"])
    host = flags["host"]
    token = "" if host in hosting.LOOPBACK else hosting.new_token()
    listening = hosting.listen(host, flags["port"])
    where = hosting.address(host, listening, token)
    click.echo(f"Watching {', '.join(Path(r).name for r in runs)} on {where} (Ctrl+C ends it)")
    app = server.application(server.Site(lambda: [document], lambda _: None), host, token, document.title)
    hosting.run(app, listening, where if flags["opens"] else "")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
