"""``caffe finetune``: a folder of images becomes a model folder that other commands take."""

from __future__ import annotations

import json
import shutil
import tarfile

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli import finetune, main
from caffe.errors import DataError, InputError, MissingFileError
from caffe.finetuning import definition, images, run
from caffe.finetuning.scores import Scores
from caffe.formats import binaryproto, model_folder, prototxt
from caffe.proto import caffe_pb2

COLOURS = {"rot und warm": (30, 40, 220), "green": (40, 200, 50), "蓝色": (210, 60, 40)}


def paint(root, count=8, size=(26, 31)):
    """Images of one colour each, with noise; names with spaces, and Chinese ones."""
    rng = np.random.default_rng(3)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(-25, 25, (*size, 3))
            photo = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            (root / name / f"photo {i}.png").write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder that was fine-tuned from scratch by the command."""
    place = tmp_path_factory.mktemp("finetune")
    paint(place / "colours")
    out = place / "runs" / "colours"
    argv = [str(place / "colours"), f"--out={out}", "--epochs=6", "--batch_size=6", "--lr=0.01"]
    assert finetune.main(argv) == 0
    return out


def test_a_folder_becomes_a_model_folder(trained):
    described = json.loads((trained / "model.json").read_text(encoding="utf-8"))
    assert described["classes"] == sorted(COLOURS)
    assert (trained / "labels.txt").read_text(encoding="utf-8").splitlines() == sorted(COLOURS)
    assert described["metrics"]["accuracy"] == 1.0
    assert described["metrics"]["test_images"] + described["metrics"]["train_images"] == 24
    net = caffe.Net(str(trained / "deploy.prototxt"), caffe.TEST, weights=str(trained / "weights.caffemodel"))
    assert net.blobs["data"].data.shape == (1, 3, 31, 31)
    report = (trained / "report.html").read_text(encoding="utf-8")
    assert "100.0%" in report and "蓝色" in report and "http" not in report.replace("http://www.w3.org", "")


def test_the_plain_command_gives_the_same_snapshots(trained):
    solver = prototxt.read_solver(trained / "solver.prototxt")
    ours = binaryproto.read_weights(trained / "snapshots" / f"net_iter_{solver.max_iter}.caffemodel")
    solver.snapshot_prefix = str(trained / "again")
    prototxt.write(trained / "again.prototxt", solver)
    assert main.main(["train", f"--solver={trained / 'again.prototxt'}"]) == 0
    again = binaryproto.read_weights(trained / f"again_iter_{solver.max_iter}.caffemodel")
    assert [layer.name for layer in again.layers] == [layer.name for layer in ours.layers]
    for mine, plain in zip(ours.layers, again.layers):
        for a, b in zip(mine.blobs, plain.blobs):
            np.testing.assert_array_equal(a, b)


def test_other_commands_take_the_model_folder(trained, capsys, monkeypatch):
    photo = str(trained.parents[1] / "colours" / "green" / "photo 1.png")
    assert main.main(["classify", str(trained), photo, "--top=1"]) == 0
    assert "green" in capsys.readouterr().out
    assert main.main(["predict", str(trained), photo]) == 0
    assert "green" in capsys.readouterr().out
    monkeypatch.setenv("GLOG_minloglevel", "0")
    assert main.main(["test", str(trained)]) == 0
    assert "accuracy = 1" in capsys.readouterr().err


def test_the_report_judges_as_predict_does(trained):
    plan_images = images.scan(trained.parents[1] / "colours")
    lines = (trained / "test.txt").read_text(encoding="utf-8").splitlines()
    names = {name for group in plan_images.images for name in group}
    assert {line.rsplit(" ", 1)[0] for line in lines} < names
    assert sorted({int(line.rsplit(" ", 1)[1]) for line in lines}) == [0, 1, 2]


def test_history_is_kept(trained):
    assert run.new_folder(trained) == trained.with_name("colours_2")


def test_a_trained_net_is_taken_over(trained, tmp_path, capsys):
    folder = paint(tmp_path / "other", count=4)
    argv = [str(folder), f"--out={tmp_path / 'out'}", "--epochs=1", "--batch_size=3", "--freeze=pool2"]
    argv += [f"--model={trained / 'deploy.prototxt'}", f"--weights={trained / 'weights.caffemodel'}"]
    assert finetune.main(argv) == 0
    before = caffe.Net(
        str(trained / "deploy.prototxt"), caffe.TEST, weights=str(trained / "weights.caffemodel")
    )
    after = caffe.Net(
        str(tmp_path / "out/deploy.prototxt"), caffe.TEST, weights=str(tmp_path / "out/weights.caffemodel")
    )
    assert "score_3_classes" in after.params and "score" not in after.params
    np.testing.assert_array_equal(after.params["conv2"][0].data, before.params["conv2"][0].data)
    assert not np.array_equal(after.params["conv3"][0].data, before.params["conv3"][0].data)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: shutil.rmtree(root / "green") or shutil.rmtree(root / "蓝色"), "at least two classes"),
        (lambda root: [p.unlink() for p in list((root / "green").iterdir())[1:]], "too few have green (1)"),
        (
            lambda root: [p.write_bytes(b"no image") for p in (root / "green").iterdir()],
            "too few have green (0)",
        ),
    ],
)
def test_unusable_folders_are_refused_before_training(tmp_path, make, words):
    folder = paint(tmp_path / "pets", count=3)
    make(folder)
    with pytest.raises(DataError, match=words.replace("(", r"\(").replace(")", r"\)")):
        run.prepare(run.Settings(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_damaged_images_and_other_files_are_left_out(tmp_path):
    folder = paint(tmp_path / "pets", count=4)
    (folder / "green" / "photo 0.png").write_bytes(b"no image")
    (folder / "green" / "notes.txt").write_text("not an image")
    found = images.scan(folder)
    assert found.others == 1 and found.count == 12
    assert images.leave_out_damaged(found) == ["green/photo 0.png"]
    assert found.count == 11


def test_the_split_is_repeatable_and_in_every_class(tmp_path):
    found = images.scan(paint(tmp_path / "pets", count=5))
    train, test = images.split(found, 0.4, seed=7)
    assert (train, test) == images.split(found, 0.4, seed=7)
    assert (train, test) != images.split(found, 0.4, seed=8)
    assert sorted(label for _, label in test) == [0, 0, 1, 1, 2, 2]
    assert not {name for name, _ in train} & {name for name, _ in test}
    with pytest.raises(InputError, match="between 0 and 1"):
        images.split(found, 1.0, seed=7)


def test_a_missing_folder_and_an_unknown_layer(tmp_path):
    with pytest.raises(MissingFileError, match="no such folder"):
        images.scan(tmp_path / "absent")
    folder = paint(tmp_path / "pets", count=3)
    with pytest.raises(InputError, match="conv9"):
        run.prepare(run.Settings(folder, tmp_path / "out", freeze="conv9"))


def test_rare_classes_come_up_as_often(tmp_path):
    lines = [("a", 0)] * 6 + [("b", 1)] * 2
    assert sum(label for _, label in run._balanced(lines)) == 6


def test_a_relu_on_the_scores_goes():
    n = caffe.NetSpec()
    n.data = caffe.layers.Input(shape=[1, 3, 9, 8])
    n.conv = caffe.layers.Convolution(n.data, num_output=7, kernel_size=1)
    n.relu = caffe.layers.ReLU(n.conv, in_place=True)
    n.pool = caffe.layers.Pooling(n.relu, pool="AVE", global_pooling=True)
    net = prototxt.NetFile(n.to_proto())
    assert definition.renew_last(net, 4) == "conv_4_classes"
    assert [layer.type for layer in net.param.layer] == ["Input", "Convolution", "Pooling"]
    assert net.param.layer[1].convolution_param.num_output == 4


def test_scores():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.9, 0.1, 0]], np.float32)
    scores = Scores(["a", "b", "c", "d"], np.array([0, 1, 1, 2]), probabilities)
    assert scores.accuracy == 0.5
    np.testing.assert_array_equal(scores.confusion, [[1, 0, 0], [0, 1, 1], [1, 0, 0]])
    assert scores.by_class() == [(0.5, 1.0, 1), (1.0, 0.5, 2), (0.0, 0.0, 1)]
    assert [one.image for one in scores.most_wrong()] == ["d", "b"]


def test_jobs_of_digits_are_read(trained, tmp_path, capsys):
    """A job downloaded from DIGITS: plain files in a .tar.gz, of several snapshots the last counts."""
    job = tmp_path / "job"
    job.mkdir()
    shutil.copy(trained / "deploy.prototxt", job)
    shutil.copy(trained / "labels.txt", job)
    for number in (9, 30):
        shutil.copy(trained / "weights.caffemodel", job / f"snapshot_iter_{number}.caffemodel")
    mean = np.stack([np.full((33, 35), value, np.float32) for value in (90, 100, 110)])
    binaryproto.write_blob(job / "mean.binaryproto", mean)
    with tarfile.open(tmp_path / "job.tar.gz", "w:gz") as tar:
        for path in job.iterdir():
            tar.add(path, arcname=f"../{path.name}")
    for place in (job, tmp_path / "job.tar.gz"):
        found = model_folder.read(place)
        assert found.weights.name == "snapshot_iter_30.caffemodel"
        assert found.mean == (90.0, 100.0, 110.0) and found.resize == (33, 35)
        assert found.labels == sorted(COLOURS)
    photo = str(trained.parents[1] / "colours" / "green" / "photo 1.png")
    assert main.main(["predict", str(tmp_path / "job.tar.gz"), photo]) == 0
    assert not (tmp_path.parent / "deploy.prototxt").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "KeyError"),
        ("[" * 90_000, "RecursionError|JSONDecodeError"),
        ('{"format": 1, "preprocessing": {"mean": ["x"], "scale": 1}, "classes": []}', "ValueError"),
        (
            '{"format": 9, "preprocessing": {"mean": [1], "scale": 1, "channels": "BGR", "resize": [0, 0]},'
            ' "classes": []}',
            "must be 1; got 9",
        ),
    ],
)
def test_a_broken_description_is_named(tmp_path, text, words):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(DataError, match=words):
        model_folder.read(tmp_path)


def test_a_broken_archive_is_named(tmp_path):
    (tmp_path / "job.tar.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(DataError, match=r"no \.tar\.gz"):
        model_folder.read(tmp_path / "job.tar.gz")


def test_solvers_are_written_as_a_person_would(trained):
    text = (trained / "solver.prototxt").read_text()
    assert "clip_gradients: 5" in text and "random_seed: 1" in text and 'lr_policy: "step"' in text
    net = prototxt.read_net(trained / "train_val.prototxt").param
    assert [layer.type for layer in net.layer[:2]] == ["ImageData", "ImageData"]
    assert net.layer[0].include[0].phase == caffe_pb2.TRAIN and net.layer[0].image_data_param.shuffle
