"""The server's HTTP interface: the Open Inference Protocol, photos, health, metrics, and the page at ``/``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from caffe import __version__
from caffe.errors import CaffeError, DataError, StateError
from caffe.predict import labels as label_files
from caffe.predict.preparation import Preparation
from caffe.serving import images, openapi, protocol
from caffe.serving.metrics import Metrics
from caffe.serving.pool import Pool, QueueFull, TooLate, WorkerLost
from caffe.serving.settings import Limits, Served, latest
from caffe.web import hosting, page

Json = dict[str, Any]
_FORM_SLACK = 4096
"""Bytes of a form around its image."""


class Refused(CaffeError):
    """A request that gets an answer of 4xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Models:
    """The pools, by name and version."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.metrics = Metrics()
        self.pools = {(s.name, s.version): Pool(s, self.metrics.batch_done) for s in served}
        self.limits = served[0].limits if served else Limits()
        self._labels: dict[Served, label_files.Labels] = {}

    async def start(self) -> None:
        for pool in self.pools.values():
            await pool.start()

    async def close(self) -> None:
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))

    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.pools))

    def versions(self, name: str) -> list[str]:
        return [version for known, version in self.pools if known == name]

    def find(self, name: str | None, version: str | None = None) -> Pool:
        """A model's pool, of its latest version where none is named. Raises Refused."""
        name = name or self.names()[0]
        if name not in self.names():
            raise Refused(404, f"There is no model '{name}'; there are: {', '.join(self.names())}")
        version = version or latest(self.versions(name))
        if (name, version) not in self.pools:
            known = ", ".join(self.versions(name))
            raise Refused(404, f"The model '{name}' has no version '{version}'; it has: {known}")
        return self.pools[name, version]

    def labels(self, pool: Pool, count: int, first: int = 0) -> label_files.Labels:
        """The classes' names, of --labels or of a file beside the net."""
        served = pool.served
        if served not in self._labels:
            if served.labels:
                names = label_files.read(served.labels, first)
            elif pool.about["faces"]:
                names = label_files.Labels({first: "face"})
            else:
                names = label_files.beside(served.net, count, first)
            self._labels[served] = names
        return self._labels[served]

    def metadata(self, name: str) -> Json:
        return protocol.metadata(name, self.versions(name), self.find(name).about)


