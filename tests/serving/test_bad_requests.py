"""Requests that no honest client sends: each gets the right 4xx, and the server lives."""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib

import numpy as np
import pytest

httpx = pytest.importorskip("httpx", reason="needs httpx")

INFER = "/v2/models/small/infer"
SHAPE = [1, 3, 12, 14]
COUNT = 3 * 12 * 14
FINE = {"name": "data", "datatype": "FP32", "shape": SHAPE, "data": [0.5] * COUNT}


def png(width, height, body=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg(width, height):
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + b"\0" * 20


def infer(**changes):
    return json.dumps({"inputs": [FINE | changes]}).encode()


def binary(tensor, tail, length=None):
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + tail, {"inference-header-content-length": str(len(head) if length is None else length)}


def sized(size, **changes):
    tensor = {k: v for k, v in FINE.items() if k != "data"} | changes
    return tensor | {"parameters": {"binary_data_size": size}}


BOMB = png(60_000, 60_000, zlib.compress(b"\0" * 1_000_000))
CASES = {
    # photos: (path, body, headers, status)
    "no image": ("/classify", b"hello, this is no image", {}, 400),
    "empty body": ("/classify", b"", {}, 400),
    "html": ("/classify", b"<html></html>", {"content-type": "text/html"}, 415),
    "json to classify": ("/classify", b"{}", {"content-type": "application/json"}, 415),
    "png bomb": ("/classify", BOMB, {}, 413),
    "png of four billion pixels": ("/classify", png(65_536, 65_536), {}, 413),
    "png of 2^31 a side": ("/classify", png(2**31 - 1, 2**31 - 1), {}, 413),
    "png of no pixels": ("/classify", png(0, 10), {}, 400),
    "png cut in its header": ("/classify", png(20, 20)[:18], {}, 400),
    "png without pixels": ("/classify", png(20, 20), {}, 400),
    "png of garbage": ("/classify", png(20, 20, b"garbage"), {}, 400),
    "jpeg bomb": ("/classify", jpeg(65_000, 65_000), {}, 413),
    "jpeg without pixels": ("/classify", jpeg(20, 20), {}, 400),
    "jpeg cut off": ("/classify", b"\xff\xd8\xff\xe0\x00\x10", {}, 400),
    "jpeg of markers": ("/classify", b"\xff\xd8" + b"\xff" * 5000, {}, 400),
    "jpeg without markers": ("/classify", b"\xff\xd8" + b"a" * 500, {}, 400),
    "gif bomb": ("/classify", b"GIF89a" + struct.pack("<HH", 65_000, 65_000), {}, 413),
    "gif cut off": ("/classify", b"GIF89a\x01", {}, 400),
    "bmp of negative size": ("/classify", b"BM" + b"\0" * 16 + struct.pack("<ii", -60_000, -60_000), {}, 413),
    "bmp cut off": ("/classify", b"BM\0\0", {}, 400),
    "webp bomb": ("/classify", b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\xff" * 6, {}, 413),
    "tiff": ("/classify", b"II*\0" + b"\0" * 50, {}, 400),
    "svg": (
        "/classify",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        {"content-type": "image/svg+xml"},
        400,
    ),
    "too large a body": ("/classify", b"\xff\xd8" + b"a" * 300_000, {}, 413),
    "compressed body": ("/classify", zlib.compress(b"a" * 1000), {"content-encoding": "deflate"}, 415),
    "form without boundary": ("/classify", b"x", {"content-type": "multipart/form-data"}, 400),
    "form of garbage": ("/classify", b"garbage", {"content-type": "multipart/form-data; boundary=b"}, 400),
    "form without image": (
        "/classify",
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--\r\n",
        {"content-type": "multipart/form-data; boundary=b"},
        400,
    ),
    "unknown model": ("/classify?model=other", png(20, 20), {}, 404),
    "unknown version": ("/classify?model=small&version=9", png(20, 20), {}, 404),
    "top of text": ("/classify?top=many", png(20, 20), {}, 400),
    "top of nothing": ("/classify?top=0", png(20, 20), {}, 400),
    "top of nan": ("/classify?top=nan", png(20, 20), {}, 400),
    "boxes of a classifier": ("/detect", png(20, 20), {}, 400),
    "threshold of two": ("/detect?threshold=2", png(20, 20), {}, 400),
    # the protocol
    "infer: no json": (INFER, b"hello", {}, 400),
    "infer: nothing": (INFER, b"", {}, 400),
    "infer: a list": (INFER, b"[]", {}, 400),
    "infer: no inputs": (INFER, b"{}", {}, 400),
    "infer: inputs of text": (INFER, b'{"inputs": "data"}', {}, 400),
    "infer: input of text": (INFER, b'{"inputs": ["data"]}', {}, 400),
    "infer: empty inputs": (INFER, b'{"inputs": []}', {}, 400),
    "infer: not utf-8": (INFER, b'{"inputs": "\xff\xfe"}', {}, 400),
    "infer: nested deep": (INFER, b"[" * 50_000, {}, 400),
    "infer: huge json": (INFER, b'{"inputs": "' + b"a" * 300_000, {}, 413),
    "infer: unknown input": (INFER, infer(name="date"), {}, 400),
    "infer: input of null": (INFER, infer(name=None), {}, 400),
    "infer: input twice": (INFER, json.dumps({"inputs": [FINE, FINE]}).encode(), {}, 400),
    "infer: unknown type": (INFER, infer(datatype="FP8"), {}, 400),
    "infer: strings": (INFER, infer(datatype="BYTES"), {}, 400),
    "infer: wrong shape": (INFER, infer(shape=[1, 3, 12, 15]), {}, 400),
    "infer: no shape": (INFER, infer(shape=None), {}, 400),
    "infer: negative shape": (INFER, infer(shape=[-1, 3, 12, 14]), {}, 400),
    "infer: shape of floats": (INFER, infer(shape=[1.0, 3, 12, 14]), {}, 400),
    "infer: shape of true": (INFER, infer(shape=[True, 3, 12, 14]), {}, 400),
    "infer: huge shape": (INFER, infer(shape=[2**62, 3, 12, 14]), {}, 400),
    "infer: no items": (INFER, infer(shape=[0, 3, 12, 14], data=[]), {}, 400),
    "infer: too many items": (INFER, infer(shape=[5, 3, 12, 14], data=[0] * 5 * COUNT), {}, 400),
    "infer: too few values": (INFER, infer(data=[1.0] * 7), {}, 400),
    "infer: no data": (INFER, infer(data=None), {}, 400),
    "infer: data of text": (INFER, infer(data=["a"] * COUNT), {}, 400),
    "infer: data of objects": (INFER, infer(data=[{}] * COUNT), {}, 400),
    "infer: uneven data": (INFER, infer(data=[[1.0], [1.0, 2.0]]), {}, 400),
    "infer: nan": (INFER, infer(data=[float("nan")] * COUNT), {}, 400),
    "infer: infinity": (INFER, infer(data=[float("inf")] * COUNT), {}, 400),
    "infer: beyond float32": (INFER, infer(data=[1e300] * COUNT), {}, 400),
    "infer: integer of 400 digits": (INFER, infer(data=[10**400] + [0.5] * (COUNT - 1)), {}, 400),
    "infer: unknown output": (
        INFER,
        json.dumps({"inputs": [FINE], "outputs": [{"name": "x"}]}).encode(),
        {},
        400,
    ),
    "infer: outputs of text": (INFER, json.dumps({"inputs": [FINE], "outputs": "prob"}).encode(), {}, 400),
    "infer: unknown model": ("/v2/models/other/infer", infer(), {}, 404),
    "infer: unknown version": ("/v2/models/small/versions/7/infer", infer(), {}, 404),
    "binary: cut off": (INFER, *binary(sized(4 * COUNT), b"\0" * 8), 400),
    "binary: wrong size": (INFER, *binary(sized(8), b"\0" * 8), 400),
    "binary: size of text": (INFER, *binary(sized("many"), b"\0" * 4 * COUNT), 400),
    "binary: too much": (INFER, *binary(sized(4 * COUNT), b"\0" * 4 * COUNT + b"x"), 400),
    "binary: nan": (INFER, *binary(sized(4 * COUNT), np.full(COUNT, np.nan, "<f4").tobytes()), 400),
    "binary: header length of text": (INFER, infer(), {"inference-header-content-length": "x"}, 400),
    "binary: header length too large": (INFER, infer(), {"inference-header-content-length": "999999"}, 400),
    "binary: header length of zero": (INFER, infer(), {"inference-header-content-length": "0"}, 400),
    # the server
    "unknown path": ("/etc/passwd", b"", {}, 404),
    "out of the static folder": ("/static/%2e%2e/%2e%2e/errors.py", None, {}, 404),
    "another host": ("/classify", png(20, 20), {"host": "evil.example"}, 403),
    "another site": ("/classify", png(20, 20), {"origin": "https://evil.example"}, 403),
    "get where post is": ("/classify", None, {}, 405),
}


def test_there_are_sixty():
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_bad_request(server, name):
    path, body, headers, status = CASES[name]
    if body is None:
        answer = httpx.get(server.url + path, headers=headers)
    else:
        answer = httpx.post(server.url + path, content=body, headers=headers, timeout=20)
    assert answer.status_code == status, answer.text[:300]
    if answer.headers.get("content-type", "").startswith("application/json"):
        assert len(answer.json()["error"]) > 10
    assert "Traceback" not in answer.text


def test_after_all_of_them_it_answers(server, photo):
    assert httpx.post(server.url + INFER, content=infer()).status_code == 200
    assert httpx.post(server.url + "/classify", content=photo).status_code == 200
    assert 'caffe_worker_restarts{model="small",version="1"} 0.0' in httpx.get(server.url + "/metrics").text


def talk(server, lines):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(lines)
        found = b""
        while chunk := line.recv(4096):
            found += chunk
    return found


def test_slow_body_is_given_up(server):
    began = time.monotonic()
    head = "POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1000\r\n\r\nab"
    answer = talk(server, head.encode())
    assert b"408" in answer.split(b"\r\n")[0]
    assert time.monotonic() - began < 5


def test_no_http(server):
    answer = talk(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no http\r\n\r\n")
    assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]
