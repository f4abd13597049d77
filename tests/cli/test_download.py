"""Downloads, from a server on this machine: mirrors, digests, resuming, files at hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support_assets import assets

from caffe.cli.download import main as download_main
from caffe.data import downloads
from caffe.data.downloads import Collection, Remote, download, find
from caffe.errors import FileAccessError, InputError, MissingFileError

CONTENT = bytes(range(256)) * 20000


def digest(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; notes what was asked for; ``limit`` breaks answers off after so many bytes, once."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.limit: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path[1:], wanted))
        raw = self.server.files.get(self.path[1:])
        if raw is None:
            self.send_error(404)
            return
        start = int(re.findall(r"bytes=(\d+)-", wanted)[0]) if wanted else 0
        if start >= len(raw):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(raw) - start))
        self.end_headers()
        limit, self.server.limit = self.server.limit, None
        self.wfile.write(raw[start:][:limit])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def remote(server: Server, name: str = "file.bin", raw: bytes = CONTENT, unpack: str = "") -> Remote:
    return Remote(name, (server.url + name,), digest(raw), unpack)


def test_downloaded_checked_and_not_again(server: Server, tmp_path: Path) -> None:
    server.files["file.bin"] = CONTENT
    steps: list[int] = []
    wanted = Collection("unused", (remote(server),))
    for _ in range(2):
        found = download(wanted, tmp_path / "a", progress=lambda name, count, total: steps.append(count))
        assert found == [tmp_path / "a" / "file.bin"] and found[0].read_bytes() == CONTENT
    assert len(server.asked) == 1 and sum(steps) == len(CONTENT)
    (tmp_path / "a" / "file.bin").write_bytes(b"damaged")
    download(wanted, tmp_path / "a")
    assert (tmp_path / "a" / "file.bin").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["file.bin"]


def test_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.files["file.bin"] = CONTENT
    server.limit = 3_000_000
    wanted = Collection("unused", (remote(server),))
    with pytest.raises(FileAccessError, match=r"broke off after 3,000,000 of 5,120,000 bytes.*--from"):
        download(wanted, tmp_path)
    [path] = download(wanted, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [("file.bin", None), ("file.bin", "bytes=3000000-")]
    (tmp_path / "file.bin").rename(tmp_path / "file.bin.part")  # all there, not yet in place
    assert download(wanted, tmp_path)[0].read_bytes() == CONTENT


def test_mirrors_one_after_the_other(server: Server, tmp_path: Path) -> None:
    server.files["good/file.bin"] = CONTENT
    server.files["wrong/file.bin"] = CONTENT[:-1] + b"x"
    urls = tuple(server.url + p + "/file.bin" for p in ("nothing", "wrong", "good"))
    several = Collection("unused", (Remote("file.bin", urls, digest(CONTENT)),))
    assert download(several, tmp_path)[0].read_bytes() == CONTENT
    bad = Collection("unused", (Remote("other.bin", urls[:2], digest(CONTENT)),))
    with pytest.raises(FileAccessError, match=r"(?s)nothing/file.bin: .*Not Found.*wrong/file.bin: .*digest"):
        download(bad, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    server.asked.clear()
    first = Collection("unused", (Remote("file.bin", urls[:1], digest(CONTENT)),))
    (tmp_path / "file.bin").unlink()
    download(first, tmp_path, mirrors=[server.url + "good"])
    assert server.asked == [("good/file.bin", None)]


def test_unpacked(server: Server, tmp_path: Path) -> None:
    server.files["digits.gz"] = gzip.compress(CONTENT, 1)
    [path] = download(Collection("unused", (remote(server, "digits.gz", CONTENT, "gzip"),)), tmp_path)
    assert path.name == "digits" and path.read_bytes() == CONTENT
    pack = io.BytesIO()
    with tarfile.open(fileobj=pack, mode="w:gz") as archive:
        for name, raw in [("top/one.txt", b"1"), ("../two.txt", b"22"), ("top/.hidden", b"x")]:
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    server.files["all.tar.gz"] = pack.getvalue()
    (tmp_path / "sub").mkdir()
    packed = Collection("unused", (remote(server, "all.tar.gz", pack.getvalue(), "tar"),))
    assert [p.name for p in download(packed, tmp_path / "sub")] == ["one.txt", "two.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits", "sub"]
    assert sorted(p.name for p in (tmp_path / "sub").iterdir()) == ["one.txt", "two.txt"]


@pytest.mark.parametrize("zipped", [True, False])
def test_from_files_at_hand(tmp_path: Path, zipped: bool) -> None:
    at_hand = tmp_path / "hand"
    at_hand.mkdir()
    wanted = Collection(
        "unused", (Remote("digits.gz", ("http://nowhere.invalid/",), digest(CONTENT), "gzip"),)
    )
    if zipped:
        (at_hand / "digits.gz").write_bytes(gzip.compress(CONTENT, 1))
    else:
        (at_hand / "digits").write_bytes(CONTENT)
    assert download(wanted, tmp_path / "out", source=at_hand)[0].read_bytes() == CONTENT
    for name in ("digits", "digits.gz"):
        (at_hand / name).write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(ValueError, match="digits"):
        download(wanted, tmp_path / "other", source=at_hand)
    assert list((tmp_path / "other").iterdir()) == []
    with pytest.raises(MissingFileError, match=r"must have the file digits\.gz"):
        download(wanted, tmp_path / "other", source=tmp_path)


def test_a_models_readme(server: Server, tmp_path: Path) -> None:
    server.files["w.caffemodel"] = b"weights"
    sha1 = hashlib.sha1(b"weights").hexdigest()
    (tmp_path / "readme.md").write_text(
        f"---\nname: A model\ncaffemodel: w.caffemodel\ncaffemodel_url: {server.url}w.caffemodel\n"
        f"sha1: {sha1}\n---\nText"
    )
    assert download_main([str(tmp_path)]) == 0
    assert (tmp_path / "w.caffemodel").read_bytes() == b"weights"
    (tmp_path / "readme.md").write_text("---\nname: A model\n---\n")
    with pytest.raises(InputError, match="caffemodel_url"):
        find(str(tmp_path))


def test_the_catalogue_is_well_formed() -> None:
    for name, collection in downloads.CATALOGUE.items():
        for file in collection.files:
            algorithm, _, found = file.digest.partition(":")
            assert len(found) == hashlib.new(algorithm).digest_size * 2, name
            assert file.urls and all(url.startswith("http") for url in file.urls), name


def test_the_command(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["file.bin"] = CONTENT
    monkeypatch.setitem(downloads.CATALOGUE, "thing", Collection("data/thing", (remote(server),)))
    monkeypatch.chdir(tmp_path)
    assert download_main(["thing"]) == 0
    assert capsys.readouterr().out == "data/thing/file.bin\n"
    assert download_main(["thnig"]) == 1
    assert "Did you mean 'thing'?" in capsys.readouterr().err
    assert download_main([]) == 2


def test_real_mnist_from_files_at_hand(tmp_path: Path) -> None:
    assert download_main(["mnist", f"--from={assets('mnist')}", f"--folder={tmp_path}"]) == 0
    assert (tmp_path / "train-images-idx3-ubyte").stat().st_size == 16 + 60000 * 784
