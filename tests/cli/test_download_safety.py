"""Downloads from strangers, from a local https server: no way off https, no other schemes, no end, no place outside."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from caffe import errors
from caffe.data import downloads
from caffe.data.downloads import Collection, Remote, download

CONTENT = bytes(range(256)) * 300


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.server.targets[self.path[4:]])
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(10_000):
                try:
                    self.wfile.write(bytes(1 << 16))
                except OSError:
                    return
        elif self.path == "/broken":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot chunked")
        elif self.path == "/noise":
            self.wfile.write(b"\x00" * 100 + b"\r\n")
        else:  # always as if the first half were there already
            resumed = "Range" in self.headers
            self.send_response(206 if resumed else 200)
            part = CONTENT[len(CONTENT) // 2 :] if resumed else CONTENT
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """An http and an https server; the https one's certificate is of its own."""
    folder = tmp_path_factory.mktemp("certificate")
    try:
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl to make a certificate")
    plain, safe = (ThreadingHTTPServer(("localhost", 0), Handler) for _ in range(2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    safe.socket = context.wrap_socket(safe.socket, server_side=True)
    urls = {
        "http": f"http://localhost:{plain.server_port}/",
        "https": f"https://localhost:{safe.server_port}/",
    }
    for server in (plain, safe):
        server.targets = {**{k: v + "file" for k, v in urls.items()}, "disk": "file:///etc/passwd"}
        server.targets["ftp"] = "ftp://localhost/x"
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield urls, folder / "cert.pem"
    for server in (plain, safe):
        server.shutdown()
        server.server_close()


@pytest.fixture
def get(servers, tmp_path, monkeypatch):
    urls, certificate = servers
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "localhost")

    def get(url, content=CONTENT):
        for name, base in urls.items():
            url = url.replace(f"{name}:", base, 1) if url.startswith(f"{name}:") else url
        remote = Remote("w.caffemodel", (url,), "sha256:" + hashlib.sha256(content).hexdigest())
        return download(Collection("x", (remote,)), tmp_path / "out")

    return get


@pytest.mark.parametrize("url", ["https:file", "http:file", "http:to/https", "https:to/https"])
def test_what_is_fetched(get, url):
    assert get(url)[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https:to/http", "leads from https to 'http://.*which is not followed"),
        ("https:to/disk", "file:///etc/passwd"),
        ("http:to/disk", "file:///etc/passwd"),
        ("https:to/ftp", "ftp://localhost"),
        ("file:///etc/passwd", "address of http or https; got 'file'"),
        ("data:,abc", "address of http or https; got 'data'"),
        ("ftp://localhost/x", "got 'ftp'"),
        ("https:broken", "chunked|IncompleteRead|invalid literal"),
        ("http:noise", "http"),
    ],
)
def test_what_is_not(get, tmp_path, url, why):
    with pytest.raises(errors.FileAccessError, match=why):
        get(url)
    assert not (tmp_path / "out" / "w.caffemodel").exists()


def test_an_answer_without_end(get, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_LARGEST", 1 << 20)
    with pytest.raises(errors.FileAccessError, match="more than 0 GiB"):
        get("https:endless")
    assert not any((tmp_path / "out").iterdir())


def test_a_part_of_something_else_is_not_gone_on_with(get, tmp_path):
    """A server that goes on elsewhere than asked, and a part of another file: the digest tells, nothing stays."""
    (tmp_path / "out").mkdir()
    part = tmp_path / "out" / "w.caffemodel.part"
    part.write_bytes(CONTENT[: len(CONTENT) // 2])
    assert get("https:file")[0].read_bytes() == CONTENT
    (tmp_path / "out" / "w.caffemodel").unlink()
    part.write_bytes(b"of another file")
    with pytest.raises(errors.FileAccessError, match="must have the digest"):
        get("https:file")
    assert not part.exists()
    assert get("https:file")[0].read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["..", "/", "a/.."])
def test_a_readme_that_names_no_file(tmp_path, name):
    (tmp_path / "readme.md").write_text(
        f"---\ncaffemodel: {name}\ncaffemodel_url: https://localhost/x\nsha1: 0\n---\n"
    )
    with pytest.raises(errors.InputError, match="must name a file"):
        downloads.find(str(tmp_path))


def test_checksums_are_required(tmp_path):
    (tmp_path / "readme.md").write_text("---\ncaffemodel: a\ncaffemodel_url: https://localhost/x\n---\n")
    with pytest.raises(errors.InputError, match="must name sha1"):
        downloads.find(str(tmp_path))
    assert all(remote.digest.split(":")[1] for c in downloads.CATALOGUE.values() for remote in c.files)
