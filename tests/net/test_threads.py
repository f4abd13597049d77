"""Nets in threads: one net's calls wait for each other, several nets run beside each other, forks find them free."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import caffe
from caffe import runtime

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 40 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "d" type: "Convolution" bottom: "c" top: "d" convolution_param { num_output: 40 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "d" top: "y" inner_product_param { num_output: 7
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "p" type: "Softmax" bottom: "y" top: "p" }
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "n.prototxt"
    path.write_text(NET)
    return str(path)


def images(count, seed=1):
    return [np.random.RandomState(seed + i).rand(12, 11, 3).astype(np.float32) for i in range(count)]


def everywhere(call, items):
    """``call`` of every item, eight threads at a time, all starting together."""
    ready = threading.Barrier(8)

    def begin():
        ready.wait()

    with ThreadPoolExecutor(8, initializer=begin) as pool:
        return list(pool.map(call, items))


def test_a_classifier_of_eight_threads(model):
    classifier = caffe.Classifier(model, image_dims=(12, 11))
    given = images(48)
    wanted = [classifier.predict([image]) for image in given]
    for found, value in zip(everywhere(lambda image: classifier.predict([image]), given), wanted):
        np.testing.assert_array_equal(found, value)


def test_a_detector_of_eight_threads(model, tmp_path):
    import cv2

    detector = caffe.Detector(model)
    files = []
    for i, image in enumerate(images(24)):
        files.append(str(tmp_path / f"{i}.png"))
        cv2.imwrite(files[-1], (image * 255).astype(np.uint8))

    def detect(file):
        return np.array(
            [w["prediction"] for w in detector.detect_windows([(file, [[0, 0, 9, 8], [2, 1, 11, 9]])])]
        )

    wanted = [detect(file) for file in files]
    for found, value in zip(everywhere(detect, files), wanted):
        np.testing.assert_array_equal(found, value)


def same(found, value):
    if runtime.device().type == "cpu":
        np.testing.assert_array_equal(found, value)
    else:  # sums in whatever order
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("inference", [False, True])
def test_forward_with_inputs_of_eight_threads(model, inference):
    net = caffe.Net(model, caffe.TEST)
    net.set_inference(inference)
    given = [np.random.RandomState(i).rand(2, 3, 9, 8).astype(np.float32) for i in range(48)]
    wanted = [net.forward(x=x)["p"].copy() for x in given]
    for found, value in zip(everywhere(lambda x: net.forward(x=x)["p"], given), wanted):
        same(found, value)


def test_blobs_within_a_turn(model):
    net = caffe.Net(model, caffe.TEST)
    given = [np.random.RandomState(i).rand(2, 3, 9, 8).astype(np.float32) for i in range(24)]

    def run(x):
        with net.turn:
            net.blobs["x"].data[...] = x
            net.forward()
            return net.blobs["d"].data.copy()

    wanted = [run(x) for x in given]
    for found, value in zip(everywhere(run, given), wanted):
        same(found, value)


def test_nets_of_several_threads(model, tmp_path):
    caffe.Net(model, caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    x = np.random.RandomState(1).rand(2, 3, 9, 8).astype(np.float32)
    wanted = caffe.Net(model, str(tmp_path / "w.caffemodel"), caffe.TEST).forward(x=x)["p"]

    def make_and_run(_):
        net = caffe.Net(model, str(tmp_path / "w.caffemodel"), caffe.TEST)
        return [net.forward(x=x)["p"] for _ in range(5)]

    for found in everywhere(make_and_run, range(16)):
        for values in found:
            np.testing.assert_allclose(values, wanted, rtol=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_fork_while_another_thread_runs_the_net(model):
    """In a process of its own: forking one with threads is what is tested."""
    program = f"""
import os, threading, numpy as np, caffe
net = caffe.Net({model!r}, caffe.TEST)
held, done = threading.Event(), threading.Event()
def hold():
    with net.turn:
        held.set(); done.wait()
thread = threading.Thread(target=hold); thread.start(); held.wait()
pid = os.fork()
if pid == 0:
    out = net.forward(x=np.ones((2, 3, 9, 8)))["p"]
    os._exit(0 if abs(out.sum() - 2) < 1e-4 else 1)
code = os.waitpid(pid, 0)[1]
done.set(); thread.join()
raise SystemExit(code)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=120, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_interpreter_ends_while_loaders_read_ahead(tmp_path):
    program = """
import numpy as np, caffe
from caffe.data.sources.database import create
from caffe.formats.datum import Datum
with create("db", "lmdb") as out:
    for i in range(5):
        out.put(b"%08d" % i, Datum(3, 40, 50, np.zeros((3, 40, 50), np.uint8).tobytes(), label=i).serialize())
open("n.prototxt", "w").write('layer { name: "d" type: "Data" top: "x" data_param { source: "db" backend: LMDB '
                              'batch_size: 64 prefetch: 8 threads: 3 } }')
net = caffe.Net("n.prototxt", caffe.TEST)
net.forward()
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        timeout=120,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
