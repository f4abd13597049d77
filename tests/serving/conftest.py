"""A server with a small classifier, shared by the tests of a module."""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace

import numpy as np
import pytest

NET = """layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 14 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("starlette", reason="needs starlette")
    pytest.importorskip("httpx", reason="needs httpx")
    import caffe
    from caffe.serving import app
    from caffe.serving.settings import Limits, Served
    from caffe.web import hosting

    folder = tmp_path_factory.mktemp("model")
    (folder / "net.prototxt").write_text(NET)
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\nelk\n")
    caffe.set_random_seed(5)
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST)
    net.save(str(folder / "net.caffemodel"))
    limits = Limits(body_bytes=200_000, pixels=250_000, seconds=6, upload_seconds=0.7, queue=24)
    served = Served(
        "small", str(folder / "net.prototxt"), str(folder / "net.caffemodel"), limits=limits, batch=4
    )
    url, stop = hosting.in_background(app.application([served]))
    made = SimpleNamespace(url=url.rstrip("/"), net=net, folder=folder)
    made.until_ready = lambda: until_ready(made.url)
    made.until_ready()
    yield made
    stop()


def until_ready(url):
    """Wait until there is a worker: it takes a while to start on a busy machine."""
    import httpx

    end = time.monotonic() + 90
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                return
        assert time.monotonic() < end, "no worker is ready after 90 seconds"
        time.sleep(0.1)


@pytest.fixture
def wait_until_ready():
    return until_ready


@pytest.fixture
def photo():
    import cv2

    pixels = np.random.RandomState(7).randint(0, 255, (30, 40, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()
