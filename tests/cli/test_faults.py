"""What users mistype or misplace at the command line, each answered in a sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.cli import convert_imageset, db, main, parse_log, plot, time_net


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(3):
        cv2.imwrite(f"images/{i}.png", np.full((4, 5, 3), 40 * i, np.uint8))
    (tmp_path / "list.txt").write_text("0.png 0\n1.png 1\n2.png 2\n")
    n = caffe.NetSpec()
    n.data = L.Input(shape=[2, 3, 9, 8])
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3)
    (tmp_path / "deploy.prototxt").write_text('name: "small"\n' + str(n.to_proto()))
    (tmp_path / "run_metrics.jsonl").write_text(
        json.dumps(
            {"kind": "train", "iter": 0, "seconds": 1.0, "lr": 0.1, "loss": 2.0, "outputs": {"loss": [2.0]}}
        )
    )
    return tmp_path


@pytest.mark.parametrize(
    ("command", "words", "status"),
    [
        ("parse_log run_metrics.jsonl absent", "cannot be written.*mkdir -p 'absent'", 1),
        ("parse_log run_metrics.jsonlx .", "does not exist.*Did you mean 'run_metrics.jsonl'", 1),
        ("plot run_metrics.jsonl --out=foo.xyz", "--out: must end in one of .*png.*got 'foo.xyz'", 2),
        ("plot run_metrics.jsonl --out=absent/foo.png", "no folder 'absent'", 1),
        (
            "convert_imageset --resize_height=-3 images/ list.txt out",
            "--resize_height: must be at least 1",
            2,
        ),
        ("convert_imageset --resize_height=3 images/ list.txt out", "must be given together", 2),
        ("convert_imageset images list.txt out", "images0.png.*End ROOT with a slash: images/", 1),
        ("time --model=deploy.prototx", "Did you mean 'deploy.prototxt'", 1),
        ("view deploy.prototx --noopen", "Did you mean 'deploy.prototxt'", 1),
        ("serve deploy.prototx x.caffemodel", "Did you mean 'deploy.prototxt'", 1),
        ("time --model=no/deploy.prototxt", "There is no folder 'no'", 1),
        ("time --model=deploy.prototxt --profile=no/x.json", "no such folder.*mkdir -p 'no'", 1),
        ("db ls no", "no: does not exist", 1),
    ],
)
def test_a_sentence_and_a_status(folder, capsys, command, words, status):
    assert main.main(command.split()) == status
    said = capsys.readouterr().err
    assert re.search(words, said, re.DOTALL) and "Traceback" not in said
    assert not (folder / "out").exists()


def test_labels_that_fit_no_32_bits_are_refused(folder, capsys):
    (folder / "list.txt").write_text("0.png 2147483648\n")
    assert convert_imageset.main(["images/", "list.txt", "out"]) == 1
    assert re.search(r"0\.png.*must fit 32 bits.*got 2147483648", capsys.readouterr().err)


def test_db_ls_says_that_there_is_nothing(capsys):
    assert db.main(["ls"]) == 0
    assert "There is no LMDB or LevelDB in this folder" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error(folder):
    (folder / "list.txt").write_text("0.png 0\n" * 3000)
    assert convert_imageset.main(["images/", "list.txt", "out"]) == 0
    shown = f"{sys.executable} -m caffe db head out --count=3000"
    found = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shown} | head -1"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0 and "Traceback" not in found.stderr
    assert found.stdout.startswith("00000000_0.png")


def test_time_as_json_and_as_a_table(folder, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    assert time_net.main(["--model=deploy.prototxt", "--iterations=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in found["layers"]] == ["data", "conv"]
    assert found["layers"][1]["multiply_adds"] == 2 * 4 * 7 * 6 * 27
    assert found["layers"][1]["top_bytes"] == 4 * 2 * 4 * 7 * 6
    assert found["forward_ms"] >= found["layers"][1]["forward_ms"] > 0
    assert time_net.main(["--model=deploy.prototxt", "--iterations=2", "--nolog"]) == 0
    said = capsys.readouterr()
    assert re.search(r"conv  .* \d+\.\d{3} ", said.out) and "Slowest: " in said.out
    assert "Average time per layer" not in said.err
    assert time_net.main(["--model=deploy.prototxt", "--iterations=2"]) == 0  # piped
    assert "Average time per layer" in capsys.readouterr().err


def test_a_mistyped_file_needs_nothing_heavy():
    code = (
        "import sys; from caffe.cli import main\n"
        "for command in ('time --model=no', 'test --model=no --weights=no', 'train --solver=no',\n"
        "                'classify x.jpg --model=no --weights=no', 'predict x.jpg --model=no --weights=no'):\n"
        "    assert main.main(command.split()) == 1\n"
        "assert not {'torch', 'numpy', 'cv2'} & set(sys.modules), 'imported for a mistyped name'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_no_error(folder):
    assert parse_log.main(["run_metrics.jsonl", "."]) == 0
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    assert plot.main(["run_metrics.jsonl", "--out=a.png"]) == 0


def test_lists_of_windows_and_of_quoted_names(folder, capsys):
    (folder / "bom.txt").write_bytes(b"\xef\xbb\xbf0.png 0\r\n1.png 1\r\n")
    assert convert_imageset.main(["images/", "bom.txt", "out"]) == 0
    (folder / "quoted.txt").write_text('"0.png" 0\n')
    assert convert_imageset.main(["images/", "quoted.txt", "other"]) == 1
    assert "stand without quotes" in capsys.readouterr().err
