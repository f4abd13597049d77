"""``caffe finetune``: a folder of images becomes a model folder that other commands take."""

from __future__ import annotations

import json
import shlex
import shutil
import tarfile
import tracemalloc

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


def test_the_printed_command_gives_the_same_snapshots(trained, capsys, monkeypatch):
    folder = trained.parents[1] / "colours"
    monkeypatch.chdir(trained.parents[1])
    settings = [str(folder), "--out=with spaces", "--epochs=3", "--batch_size=6", "--lr=0.01"]
    assert finetune.main(settings) == 0
    printed = next(line for line in capsys.readouterr().out.splitlines() if "caffe train" in line)
    snapshots = trained.parents[1] / "with spaces" / "snapshots"
    first = {path.name: path.read_bytes() for path in snapshots.glob("*.caffemodel")}
    assert "net_best.caffemodel" in first and len(first) <= 3
    for path in snapshots.iterdir():
        path.unlink()
    assert main.main(shlex.split(printed)[1:]) == 0
    assert {path.name: path.read_bytes() for path in snapshots.glob("*.caffemodel")} == first


def test_a_dry_run_writes_and_tells(trained, tmp_path, capsys):
    folder = trained.parents[1] / "colours"
    assert (
        finetune.main([str(folder), f"--out={tmp_path / 'out'}", "--mixup=0.2", "--ema=0.9", "--dry_run"])
        == 0
    )
    said = capsys.readouterr().out
    assert "--ema=0.9 --mixup=0.2" in said and "iterations with" in said
    assert not list((tmp_path / "out/snapshots").iterdir())


def test_lists_and_tables_are_read(trained, tmp_path):
    root = trained.parents[1] / "colours"
    folders = images.find(root)
    names = [name for group in folders.images for name in group]
    labels = [str(i) for i, group in enumerate(folders.images) for _ in group]
    (tmp_path / "list.txt").write_text(
        "".join(f"{name} {label}\n" for name, label in zip(names, labels)), encoding="utf-8"
    )
    (tmp_path / "table.csv").write_text(
        "file;class\n"
        + "".join(f"{root / name};{folders.classes[int(i)]}\n" for name, i in zip(names, labels)),
        encoding="utf-8-sig",
    )
    (tmp_path / "names.txt").write_text("\n".join(folders.classes), encoding="utf-8")
    for found in (
        images.find(tmp_path / "list.txt", tmp_path / "names.txt", root),
        images.find(tmp_path / "table.csv", root=root),
    ):
        assert found.classes == folders.classes
        assert found.images == folders.images
    assert images.find(tmp_path / "list.txt", root=root).classes == ["0", "1", "2"]


