"""The server's interface as an OpenAPI document, and as a page to read."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_ERROR = {
    "400": "The request does not fit; the answer says why",
    "404": "No such model",
    "408": "The body came too slowly",
    "413": "The body or the image is too large",
    "415": "Not a kind of body that is taken",
    "429": "Too many requests wait",
    "503": "No answer in time, or the model's worker died",
}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string", "example": "FP32"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object"},
    },
}


def document(models: Mapping[str, Json], version: str) -> Json:
    """The OpenAPI 3.1 document of a server with these models (name → metadata)."""
    paths: Json = {
        "/v2": {"get": _get("What the server is")},
        "/v2/health/live": {"get": _get("Whether the server runs")},
        "/v2/health/ready": {"get": _get("Whether every model has a worker", "503")},
        "/v2/models/{model}": {"get": _get("What a model takes and gives", "404"), "parameters": [_MODEL]},
        "/v2/models/{model}/ready": {
            "get": _get("Whether the model has a worker", "404", "503"),
            "parameters": [_MODEL],
        },
        "/v2/models/{model}/infer": {"post": _infer(), "parameters": [_MODEL]},
        "/v2/models/{model}/versions/{version}/infer": {"post": _infer(), "parameters": [_MODEL, _VERSION]},
        "/classify": {"post": _photo("The most likely classes of a photo", "top")},
        "/detect": {"post": _photo("Boxes around what is found in a photo", "threshold")},
        "/metrics": {"get": _get("Counters for Prometheus")},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "caffe serve", "version": version, "summary": ", ".join(models)},
        "paths": paths,
        "components": {"schemas": {"Tensor": _TENSOR}},
    }


def _answers(*errors: str) -> Json:
    said = {"200": {"description": "The answer"}}
    return said | {code: {"description": _ERROR[code]} for code in errors}


def _get(summary: str, *errors: str) -> Json:
    return {"summary": summary, "responses": _answers(*errors)}


def _infer() -> Json:
    tensors = {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}
    body = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": tensors, "id": {"type": "string"}},
    }
    return {
        "summary": "Outputs for inputs (Open Inference Protocol 2, with binary tensor data)",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _answers(*_ERROR),
    }


def _photo(summary: str, parameter: str) -> Json:
    image = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"image": {"type": "string", "format": "binary"}}}}
    query = [
        {"name": name, "in": "query", "schema": {"type": kind}}
        for name, kind in (("model", "string"), (parameter, "number"))
    ]
    return {
        "summary": summary,
        "parameters": query,
        "requestBody": {"required": True, "content": {"image/*": image, "multipart/form-data": form}},
        "responses": _answers(*_ERROR),
    }


def reading_page(found: Json) -> str:
    """The document as a page that needs no script."""
    rows = []
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            names = [p["name"] for p in operation.get("parameters", [])]
            codes = ", ".join(c for c in operation["responses"] if c != "200")
            query = "?" + "&".join(f"{n}=…" for n in names) if names else ""
            rows.append(
                f"<tr><td><b>{method.upper()}</b></td><td><code>{html.escape(path + query)}</code></td>"
                f"<td>{html.escape(operation['summary'])}</td><td class=quiet>{codes}</td></tr>"
            )
    example = (
        "curl --data-binary @cat.jpg http://127.0.0.1:8000/classify\n"
        "curl -F image=@cat.jpg 'http://127.0.0.1:8000/classify?top=3'"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        '<title>caffe serve: interface</title><link rel="stylesheet" href="static/style.css"></head>'
        f'<body><div class="scroll"><h1>caffe serve: {html.escape(found["info"]["summary"])}</h1>'
        f"<table><tbody>{''.join(rows)}</tbody></table><pre>{html.escape(example)}</pre>"
        '<p><a href="openapi.json">openapi.json</a></p></div></body></html>'
    )
