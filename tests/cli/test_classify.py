"""caffe classify, and classify.py's old way of calling it."""

import re

import cv2
import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe import layers as L
from caffe.cli.classify import main

LABELS = ["blue", "green", "red"]


@pytest.fixture
def files(tmp_path):
    """A net that scores the mean of each channel; a red and a blue image; labels."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=[1, 3, 6, 5])
    n.conv = L.Convolution(n.data, num_output=3, kernel_size=1)
    n.score = L.Pooling(n.conv, pool="AVE", global_pooling=True)
    (tmp_path / "deploy.prototxt").write_text(str(n.to_proto()))
    net = caffe.Net(n, caffe.TEST)
    net.params["conv"][0].data[...] = np.eye(3).reshape(3, 3, 1, 1)
    net.save(tmp_path / "net.caffemodel")
    for name, channel in (("red", 2), ("blue", 0)):
        pixels = np.full((8, 7, 3), 20, np.uint8)
        pixels[:, :, channel] = 220
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return tmp_path


def flags(folder):
    return [f"--model={folder}/deploy.prototxt", f"--weights={folder}/net.caffemodel", "--mean=none"]


def test_prints_the_best_classes(files, capsys):
    assert main([str(files / "red.png"), str(files / "blue.png"), *flags(files), "--top=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"---------- Prediction for {files}/red.png ----------"
    assert lines[1:3] == ['220.0000 - "red"', '20.0000 - "blue"']
    assert lines[4] == '220.0000 - "blue"' and len(lines) == 6


@pytest.mark.parametrize("gpu", [[], ["--gpu="]])
def test_the_old_way_saves_scores(files, capsys, gpu, monkeypatch):
    monkeypatch.chdir(files)
    argv = ["red.png", "scores", "--model_def", "deploy.prototxt", "--pretrained_model", "net.caffemodel"]
    assert (
        main([*argv, "--center_only", "--raw_scale", "1", "--mean_file", "none", "--images_dim=6,5", *gpu])
        == 0
    )
    scores = np.load("scores.npy")
    np.testing.assert_allclose(scores, [[20 / 255, 20 / 255, 220 / 255]], rtol=1e-4)
    assert "Prediction" not in capsys.readouterr().out
    assert main([*argv, "--print_results"]) == 0
    assert "Prediction" in capsys.readouterr().out


def test_folders_and_arrays(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    assert main([".", "out.npy", *flags(files), "--ext=png"]) == 0
    assert np.load("out.npy").argmax(axis=1).tolist() == [0, 2]  # blue.png, red.png
    np.save("images.npy", np.zeros((4, 6, 5, 3), np.float32))
    assert main(["images.npy", "out.npy", *flags(files)]) == 0
    assert np.load("out.npy").shape == (4, 3)


def test_means_swaps_and_labels(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    np.save("mean.npy", np.full((3, 6, 5), 10.0))
    (files / "mean.binaryproto").write_bytes(
        caffe.io.array_to_blobproto(np.full((1, 3, 6, 5), 10.0)).SerializeToString()
    )
    (files / "names.txt").write_text("a\nb\nc\n")
    for mean in ("mean.npy", "mean.binaryproto", "10,10,10"):
        argv = ["red.png", *flags(files)[:2], f"--mean={mean}", "--channel_swap=0,1,2", "--labels=names.txt"]
        assert main([*argv, "--input_scale=0.5", "--top", "1"]) == 0
        assert capsys.readouterr().out.splitlines()[1] == '105.0000 - "a"'


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["none.png"], "none.png.*does not exist"),
        (["red.png", "--mean=none.npy"], "none.npy.*mean file"),
        (["red.png", "--mean=1,2"], "Mean channels"),
        (["red.png", "--labels=none.txt"], "labels file does not exist"),
        (["red.png", "--labels=deploy.prototxt"], "--labels must have 3 lines"),
        (["red.png", "--images_dim=3,4"], r"at least the net's \[6, 5\]"),
        (["red.png", "--channel_swap=a"], "integers separated by ','"),
        (["red.png", "--top=0"], "--top: must be at least 1"),
        ([".", "--ext=gif"], r"no \*\.gif"),
        (["red.png", "--weights=none.caffemodel"], "none.caffemodel"),
    ],
)
def test_what_cannot_be(files, capsys, monkeypatch, argv, words):
    monkeypatch.chdir(files)
    assert main([*flags(files)[:2], *argv]) != 0
    assert re.search(words, capsys.readouterr().err)


def test_squeezenet(capsys):
    folder = assets("models", "squeezenet_v1.0_deepcompression")
    argv = [str(assets("photos") / "cat.jpg"), f"--labels={assets('labels') / 'synset_words.txt'}"]
    argv += ["--model", f"{folder}/deploy.prototxt", "--weights", f"{folder}/weights.caffemodel"]
    assert main(argv) == 0
    found = re.findall(r'^([\d.]+) - "(n\d+)', capsys.readouterr().out, re.MULTILINE)
    expected = np.load(folder / "photos.npz")["oversampled/cat.jpg"]
    names = [line.split()[0] for line in (assets("labels") / "synset_words.txt").read_text().splitlines()]
    best = np.argsort(-expected)[:5]
    assert [name for _, name in found] == [names[i] for i in best]
    np.testing.assert_allclose([float(score) for score, _ in found], expected[best], rtol=0.01)