def test_a_table_with_a_column_a_class_is_learned(trained, tmp_path, capsys):
    """Of several labels an image each is judged by itself."""
    root = trained.parents[1] / "colours"
    folders = images.find(root)
    rows = [
        f"{name},{int(i == 0)},{int(i != 1)}\n" for i, group in enumerate(folders.images) for name in group
    ]
    (tmp_path / "marks.csv").write_text("file,is green,not red\n" + "".join(rows), encoding="utf-8")
    argv = [str(tmp_path / "marks.csv"), f"--root={root}", f"--out={tmp_path / 'out'}", "--lr=0.05"]
    assert finetune.main([*argv, "--epochs=20", "--batch_size=6"]) == 0
    described = json.loads((tmp_path / "out/model.json").read_text(encoding="utf-8"))
    assert described["classes"] == ["is green", "not red"] and described["metrics"]["accuracy"] > 0.8
    layer = prototxt.read_net(tmp_path / "out/train_val.prototxt").param.layer[0]
    assert layer.image_data_param.label_count == 2
    assert main.main(["predict", str(tmp_path / "out"), str(root / "green" / "photo 1.png")]) == 0
    assert "is green" in capsys.readouterr().out
    assert "not red" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "green/absent.png 0\n", "1 of its 1 images do not exist"),
        ("a.txt", "green/photo 0.png 0\ngreen/photo 1.png 0\n", "at least two classes"),
        ("a.txt", "green/photo 0.png 0\ngreen/photo 1.png 2\n", "without gaps.* no image has 1"),
        ("a.txt", "green/photo 0.png 0\ngreen/photo 0.png 1\n", "a.txt:2: .*has the label 0 in another line"),
        ("a.csv", "green/photo 0.png,0\ngreen/photo 1.png,0,1\n", r"a.csv:2: must hold a file and 1 label"),
        ("a.csv", "green/photo 0.png,0,3\ngreen/photo 1.png,0,1\n", "a 0 or 1 for each class"),
        ("a.csv", "", "is empty"),
        ("a.csv", "file,class\n", "names no image"),
    ],
)
def test_unusable_lists_are_refused(trained, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        images.find(tmp_path / name, root=trained.parents[1] / "colours")


def test_a_list_of_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("photo 0.png 0\nphoto 1.png 1\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"a.txt: is text of UTF-16.*Save it as UTF-8"):
        images.find(tmp_path / "a.txt")


def test_a_label_file_names_the_classes_or_is_refused(tmp_path):
    folder = paint(tmp_path / "pets", count=3)
    order = ["蓝色", "green", "rot und warm"]
    (folder / "labels.txt").write_text("\n".join(order), encoding="utf-8")
    found = images.find(folder)
    assert found.classes == order
    assert [names[0].split("/")[0] for names in found.images] == order
    (folder / "labels.txt").write_text("green\nrot und warm\npurple\n", encoding="utf-8")
    with pytest.raises(DataError, match="it alone has purple; the images alone have 蓝色"):
        images.find(folder)
    (folder / "labels.txt").write_text("green\ngreen\n蓝色\n", encoding="utf-8")
    with pytest.raises(DataError, match="names green more than once"):
        images.find(folder)


def test_uneven_and_small_folders_are_told_of(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(images.logs, "warning", said.append)
    folder = paint(tmp_path / "pets", count=2)
    for i in range(30):
        shutil.copy(folder / "green" / "photo 0.png", folder / "green" / f"again {i}.png")
    images.leave_out_damaged(images.find(folder))
    assert any("--balance" in text for text in said) and any("2 images: what is learned" in t for t in said)


def test_thousands_of_classes_are_judged_in_little_memory():
    count = 3_000
    labels = np.arange(count)
    probabilities = np.zeros((count, count), np.float32)
    taken = np.where(labels < 3, labels, (labels + 1) % count)
    probabilities[labels, taken] = 1
    tracemalloc.start()
    by_class = Scores([""] * count, labels, probabilities).by_class()
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    assert by_class[1] == (1.0, 1.0, 1) and by_class[5] == (0.0, 0.0, 1)  # a table of all pairs takes 72 MB


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
    plan_images = images.find(trained.parents[1] / "colours")
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
    found = images.find(folder)
    assert found.others == 1 and found.count == 12
    assert images.leave_out_damaged(found) == ["green/photo 0.png"]
    assert found.count == 11


def test_the_split_is_repeatable_and_in_every_class(tmp_path):
    found = images.find(paint(tmp_path / "pets", count=5))
    train, test = images.split(found, 0.4, seed=7)
    assert (train, test) == images.split(found, 0.4, seed=7)
    assert (train, test) != images.split(found, 0.4, seed=8)
    assert sorted(label for _, label in test) == [0, 0, 1, 1, 2, 2]
    assert not {name for name, _ in train} & {name for name, _ in test}
    with pytest.raises(InputError, match="between 0 and 1"):
        images.split(found, 1.0, seed=7)


def test_a_missing_folder_and_an_unknown_layer(tmp_path):
    with pytest.raises(MissingFileError, match="no such folder"):
        images.find(tmp_path / "absent")
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


def test_the_readme_of_the_model_zoo_names_the_weights(trained, tmp_path, capsys):
    shutil.copy(trained / "deploy.prototxt", tmp_path)
    for name in ("older_iter_90.caffemodel", "published.caffemodel"):
        shutil.copy(trained / "weights.caffemodel", tmp_path / name)
    (tmp_path / "readme.md").write_text(
        "---\nname: A published net\ncaffemodel: published.caffemodel\ncaffemodel_url: http://host/x\n---\n\nText\n"
    )
    assert model_folder.read(tmp_path).weights.name == "published.caffemodel"
    photo = str(trained.parents[1] / "colours" / "green" / "photo 1.png")
    assert main.main(["predict", str(tmp_path), photo]) == 0
    (tmp_path / "published.caffemodel").unlink()
    with pytest.raises(MissingFileError, match=r"published.caffemodel.*caffe download_model_binary"):
        model_folder.read(tmp_path)
    (tmp_path / "readme.md").write_text("# A net without such lines\n\ncaffemodel: published.caffemodel\n")
    assert model_folder.read(tmp_path).weights.name == "older_iter_90.caffemodel"


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
