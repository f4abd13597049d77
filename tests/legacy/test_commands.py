"""The original's programs in shell commands go to ours; everything else is left alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caffe.legacy import commands

CAFFE = f"{sys.executable} -m caffe"


@pytest.mark.parametrize(
    "old, new",
    [
        ("./build/tools/caffe train -solver s.prototxt", "train -solver s.prototxt"),
        ("$CAFFE_ROOT/build/tools/caffe.bin time --model=a", "time --model=a"),
        ("../../.build_release/tools/compute_image_mean db out", "compute_image_mean db out"),
        ("~/caffe/build/examples/mnist/convert_mnist_data.bin a b c", "convert_mnist_data a b c"),
        ("build/examples/cpp_classification/classification.bin m w mean l i", None),
        ("GLOG_logtostderr=1 build/tools/convert_imageset / list db", None),
        ("data/mnist/get_mnist.sh", "download mnist"),
        ("bash ./data/ilsvrc12/get_ilsvrc_aux.sh", "download ilsvrc_aux"),
        ("python scripts/download_model_binary.py models/bvlc_x", "download_model_binary models/bvlc_x"),
        ("python tools/extra/parse_log.py log .", "parse_log log ."),
        ("time python /opt/caffe/python/draw_net.py n p.png", None),
    ],
)
def test_programs_of_the_original(old, new):
    found = commands.ours(old)
    assert CAFFE in found and "build" not in found and "python/draw_net" not in found
    if new is not None:
        assert found == f"{CAFFE} {new}"


@pytest.mark.parametrize(
    "line", ["ls build/tools", "cat get_mnist.sh.txt", "echo caffe", "python my_classify.py a"]
)
def test_what_is_not_the_originals(line):
    assert commands.ours(line) == line


def test_a_lists_first_words():
    assert commands.ours_of(["./build/tools/caffe", "train", "a b"]) == [
        sys.executable,
        "-m",
        "caffe",
        "train",
        "a b",
    ]
    assert commands.ours_of(["python", "scripts/download_model_binary.py", "m"])[-2:] == [
        "download_model_binary",
        "m",
    ]
    assert commands.ours_of(["ls", "-l"]) == ["ls", "-l"]


def test_mnist_is_made_in_one_line():
    made = commands.ours("./examples/mnist/create_mnist.sh")
    assert made.count("convert_mnist_data") == 2
    assert "examples/mnist/mnist_train_lmdb" in made and "t10k-labels" in made


def test_subprocess_and_system_run_ours(tmp_path):
    code = (
        "import os, subprocess\nfrom caffe.legacy import commands\ncommands.install(); commands.install()\n"
        "print(subprocess.check_output(['./build/tools/caffe', '--version'], text=True), flush=True)\n"
        "os.system('./build/tools/caffe --version')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    first, _, second = done.stdout.strip().partition("\n\n")
    assert first and first == second, done.stderr


def test_a_users_shell_script_is_translated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.sh").write_text(
        "cd .\n./build/tools/caffe --version $1 && echo $0\n# not ./job.sh again\n"
    )
    (tmp_path / "plain.sh").write_text("echo plain\n")
    assert commands.ours("bash plain.sh") == "bash plain.sh"
    assert commands.ours("bash absent.sh") == "bash absent.sh"
    done = subprocess.run(
        commands.ours("sh ./job.sh --help"), shell=True, capture_output=True, text=True, timeout=60
    )
    assert "build" not in done.stdout and done.stdout.endswith("./job.sh\n") and done.returncode == 0, (
        done.stderr
    )


def test_what_is_missing_is_told_with_the_command_that_brings_it(monkeypatch):
    from caffe.legacy import roots

    monkeypatch.setenv("CAFFE_ROOT", "/somewhere")
    told = {
        "'../models/bvlc_googlenet/bvlc_googlenet.caffemodel'": "caffe root /somewhere --weights=bvlc_googlenet",
        "data/ilsvrc12/synset_words.txt not found": "caffe download ilsvrc_aux, then caffe root /somewhere",
        "train-images-idx3-ubyte": "caffe download mnist",
        "my_own.caffemodel: does not exist": "",
    }
    assert {message: roots.hint(message) for message in told} == told
