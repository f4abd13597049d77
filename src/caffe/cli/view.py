"""``caffe view``: a net, its weights, a photo's activations, a database or a run as a page in the browser."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe.cli import gflags
from caffe.cli.paths import must_exist

if TYPE_CHECKING:
    from caffe.formats.model_folder import ModelFolder


@click.command("view", cls=gflags.GflagsCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--weights", default="", help="The net's weights; they may also stand behind it as a FILE.")
@click.option("--image", default="", help="A photo to show every blob's activations of.")
@click.option("--compare", default="", help="Another net or weights file, to say what differs.")
@click.option("--out", default="", help="Write the page into this .html file, which needs no server.")
@click.option("--phase", default="TEST", show_default=True, help="TRAIN or TEST.")
@click.option("--level", default=0, help="The net's level.")
@click.option("--stage", default="", help="The net's stages, separated by ','.")
@click.option("--labels", default="", help="A line for each class; looked for beside the net where left out.")
@click.option(
    "--mean", default=None, help="Subtracted from the photo: numbers, a .npy or .binaryproto, none."
)
@click.option("--raw_scale", default=255.0, show_default=True, help="Factor before the mean.")
@click.option("--input_scale", default=1.0, show_default=True, help="Factor after the mean.")
@click.option("--channel_swap", default=None, help="Order of channels; 2,1,0 (BGR) for colour.")
@click.option("--python/--nopython", default=False, help="Import the net's Python layers.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option("--port", default=0, help="Port to serve on; a free one where left out.")
@click.option("--open/--noopen", "opens", default=True, help="Open the page in the browser.")
def command(files: tuple[str, ...], **flags: Any) -> int:
    """Show FILEs as a page: nets (prototxt) with costs, shapes and mistakes; weights; databases; solvers; runs.

    Weights behind a net belong to it: caffe view deploy.prototxt net.caffemodel --image=cat.jpg

    \b
      caffe view deploy.prototxt net.caffemodel
      caffe view runs/cats --image=photo.jpg
    """
    from caffe.web import hosting

    os.environ.setdefault("CAFFE_OUTPUT_FOLDERS", os.getcwd())  # nets of strangers write nowhere else
    phase = flags["phase"].upper()
    if phase not in ("TRAIN", "TEST"):
        raise click.BadParameter(f"must be TRAIN or TEST; got '{phase}'", param_hint="--phase")
    _check_exist(*files, flags["weights"], flags["image"], flags["compare"])
    if flags["out"]:
        return _write(files, flags)
    hosting.require("caffe view")
    from caffe.web import server

    host = flags["host"]
    token = "" if host in hosting.LOOPBACK else hosting.new_token()
    listening = hosting.listen(host, flags["port"])
    where = hosting.address(host, listening, token)
    site = server.Site(lambda: _documents(files, flags), lambda documents: _comparison(documents, flags))
    click.echo(f"Serving {', '.join(Path(f).name for f in files)} on {where} (Ctrl+C ends it)")
    app = server.application(site, host, token, Path(files[0]).name)
    hosting.run(app, listening, where if flags["opens"] else "", lambda: _prepare_early(site))
    return 0


def _prepare_early(site: Any) -> None:
    """Read the files while the browser starts."""
    from caffe.errors import CaffeError

    def read() -> None:
        with contextlib.suppress(CaffeError):  # the page asks again, and shows it
            site.state()

    threading.Thread(target=read, daemon=True).start()


def _check_exist(*paths: str) -> None:
    for path in filter(None, paths):
        must_exist(path)


def _documents(files: Sequence[str], flags: dict[str, Any]) -> Any:
    from caffe.formats import model_folder
    from caffe.web import documents

    folder = model_folder.read(files[0]) if model_folder.is_model_folder(files[0]) else None
    options = documents.Options(
        phase=0 if flags["phase"].upper() == "TRAIN" else 1,
        level=flags["level"],
        stages=[s for s in flags["stage"].split(",") if s],
        python=flags["python"],
        image=flags["image"],
        labels=_labels(files[0], flags["labels"]) if folder is None or flags["labels"] else folder.labels,
        prepare=lambda net: _prepare(net, flags, folder),
    )
    paths = [*files]
    if flags["compare"]:
        paths.append(flags["compare"])
        if flags["compare"].endswith(documents.WEIGHTS) and not files[0].endswith(documents.WEIGHTS):
            paths.insert(-1, files[0])  # other weights of the same net
    return documents.collect(paths, options, flags["weights"])


def _prepare(net: Any, flags: dict[str, Any], folder: ModelFolder | None) -> None:
    """As the flags say, or, where they say nothing, a model folder."""
    from caffe.cli import _images

    if folder is not None and flags["mean"] is None and flags["channel_swap"] is None:
        flags = flags | _images.as_trained(folder)
    _images.prepare(net, flags)


def _labels(net: str, given: str) -> list[str]:
    from caffe.errors import MissingFileError

    usual = [Path(net).parent / name for name in ("synset_words.txt", "labels.txt")]
    for path in [Path(given)] if given else usual:
        if path.is_file():
            return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if given:
            raise MissingFileError("This labels file does not exist", file=path)
    return []


def _comparison(documents: Sequence[Any], flags: dict[str, Any]) -> Any:
    """What differs between the first net and the one that --compare names, the last."""
    if not flags["compare"]:
        return None
    from caffe.errors import InputError
    from caffe.web import compare
    from caffe.web.documents import NetDocument

    first, second = documents[0], documents[-1]
    if not (isinstance(first, NetDocument) and isinstance(second, NetDocument)) or first is second:
        raise InputError("--compare takes a net or weights to compare with a net")
    a, b = first.json(), second.json()
    return {
        "titles": [first.title, second.title],
        "layers": compare.compare_layers(a.get("layers", []), b.get("layers", [])),
        "weights": compare.compare_weights(first.weights, second.weights)
        if first.weights and second.weights
        else [],
    }


def _write(files: Sequence[str], flags: dict[str, Any]) -> int:
    from caffe.errors import InputError
    from caffe.formats import atomic
    from caffe.web import embedding, page

    if not flags["out"].endswith((".html", ".htm")):
        raise InputError(f"--out must end in .html; got '{flags['out']}'")
    out = Path(flags["out"])
    if out.exists() and 'id="state"' not in out.read_text(encoding="utf-8", errors="replace"):
        raise InputError("exists and is no page of caffe view; it is left as it is", file=out)
    documents = _documents(files, flags)
    state = embedding.embedded(documents, _comparison(documents, flags))
    with atomic.replacing(flags["out"]) as temporary:
        temporary.write_text(page.whole(state, Path(files[0]).name), encoding="utf-8")
    click.echo(f"Page written to {flags['out']}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