def application(served: Sequence[Served], host: str = "127.0.0.1", token: str = "") -> Any:
    """The ASGI application; its workers start and end with it."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    models = Models(served)
    limits = models.limits

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await models.start()
        try:
            yield
        finally:
            await models.close()

    async def body_of(request: Request, most: int) -> bytes:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Refused(415, f"The body must not be compressed; it is said to be '{encoding}'")
        said = request.headers.get("content-length", "")
        if said.isdigit() and int(said) > most:
            raise Refused(413, f"A body may have at most {most:,} bytes; this one has {int(said):,}")
        body = bytearray()

        async def collect() -> None:
            async for chunk in request.stream():
                body.extend(chunk)
                if len(body) > most:
                    raise Refused(413, f"A body may have at most {most:,} bytes")

        try:
            await asyncio.wait_for(collect(), limits.upload_seconds)
        except asyncio.TimeoutError:
            raise Refused(408, f"The body did not come within {limits.upload_seconds:g} seconds") from None
        return bytes(body)

    async def image_of(request: Request) -> Any:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "multipart/form-data":
            content = from_form(await body_of(request, limits.body_bytes + _FORM_SLACK), request.headers)
        elif kind == "" or kind.startswith("image/") or kind in _RAW:
            content = await body_of(request, limits.body_bytes)
        else:
            raise Refused(415, f"Send an image ({images.KINDS}), as the body or in a form; not '{kind}'")
        return await asyncio.to_thread(images.decode, content, limits.pixels)

    def counted(work: Callable[[Request, Pool], Awaitable[Response]]) -> Any:
        """An endpoint that finds its model, answers errors with their status, and is counted."""

        async def endpoint(request: Request) -> Response:
            began = time.monotonic()
            pool: Pool | None = None
            try:
                name = request.path_params.get("model") or request.query_params.get("model")
                version = request.path_params.get("version") or request.query_params.get("version")
                pool = models.find(name, version)
                answer = await work(request, pool)
            except CaffeError as error:
                answer = _error(error)
            if pool is not None:
                spent = time.monotonic() - began
                models.metrics.answered(pool.served.name, pool.served.version, answer.status_code, spent)
            return answer

        return endpoint

    async def infer(request: Request, pool: Pool) -> Response:
        header = request.headers.get(protocol.LENGTH_HEADER)
        if header is not None and not header.isdigit():
            raise Refused(400, f"{protocol.LENGTH_HEADER} must be a number; got '{header}'")
        body = await body_of(request, limits.body_bytes)
        length = int(header) if header is not None else None
        if len(body) > _LONG:  # parsing much JSON must not hold up the others
            asked = await asyncio.to_thread(protocol.read, body, length, pool.about, pool.served.name)
        else:
            asked = protocol.read(body, length, pool.about, pool.served.name)
        outputs = await pool.run(asked.inputs)
        content, headers = protocol.write(asked, outputs, pool.served.name, pool.served.version)
        return Response(content, headers=headers)

    async def classify(request: Request, pool: Pool) -> Response:
        top = _number(request.query_params.get("top", "5"), "top", 1, 1000)
        if pool.about["kind"] != "classes":
            raise Refused(400, f"The model '{pool.served.name}' gives {pool.about['kind']}, not classes")
        began = time.monotonic()
        photo = await image_of(request)
        name, shape = next((n, s) for n, s in pool.about["inputs"].items() if len(s) == 3)
        preparation = _preparation(pool.served, shape[0])
        values = await asyncio.to_thread(preparation.apply, photo, (1, *shape))
        scores = (await pool.run({name: values}))[pool.about["scores"]].ravel()
        best = np.argsort(-scores, kind="stable")[: int(top)]
        labels = models.labels(pool, scores.size)
        found = [{"index": int(i), "label": labels(int(i)), "score": float(scores[i])} for i in best]
        return JSONResponse(
            _about(pool, began) | {"probabilities": pool.about["probabilities"], "top": found}
        )

    async def detect(request: Request, pool: Pool) -> Response:
        said = request.query_params.get("threshold", str(pool.served.threshold))
        threshold = _number(said, "threshold", 0, 1)
        if not pool.about["detects"]:
            kind = pool.about["kind"]
            why = "start the server with its --anchors" if kind == "boxes" else f"it gives {kind}"
            raise Refused(400, f"The model '{pool.served.name}' finds no boxes: {why}")
        began = time.monotonic()
        photo = await image_of(request)
        found = await pool.detect(photo, threshold)
        labels = models.labels(pool, 0, 1)
        boxes = [
            {"label": labels(label), "class": label, "score": score, "box": box}
            for label, score, box in found
        ]
        size = {"width": photo.shape[1], "height": photo.shape[0]}
        return JSONResponse(_about(pool, began) | size | {"boxes": boxes})

    async def model(request: Request, pool: Pool) -> Response:
        return JSONResponse(models.metadata(pool.served.name))

    async def model_ready(request: Request, pool: Pool) -> Response:
        return JSONResponse({"ready": pool.ready}, 200 if pool.ready else 503)

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        all_ready = all(pool.ready for pool in models.pools.values())
        return JSONResponse({"ready": all_ready}, 200 if all_ready else 503)

    async def about(request: Request) -> Response:
        return JSONResponse(
            {"name": "caffe serve", "version": __version__, "extensions": ["binary_tensor_data"]}
        )

    async def listing(request: Request) -> Response:
        return JSONResponse(
            {
                "models": [
                    {
                        "name": name,
                        "versions": models.versions(name),
                        "kind": models.find(name).about.get("kind", ""),
                        "detects": models.find(name).about.get("detects", False),
                        "ready": models.find(name).ready,
                    }
                    for name in models.names()
                ]
            }
        )

    async def counters(request: Request) -> Response:
        return Response(models.metrics.text(models.pools.values()), media_type="text/plain; version=0.0.4")

    async def interface(request: Request) -> Response:
        return JSONResponse(openapi.document({n: models.metadata(n) for n in models.names()}, __version__))

    async def reading(request: Request) -> Response:
        document = openapi.document({n: models.metadata(n) for n in models.names()}, __version__)
        return HTMLResponse(openapi.reading_page(document))

    async def home(request: Request) -> Response:
        text, policy = page.served("caffe serve", main="predict.js")
        return HTMLResponse(text, headers={"content-security-policy": policy, "cache-control": "no-store"})

    routes = [
        Route("/", home),
        Route("/api/models", listing),
        Route("/docs", reading),
        Route("/openapi.json", interface),
        Route("/metrics", counters),
        Route("/classify", counted(classify), methods=["POST"]),
        Route("/detect", counted(detect), methods=["POST"]),
        Route("/v2", about),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Mount("/static", StaticFiles(directory=page.STATIC)),
    ]
    for place in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(place, counted(model)),
            Route(place + "/ready", counted(model_ready)),
            Route(place + "/infer", counted(infer), methods=["POST"]),
        ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.models = models
    return hosting.Guard(app, host, token, open_paths=("/v2/health/live", "/v2/health/ready"))


_RAW = ("application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream")
"""What clients call a body that they say nothing about (curl: the second)."""
_LONG = 1 << 18


def _error(error: CaffeError) -> Any:
    from starlette.responses import JSONResponse

    status, headers = 400, None
    if isinstance(error, Refused):
        status = error.status
    elif isinstance(error, images.TooLarge):
        status = 413
    elif isinstance(error, QueueFull):
        status, headers = 429, {"retry-after": "1"}
    elif isinstance(error, (TooLate, WorkerLost, StateError)):
        status, headers = 503, {"retry-after": "1"}
    return JSONResponse({"error": str(error)}, status, headers=headers)


def from_form(body: bytes, headers: Any) -> bytes:
    """The file in a form, or its field ``image``. Raises DataError, Refused."""
    from python_multipart import create_form_parser
    from python_multipart.exceptions import FormParserError

    found: list[bytes] = []

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        found.append(file.file_object.read())

    def on_field(field: Any) -> None:
        if field.field_name == b"image" and field.value:
            found.append(field.value)

    try:
        parser = create_form_parser(
            {"Content-Type": headers["content-type"].encode("latin-1")}, on_field, on_file
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise DataError(f"The form cannot be read: {error}") from None
    if len(found) != 1:
        raise DataError(f"The form must hold one image; it holds {len(found)}")
    return found[0]


def _number(text: str, name: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise Refused(400, f"'{name}' must be a number from {least} to {most}; got '{text}'")
    return value


def _preparation(served: Served, channels: int) -> Preparation:
    usual = Preparation() if channels == 3 else Preparation(mean=(0.0,))
    return replace(usual, **served.preparation)


def _about(pool: Pool, began: float) -> Json:
    spent = round(1000 * (time.monotonic() - began), 2)
    return {"model": pool.served.name, "version": pool.served.version, "milliseconds": spent}
