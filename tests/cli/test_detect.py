"""caffe detect over a list of windows."""

import csv
import re

import cv2
import h5py
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.cli.detect import main


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    n = caffe.NetSpec()
    n.data = L.Input(shape=[2, 3, 6, 6])
    n.score = L.Pooling(n.data, pool="AVE", global_pooling=True)
    (tmp_path / "deploy.prototxt").write_text(str(n.to_proto()))
    caffe.Net(n, caffe.TEST).save(tmp_path / "net.caffemodel")
    pixels = np.zeros((16, 20, 3), np.uint8)
    pixels[:, 10:, 2] = 255
    cv2.imwrite("photo.png", pixels)
    (tmp_path / "windows.csv").write_text(
        "filename,ymin,xmin,ymax,xmax\nphoto.png,0,0,8,9\nphoto.png,1.5,11,9,20\nphoto.png,3,10,12,19\n"
    )
    return tmp_path


FLAGS = [
    "--model_def=deploy.prototxt",
    "--pretrained_model=net.caffemodel",
    "--mean_file=none",
    "--context_pad=0",
]


def test_windows_of_a_list(files, capsys):
    assert main(["windows.csv", "out.csv", "--crop_mode=list", *FLAGS]) == 0
    assert "3 windows of 1 images" in capsys.readouterr().out
    with open("out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == ["photo.png"] * 3
    assert [float(rows[1][k]) for k in ("ymin", "xmin", "ymax", "xmax")] == [1.5, 11, 9, 20]
    red = [float(row["class2"]) for row in rows]  # BGR
    assert red[0] == 0 and min(red[1:]) > 200


def test_hdf5(files):
    assert main(["windows.csv", "out.h5", "--crop_mode", "list", *FLAGS]) == 0
    with h5py.File("out.h5") as file:
        assert file["prediction"].shape == (3, 3) and file["window"][1].tolist() == [1.5, 11, 9, 20]
        assert file["filename"].asstr()[0] == "photo.png"


def test_gpu_without_a_value_is_taken_as_a_switch(files, capsys):
    assert main(["windows.csv", "out.csv", "--crop_mode=list", *FLAGS, "--gpu"]) in (0, 1)
    assert "needs a value" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["none.csv", "out.csv", "--crop_mode=list"], "none.csv: This list does not exist"),
        (["windows.csv", "out.txt", "--crop_mode=list"], r"OUTPUT must end in \.csv or \.h5"),
        (["photo.png", "out.csv"], r"INPUT must be a \.txt or \.csv"),
        (["windows.csv", "out.csv"], "selective_search_ijcv_with_python"),
        (["bad.csv", "out.csv", "--crop_mode=list"], "bad.csv:3.*four numbers"),
        (["short.csv", "out.csv", "--crop_mode=list"], "short.csv:1.*xmax missing"),
        (["empty.csv", "out.csv", "--crop_mode=list"], "empty.csv: must list at least one window"),
        (["windows.csv", "no/out.csv", "--crop_mode=list"], "no/out.csv: cannot be written"),
    ],
)
def test_what_cannot_be(files, capsys, argv, words):
    head = "filename,ymin,xmin,ymax,xmax\n"
    (files / "bad.csv").write_text(head + "photo.png,0,0,8,9\nphoto.png,0,0,x,9\n")
    (files / "short.csv").write_text("filename,ymin,xmin,ymax\n")
    (files / "empty.csv").write_text(head)
    assert main([*argv, *FLAGS]) == 1
    assert re.search(words, capsys.readouterr().err)
