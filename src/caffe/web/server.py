"""What the page asks for: the documents, an edited net, weights, activations, maps, and news of runs.

Only the documents that were named on the command line can be asked for; no request names a file.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from caffe.errors import CaffeError, InputError
from caffe.web import hosting, page
from caffe.web.documents import Document, NetDocument

Json = dict[str, Any]
MOST_TEXT = 4 << 20
"""Bytes of a prototxt that the editor may send."""


class Site:
    """The documents of a page, made when they are first asked for."""

    def __init__(
        self, collect: Callable[[], Sequence[Document]], compare: Callable[[Sequence[Document]], Json | None]
    ) -> None:
        self._collect = collect
        self._compare = compare
        self._lock = threading.RLock()
        self._found: Sequence[Document] | None = None

    @property
    def documents(self) -> Sequence[Document]:
        with self._lock:
            if self._found is None:
                self._found = self._collect()
            return self._found

    def state(self) -> Json:
        """All tabs, and the comparison of nets where one was asked for."""
        with self._lock:
            documents = self.documents
            tabs = [d.json() for d in documents]
            return {"documents": tabs, "live": True, "comparison": self._compare(documents)}

    def net(self, index: int) -> NetDocument:
        documents = self.documents
        if not 0 <= index < len(documents) or not isinstance(documents[index], NetDocument):
            raise InputError(f"There is no net {index}")
        document = documents[index]
        if not isinstance(document, NetDocument):
            raise InputError(f"Document {index} is no net")
        return document


def application(site: Site, host: str = "127.0.0.1", token: str = "", title: str = "caffe") -> Any:
    """The ASGI application."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def answer(work: Callable[[Request], Any]) -> Any:
        async def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(await run_in_threadpool(work, request))
            except CaffeError as error:
                return JSONResponse({"error": str(error)}, 400)

        return endpoint

    async def home(request: Request) -> Response:
        text, policy = page.served(title)
        headers = {"content-security-policy": policy, "cache-control": "no-store"}
        return HTMLResponse(text, headers=headers)

    async def parse(request: Request) -> Response:
        if request.headers.get(hosting.HEADER) is None:
            return JSONResponse({"error": f"The header {hosting.HEADER} is missing"}, 403)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_TEXT:
                return JSONResponse({"error": f"A net may have at most {MOST_TEXT} bytes"}, 413)
        try:
            asked = json.loads(body)
            document, text = site.net(int(asked["document"])), str(asked["text"])
            return JSONResponse(await run_in_threadpool(document.parse, text, True))
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": 'The body must be {"document": 0, "text": "…"}'}, 400)
        except CaffeError as error:
            return JSONResponse({"error": str(error)}, 400)

    def weights(request: Request) -> Any:
        return site.net(request.path_params["document"]).layer_weights(request.path_params["name"])

    def activations(request: Request) -> Any:
        document = site.net(request.path_params["document"])
        with document.lock:
            return document.photo.activations(request.path_params["name"])

    def saliency(request: Request) -> Any:
        document = site.net(request.path_params["document"])
        with document.lock:
            return document.photo.map(request.path_params["kind"], request.path_params["index"])

    def news(request: Request) -> Any:
        documents = site.documents
        index = request.path_params["document"]
        if not 0 <= index < len(documents):
            raise InputError(f"There is no document {index}")
        return documents[index].json()

    async def snapshot(request: Request) -> Response:
        from starlette.responses import FileResponse

        from caffe.web.runs import RunsDocument

        documents = site.documents
        index = request.path_params["document"]
        document = documents[index] if 0 <= index < len(documents) else None
        if not isinstance(document, RunsDocument):
            return JSONResponse({"error": f"Document {index} has no snapshots"}, 404)
        path = document.snapshot(request.path_params["name"])
        if path is None:
            return JSONResponse({"error": "There is no such snapshot"}, 404)
        return FileResponse(path, filename=path.name)

    routes = [
        Route("/", home),
        Route("/api/state", answer(lambda request: site.state())),
        Route("/api/parse", parse, methods=["POST"]),
        Route("/api/{document:int}/weights/{name:path}", answer(weights)),
        Route("/api/{document:int}/activations/{name:path}", answer(activations)),
        Route("/api/{document:int}/map/{kind}/{index:int}", answer(saliency)),
        Route("/api/{document:int}/news", answer(news)),
        Route("/api/{document:int}/snapshot/{name}", snapshot),
        Mount("/static", StaticFiles(directory=page.STATIC)),
    ]
    return hosting.Guard(Starlette(routes=routes), host, token)
