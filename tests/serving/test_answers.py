"""What a server answers: to the protocol's own client, to photos, to many at once, and when a worker dies."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

httpx = pytest.importorskip("httpx", reason="needs httpx")


def expected(server, x):
    server.net.blobs["data"].reshape(*x.shape)
    return np.array(server.net.forward(data=x)["prob"])


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient(server, binary):
    client_module = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    client = client_module.InferenceServerClient(server.url.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("small")
    assert client.is_model_ready("small", "1")
    about = client.get_model_metadata("small")
    assert about["inputs"] == [{"name": "data", "datatype": "FP32", "shape": [-1, 3, 12, 14]}]
    assert about["outputs"] == [{"name": "prob", "datatype": "FP32", "shape": [-1, 5]}]
    x = np.random.RandomState(2).randn(3, 3, 12, 14).astype(np.float32)
    tensor = client_module.InferInput("data", x.shape, "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    wanted = client_module.InferRequestedOutput("prob", binary_data=binary)
    answer = client.infer("small", [tensor], outputs=[wanted], request_id="seven")
    np.testing.assert_allclose(answer.as_numpy("prob"), expected(server, x), rtol=1e-5, atol=1e-7)
    assert answer.get_response()["id"] == "seven"
    both = client.infer("small", [tensor], model_version="1")
    np.testing.assert_allclose(both.as_numpy("prob"), answer.as_numpy("prob"), rtol=1e-6)
    with pytest.raises(client_module.InferenceServerException, match="no model 'other'"):
        client.infer("other", [tensor])


def test_classify(server, photo):
    import cv2

    from caffe.predict.preparation import Preparation

    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    scores = expected(server, Preparation().apply(image, (1, 3, 12, 14)))[0]
    answer = httpx.post(f"{server.url}/classify?top=3", content=photo).json()
    assert [item["label"] for item in answer["top"]] == [
        ["ant", "bee", "cat", "dog", "elk"][i] for i in np.argsort(-scores)[:3]
    ]
    assert answer["top"][0]["score"] == pytest.approx(scores.max(), rel=1e-4)
    assert answer["probabilities"] is True
    form = httpx.post(
        f"{server.url}/classify?top=3", files={"image": ("photo.png", photo, "image/png")}
    ).json()
    assert form["top"] == answer["top"]


def test_many_at_once_are_answered_in_batches(server):
    x = np.random.RandomState(4).randn(20, 3, 12, 14).astype(np.float32)
    wanted = expected(server, x)

    def ask(i):
        body = {
            "inputs": [{"name": "data", "datatype": "FP32", "shape": [1, 3, 12, 14], "data": x[i].tolist()}]
        }
        return httpx.post(f"{server.url}/v2/models/small/infer", json=body, timeout=30).json()["outputs"][0][
            "data"
        ]

    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        found = list(threads.map(ask, range(20)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    counters = httpx.get(f"{server.url}/metrics").text
    assert 'caffe_requests_total{model="small",status="200",version="1"}' in counters
    assert 'caffe_batch_items_count{model="small",version="1"}' in counters


def test_a_killed_worker_is_replaced(server, photo):
    assert httpx.post(f"{server.url}/classify", content=photo).status_code == 200
    (child,) = [c for c in multiprocessing.active_children() if c.is_alive()]
    os.kill(child.pid, signal.SIGKILL)
    statuses = []
    end = time.monotonic() + 60
    while time.monotonic() < end and (not statuses or statuses[-1] != 200):
        statuses.append(httpx.post(f"{server.url}/classify", content=photo, timeout=30).status_code)
    assert statuses[-1] == 200 and set(statuses) <= {200, 503} and statuses.count(503) <= 2
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
    assert "caffe_worker_restarts" in httpx.get(f"{server.url}/metrics").text


def test_overload_is_refused_at_once(server):
    (child,) = [c for c in multiprocessing.active_children() if c.is_alive()]
    os.kill(child.pid, signal.SIGSTOP)  # it hangs
    x = [[[[0.5] * 14] * 12] * 3]
    body = {"inputs": [{"name": "data", "datatype": "FP32", "shape": [1, 3, 12, 14], "data": x}]}

    def ask(_):
        began = time.monotonic()
        status = httpx.post(f"{server.url}/v2/models/small/infer", json=body, timeout=60).status_code
        return status, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(ask, range(40)))
    assert {status for status, _ in answers} <= {429, 503, 200}
    assert sum(status == 429 for status, _ in answers) >= 40 - 24 - 4
    assert max(seconds for _, seconds in answers) < 40
    server.until_ready()
    assert httpx.post(f"{server.url}/v2/models/small/infer", json=body, timeout=60).status_code == 200
    assert not child.is_alive()  # a worker that hangs is ended


def test_interface_is_valid_and_shown(server):
    found = httpx.get(f"{server.url}/openapi.json").json()
    assert found["openapi"].startswith("3.") and "/v2/models/{model}/infer" in found["paths"]
    for operations in found["paths"].values():
        for method, operation in operations.items():
            assert method == "parameters" or (operation["summary"] and "200" in operation["responses"])
    assert "/classify" in httpx.get(f"{server.url}/docs").text


def test_shutdown_answers_what_it_took(tmp_path, server, photo):
    """SIGTERM while requests run: they are answered, then the process ends with its workers."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "caffe", "serve", "--port=0", "--name=small"]
    process = subprocess.Popen(
        [*command, str(server.folder / "net.prototxt"), str(server.folder / "net.caffemodel")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "")
        url = next(line for line in lines if "Serving on" in line).split()[2].rstrip("/")
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            asked = [
                threads.submit(httpx.post, f"{url}/classify", content=photo, timeout=30) for _ in range(8)
            ]
            assert asked[0].result().status_code == 200
            process.send_signal(signal.SIGTERM)
            for answer in asked:
                with contextlib.suppress(httpx.ConnectError):  # came after the door was closed
                    assert answer.result().status_code in (200, 503)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()


def test_photo_page(server, photo, tmp_path):
    import support_browser

    browser = support_browser.launch(tmp_path / "profile")
    try:
        (tmp_path / "photo.png").write_bytes(photo)
        browser.open(server.url + "/")
        browser.run("return document.querySelector('#file')").send_keys(str(tmp_path / "photo.png"))
        browser.wait("return document.querySelector('.answer').dataset.done === '1'")
        answer = httpx.post(f"{server.url}/classify", content=photo).json()
        text = browser.text()
        for item in answer["top"]:
            assert item["label"] in text
        assert f"{answer['top'][0]['score']:.5g}" in text
        assert browser.complaints() == []
    finally:
        browser.driver.quit()


def test_faces_are_called_so(wait_until_ready):
    """Of UltraFace, whose labels no file tells: as ``caffe predict`` calls them."""
    from support_assets import assets

    from caffe.serving import app
    from caffe.serving.settings import Served
    from caffe.web import hosting

    model = assets("models", "ultraface_rfb320")
    photo = assets("photos", "faces.jpg").read_bytes()
    served = Served("faces", str(model / "deploy.prototxt"), str(model / "weights.caffemodel"))
    url, stop = hosting.in_background(app.application([served]))
    try:
        wait_until_ready(url.rstrip("/"))
        found = httpx.post(f"{url}detect", content=photo, timeout=60).json()["boxes"]
    finally:
        stop()
    assert [one["label"] for one in found] == ["face", "face"]
