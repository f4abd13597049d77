"""What the page's server answers, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe.errors import InputError, MissingFileError
from caffe.web import compare, documents, hosting, page, server

pytest.importorskip("starlette", reason="needs starlette")
pytest.importorskip("httpx", reason="needs httpx")
from starlette.testclient import TestClient

NET = """layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 14 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.save(str(tmp_path / "net.caffemodel"))
    import cv2

    photo = np.random.RandomState(3).randint(0, 255, (30, 40, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    return tmp_path


def client(paths, token="", host="127.0.0.1", **options):
    found = documents.collect([str(p) for p in paths], documents.Options(**options))
    site = server.Site(lambda: found, lambda _: None)
    base = "http://127.0.0.1" if host == "127.0.0.1" else f"http://{host}"
    return TestClient(server.application(site, host, token), base_url=base)


def test_state_weights_activations_and_maps(files):
    asked = client(
        [files / "net.prototxt", files / "net.caffemodel"],
        image=str(files / "photo.png"),
        labels=["a", "b", "c", "d", "e"],
    )
    (tab,) = asked.get("/api/state").json()["documents"]
    assert tab["has_weights"] and len(tab["photo"]["top"]) == 5
    net = caffe.Classifier(str(files / "net.prototxt"), str(files / "net.caffemodel"))
    scores = net.predict([caffe.io.load_image(str(files / "photo.png"))], oversample=False)[0]
    best = tab["photo"]["top"][0]
    assert best["index"] == scores.argmax() and best["label"] == "abcde"[scores.argmax()]
    assert best["score"] == pytest.approx(scores.max(), rel=1e-4)
    weights = asked.get("/api/0/weights/conv").json()
    values = net.params["conv"][0].data
    assert weights[0]["shape"] == [4, 3, 3, 3] and sum(weights[0]["histogram"]) == values.size
    assert weights[0]["min"] == pytest.approx(values.min(), rel=1e-4)
    assert asked.get("/api/0/activations/conv").json()["shape"] == [4, 10, 12]
    for kind in ("gradient", "occlusion"):
        assert asked.get(f"/api/0/map/{kind}/2").json()["picture"].startswith("data:image/jpeg")
    assert asked.get("/api/0/map/gradient/9").status_code == 400
    assert asked.get("/api/0/map/other/1").status_code == 400
    assert asked.get("/api/0/activations/nothing").status_code == 400


def test_a_photo_of_a_net_without_softmax_or_without_classes(files):
    scores = NET.replace('type: "Softmax"', 'type: "ReLU"')
    maps = "layer".join(NET.split("layer")[:3])
    for text, probabilities, classes in ((NET, True, 5), (scores, False, 5), (maps, False, 0)):
        (files / "net.prototxt").write_text(text)
        asked = client([files / "net.prototxt", files / "net.caffemodel"], image=str(files / "photo.png"))
        found = asked.get("/api/state").json()["documents"][0]["photo"]
        assert (found["probabilities"], found["classes"]) == (probabilities, classes)
        assert len(found["top"]) == classes and asked.get("/api/0/activations/conv").status_code == 200
    assert asked.get("/api/0/map/gradient/0").status_code == 400


def test_documents_of_one_name_are_told_apart(files):
    other = files / "other"
    other.mkdir()
    for name in ("net.prototxt", "net.caffemodel"):
        (other / name).write_bytes((files / name).read_bytes())
    (files / "early.caffemodel").write_bytes((files / "net.caffemodel").read_bytes())
    net = files / "net.prototxt"

    def titles(*paths):
        return [d.title for d in documents.collect([str(p) for p in paths], documents.Options())]

    assert titles(net, other / "net.prototxt") == [f"{files.name}/net.prototxt", "other/net.prototxt"]
    assert titles(net, files / "net.caffemodel", net, files / "early.caffemodel") == [
        "net.prototxt + net.caffemodel",
        "net.prototxt + early.caffemodel",
    ]
    assert titles(net, net) == ["net.prototxt (1)", "net.prototxt (2)"]
    assert titles(net, files / "early.caffemodel") == ["net.prototxt"]


def test_gradient_map_is_the_gradient_of_the_score(files):
    document = documents.collect(
        [str(files / "net.prototxt"), str(files / "net.caffemodel")],
        documents.Options(image=str(files / "photo.png")),
    )[0]
    photo = document.photo
    found = photo.gradient(3)

    def score(x):
        photo.run(x)
        return float(photo.net.blobs["ip"].data[0, 3])

    y, x = 4, 6
    by_channel = []
    for channel in range(3):
        up, down = photo.input.copy(), photo.input.copy()
        up[channel, y, x] += 0.5
        down[channel, y, x] -= 0.5
        by_channel.append(abs(score(up) - score(down)))
    assert found[y, x] == pytest.approx(max(by_channel), rel=1e-3)


def test_edits_are_parsed(files):
    asked = client([files / "net.prototxt"])
    headers = {"x-caffe": "1"}
    fine = asked.post("/api/parse", json={"document": 0, "text": NET}, headers=headers).json()
    assert not fine["errors"] and fine["totals"]["count"] == 112 + 5 * 480 + 5
    wrong = asked.post("/api/parse", json={"document": 0, "text": NET + "layer {"}, headers=headers).json()
    assert wrong["error"]["line"] == 7
    kernel = NET.replace("kernel_size", "kernel_sise")
    hint = asked.post("/api/parse", json={"document": 0, "text": kernel}, headers=headers).json()["error"]
    assert hint["line"] == 3 and "kernel_size" in str(hint)


def test_what_is_refused(files):
    asked = client([files / "net.prototxt"])
    assert asked.post("/api/parse", json={"document": 0, "text": NET}).status_code == 403
    assert asked.get("/", headers={"host": "evil.example"}).status_code == 403
    assert asked.get("/", headers={"origin": "https://evil.example"}).status_code == 403
    assert asked.get("/static/../server.py").status_code == 404
    assert asked.get("/static/%2e%2e/server.py").status_code == 404
    assert asked.get("/api/3/weights/conv").status_code == 400
    big = asked.post("/api/parse", content=b"x" * (server.MOST_TEXT + 1), headers={"x-caffe": "1"})
    assert big.status_code == 413
    for body in (b"", b"[]", b'{"document": "x", "text": 1}', b'{"document": 7, "text": ""}'):
        assert asked.post("/api/parse", content=body, headers={"x-caffe": "1"}).status_code == 400
    policy = asked.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "access-control-allow-origin" not in asked.get("/").headers
    assert asked.get("/static/style.css").headers["cache-control"] == "no-cache"


def test_other_addresses_need_the_token(files):
    asked = client([files / "net.prototxt"], token="secret", host="box.example")
    assert asked.get("/api/state").status_code == 401
    assert asked.get("/api/state", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert asked.get("/api/state", headers={"authorization": "Bearer secret"}).status_code == 200
    opened = asked.get("/?token=secret")  # the browser keeps it as a cookie
    assert opened.status_code == 200 and "HttpOnly" in opened.headers["set-cookie"]
    assert asked.get("/api/state").status_code == 200


def test_documents_of_all_kinds(files, tmp_path):
    solver = tmp_path / "solver.prototxt"
    solver.write_text('net: "net.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\n')
    tabs = [
        d.json() for d in documents.collect([str(solver), str(files / "net.caffemodel")], documents.Options())
    ]
    assert tabs[0]["phase"] == "TRAIN" and "base_lr" in tabs[0]["note"] and tabs[0]["has_weights"]
    (alone,) = [d.json() for d in documents.collect([str(files / "net.caffemodel")], documents.Options())]
    assert [layer["name"] for layer in alone["layers"]] == ["in", "conv", "ip", "prob"]
    net = caffe.Net(str(files / "net.prototxt"), caffe.TEST)
    net.save_hdf5(str(tmp_path / "w.h5"))
    (arrays,) = [d.json() for d in documents.collect([str(tmp_path / "w.h5")], documents.Options())]
    assert arrays["kind"] == "arrays" and any(
        a["values"][0]["shape"] == [4, 3, 3, 3] for a in arrays["arrays"]
    )
    with pytest.raises(MissingFileError):
        documents.collect([str(tmp_path / "none.prototxt")], documents.Options())
    with pytest.raises(InputError, match="weights"):
        documents.collect([str(files / "net.prototxt")], documents.Options(image=str(files / "photo.png")))


def test_comparison(files):
    other = NET.replace("num_output: 4", "num_output: 6").replace('"prob"', '"scores"')
    first, second = (documents.NetDocument("n", text, documents.Options()).json() for text in (NET, other))
    found = {
        item["name"]: item["change"] for item in compare.compare_layers(first["layers"], second["layers"])
    }
    assert set(found) == {"conv", "ip", "prob", "scores"}
    assert "shapes: conv 1×4×10×12 → conv 1×6×10×12" in found["conv"] and "+ num_output: 6" in found["conv"]
    assert found["prob"] == "only in the first" and found["scores"] == "only in the second"
    a = {"conv": [np.array([3.0, 4.0])], "x": [np.ones(2)]}
    b = {"conv": [np.array([3.0, 4.5])], "x": [np.ones(3)], "y": [np.ones(1)]}
    rows = {row["name"]: row for row in compare.compare_weights(a, b)}
    assert rows["conv"]["relative"] == pytest.approx(0.1) and rows["conv"]["largest"] == 0.5
    assert rows["x"]["change"].startswith("shapes") and rows["y"]["change"] == "only in the second"


def test_page_in_one_file_needs_nothing_else():
    text = page.whole({"documents": [], "live": False, "comparison": None, "x": "</script>"})
    assert "http://" not in text.split("<style>")[0]
    assert "</script>" not in text.split('id="state">')[1].split("</script>")[0]
    assert len(text) < 600_000


def test_free_port_and_taken_port():
    listening = hosting.listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with pytest.raises(InputError, match="Cannot listen"):
        hosting.listen("127.0.0.1", port)
    listening.close()
