"""caffe download_model_binary, from a folder and from a server of our own, also after a broken download."""

import functools
import hashlib
import http.server
import threading

import pytest

from caffe.cli.download_model_binary import main

CONTENT = bytes(range(256)) * 4096


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.server.starts.append(start)
        self.wfile.write(CONTENT[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler))
    server.starts = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def model(folder, port=1, sha1=None):
    folder.mkdir()
    sha1 = sha1 or hashlib.sha1(CONTENT).hexdigest()
    url = f"http://127.0.0.1:{port}/x"
    (folder / "readme.md").write_text(
        f"---\nname: Mine\ncaffemodel: mine.caffemodel\ncaffemodel_url: {url}\nsha1: {sha1}\n---\n"
    )
    return folder


def test_downloads_once(tmp_path, server, capsys):
    folder = model(tmp_path / "model", server.server_port)
    for _ in range(2):
        assert main([str(folder)]) == 0
        assert "mine.caffemodel: the weights are here and whole" in capsys.readouterr().out
    assert (folder / "mine.caffemodel").read_bytes() == CONTENT and server.starts == [0]


def test_goes_on_where_it_stopped(tmp_path, server):
    folder = model(tmp_path / "model", server.server_port)
    (folder / "mine.caffemodel.part").write_bytes(CONTENT[:1000])
    assert main([str(folder)]) == 0
    assert (folder / "mine.caffemodel").read_bytes() == CONTENT and server.starts == [1000]


def test_takes_files_at_hand(tmp_path):
    (tmp_path / "mine.caffemodel").write_bytes(CONTENT)
    folder = model(tmp_path / "model")
    assert main([str(folder), "--from", str(tmp_path)]) == 0
    assert (folder / "mine.caffemodel").read_bytes() == CONTENT


def test_what_cannot_be(tmp_path, server, capsys):
    assert main([str(tmp_path)]) == 1
    assert "must have a readme.md" in capsys.readouterr().err
    folder = model(tmp_path / "model", server.server_port, sha1="0" * 40)
    assert main([str(folder)]) == 1
    assert "digest" in capsys.readouterr().err
    assert not (folder / "mine.caffemodel").exists()
