"""Pages inside a notebook: the page of one file in a frame."""

from __future__ import annotations

import html
import os
from typing import Any

from caffe.formats import atomic
from caffe.proto import caffe_pb2
from caffe.web import embedding, page
from caffe.web.documents import Document, NetDocument, Options


class Page:
    """A page that a notebook shows, and ``save`` writes."""

    def __init__(self, document: Document, height: int) -> None:
        self.text = page.whole(embedding.embedded([document]), document.title)
        self.height = height

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write the page into a file, which needs no server. Raises FileAccessError."""
        with atomic.replacing(filename) as temporary:
            temporary.write_text(self.text, encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            f'<iframe style="width:100%;height:{self.height}px;border:1px solid #8888;border-radius:6px" '
            f'title="caffe" srcdoc="{html.escape(self.text)}"></iframe>'
        )


def view(net: Any, height: int) -> Page:
    """A built net as a page, with its present weights."""
    definition = _without_splits(net.to_proto())
    document = NetDocument(
        net.name or "net",
        str(definition),
        Options(phase=net.phase, python=True),
        weights_file="the net in memory",
        definition=definition,
    )
    document.__dict__["weights"] = {name: [b.data for b in blobs] for name, blobs in net.params.items()}
    return Page(document, height)


def _without_splits(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The definition before the net was wired: Split layers copy nothing, and no one wrote them."""
    plain = caffe_pb2.NetParameter()
    plain.CopyFrom(net)
    del plain.layer[:]
    original = {}
    for layer in net.layer:
        if layer.type == "Split":
            original.update(dict.fromkeys(layer.top, layer.bottom[0]))
            continue
        kept = plain.layer.add()
        kept.CopyFrom(layer)
        del kept.bottom[:]
        kept.bottom.extend(original.get(name, name) for name in layer.bottom)
        for rules in (kept.include, kept.exclude):
            del rules[:]
    return plain
