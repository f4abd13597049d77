"""``caffe finetune`` on a folder with annotated boxes: an SSD is trained, judged and kept in a model folder."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from support_assets import assets

import caffe
from caffe.cli import finetune, main
from caffe.errors import DataError, NetError
from caffe.finetuning import annotated, detection
from caffe.formats import prototxt
from caffe.formats.prototxt import NetFile
from caffe.proto import caffe_pb2

COLOURS = {"red ball": (30, 40, 220), "蓝色": (210, 60, 40)}
VOC = """<annotation><filename>renamed.jpg</filename>
<size><width>70</width><height>60</height><depth>3</depth></size>{}</annotation>"""
THING = """<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>
<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""


def scenes(count=12):
    """Images of 60 × 70 with one or two discs on grey, and what is on them: name and box."""
    rng = np.random.default_rng(7)
    found = []
    for i in range(count):
        photo = rng.integers(90, 130, (60, 70, 3)).astype(np.uint8)
        things = []
        for k, (name, colour) in enumerate(COLOURS.items()):
            if i % 3 in (k, 2):
                x, y = 18 + 34 * k + int(rng.integers(-3, 4)), int(rng.integers(18, 42))
                cv2.circle(photo, (x, y), 14, colour, -1)
                things.append((name, (x - 14, y - 14, x + 15, y + 15)))
        found.append((photo, things))
    return found


def write_voc(root, count=12):
    (root / "Annotations").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for i, (photo, things) in enumerate(scenes(count)):
        (root / "JPEGImages" / f"photo {i}.png").write_bytes(cv2.imencode(".png", photo)[1].tobytes())
        text = "".join(THING.format(name, 0, x1 + 1, y1 + 1, x2, y2) for name, (x1, y1, x2, y2) in things)
        (root / "Annotations" / f"photo {i}.xml").write_text(VOC.format(text), encoding="utf-8")
    return root


def write_coco(root, count=12):
    (root / "images").mkdir(parents=True)
    content = {"categories": [{"id": 7 * i, "name": name} for i, name in enumerate(COLOURS)]}
    content["images"], content["annotations"] = [], []
    for i, (photo, things) in enumerate(scenes(count)):
        (root / "images" / f"photo {i}.png").write_bytes(cv2.imencode(".png", photo)[1].tobytes())
        content["images"].append({"id": i, "file_name": f"photo {i}.png"})
        for name, (x1, y1, x2, y2) in things:
            content["annotations"].append(
                {
                    "image_id": i,
                    "category_id": 7 * list(COLOURS).index(name),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    (root / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("detection")
    write_voc(place / "discs", 30)
    argv = [str(place / "discs"), f"--out={place / 'runs'}", "--epochs=12", "--batch_size=8", "--patience=12"]
    assert finetune.main(argv) == 0
    return place / "runs"


def test_voc_and_coco_are_read_alike(tmp_path):
    voc, coco = annotated.find(write_voc(tmp_path / "voc")), annotated.find(write_coco(tmp_path / "coco"))
    assert voc.classes == coco.classes == sorted(COLOURS)
    by_name = {scene.file.split("/")[-1]: scene for scene in coco.scenes}
    for scene in voc.scenes:
        assert scene.things == by_name[scene.file.split("/")[-1]].things
    assert annotated.is_annotated(tmp_path / "voc") and annotated.is_annotated(tmp_path / "coco")
    assert not annotated.is_annotated(tmp_path)


def test_a_detector_is_learned(trained, capsys):
    described = json.loads((trained / "model.json").read_text(encoding="utf-8"))
    assert described["classes"] == sorted(COLOURS)
    assert described["metrics"]["mean_average_precision"] > 0.3
    report = (trained / "report.html").read_text(encoding="utf-8")
    assert "average precision" in report and "蓝色" in report and report.count("<figure>") == 6
    assert (trained / "report.png").stat().st_size > 1000
    photo = str(trained.parent / "discs" / "JPEGImages" / "photo 2.png")
    assert main.main(["detect", str(trained), photo, f"--out={trained / 'found'}", "--threshold=0.1"]) == 0
    assert "red ball" in capsys.readouterr().out


def test_the_model_folder_is_tested(trained, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    described = json.loads((trained / "model.json").read_text(encoding="utf-8"))
    assert main.main(["test", str(trained)]) == 0
    assert f"detection_eval = {described['metrics']['mean_average_precision']:g}" in capsys.readouterr().err


def test_what_is_written_is_the_data(trained):
    """Boxes come out of the database as they were annotated."""
    net = caffe.Net(str(trained / "train_val.prototxt"), caffe.TEST)
    net.forward()
    rows = net.blobs["label"].data.reshape(-1, 8)
    found = annotated.find(trained.parent / "discs")
    _, test = annotated.split(found, 0.2, 1)
    row = rows[rows[:, 0] == 0][0]
    thing = next(t for t in test[0].things if found.classes.index(t.name) + 1 == row[1])
    np.testing.assert_allclose(row[3:7], np.array(thing.box) / [70, 60, 70, 60], atol=1e-6)


def test_a_trained_detector_learns_other_classes(trained, tmp_path):
    folder = write_voc(tmp_path / "discs", 8)
    for path in (folder / "Annotations").iterdir():
        path.write_text(
            path.read_text(encoding="utf-8").replace("red ball", "stone").replace("蓝色", "stone"), "utf-8"
        )
    argv = [str(folder), f"--out={tmp_path / 'out'}", "--epochs=1", "--batch_size=3", "--freeze=relu3_2"]
    argv += [f"--model={trained / 'deploy.prototxt'}", f"--weights={trained / 'weights.caffemodel'}"]
    argv += ["--mean=127.5", "--scale=0.00784314"]
    assert finetune.main(argv) == 0
    before, after = (
        caffe.Net(str(place / "deploy.prototxt"), caffe.TEST, weights=str(place / "weights.caffemodel"))
        for place in (trained, tmp_path / "out")
    )
    assert after.params["map3_conf_2_classes"][0].data.shape[0] == 8
    np.testing.assert_array_equal(before.params["conv2"][0].data, after.params["conv2"][0].data)
    assert after.blobs["detection_out"].data.shape[-1] == 7


def test_a_published_detector_is_taken(tmp_path):
    """An SSD with other layers, trained by others, is made one of two new classes."""
    model = assets("models/wechat_qrcode_detect")
    net = prototxt.read_net(model / "deploy.prototxt")
    detection.renew(net, 3)
    source = caffe_pb2.LayerParameter(name="data", type="Input", top=["data", "label"])
    for shape in ([2, 1, 384, 384], [1, 1, 3, 8]):
        source.input_param.shape.add().dim.extend(shape)
    trained = detection.train_form(net, source, source, 3)
    for phase in (caffe.TRAIN, caffe.TEST):
        built = caffe.Net(trained, phase)
        report = built.copy_from(str(model / "weights.caffemodel"))
        assert len(report.filled) > 20
        built.blobs["data"].data[...] = np.random.default_rng(2).uniform(0, 1, (2, 1, 384, 384))
        built.blobs["label"].data[...] = [
            [[[0, 1, 0, 0.2, 0.2, 0.5, 0.6, 0], [1, 2, 0, 0.4, 0.1, 0.9, 0.5, 0], [-1] * 8]]
        ]
        built.forward()
        assert phase == caffe.TEST or np.isfinite(built.blobs["mbox_loss"].data)
        assert ("mbox_loss" in built.blobs) == (phase == caffe.TRAIN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda root: (root / "Annotations/photo 3.xml").write_text("<annotation><obj"),
            "photo 3.xml: is no annotation",
        ),
        (
            lambda root: (root / "Annotations/photo 3.xml").write_text(
                '<?xml version="1.0" encoding="xyz"?><a/>'
            ),
            "photo 3.xml: is no annotation",
        ),
        (lambda root: shutil.rmtree(root / "JPEGImages"), "12 annotated images do not exist"),
        (
            lambda root: [p.unlink() for p in list((root / "Annotations").iterdir())[3:]],
            "at least 4 images with boxes",
        ),
        (lambda root: [p.unlink() for p in (root / "Annotations").iterdir()], "holds no .xml"),
        (
            lambda root: [p.write_text(VOC.format("")) for p in (root / "Annotations").iterdir()],
            "Nothing is annotated",
        ),
        (
            lambda root: (root / "Annotations/photo 3.xml").write_text(
                VOC.format(THING.format("red ball", 0, 30, 1, 20, 9))
            ),
            r"photo 3.png: A box of 'red ball' must lie in the image of 70 × 60",
        ),
    ],
)
def test_unusable_annotations_are_named(tmp_path, change, words):
    folder = write_voc(tmp_path / "discs")
    change(folder)
    with pytest.raises(DataError, match=words):
        found = annotated.find(folder)
        annotated.write(found, found.scenes, tmp_path / "db", lambda: None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"images": []', "no annotation of COCO's form: JSONDecodeError"),
        ('{"images": [], "annotations": []}', "KeyError"),
        ('{"images": [], "categories": [{"id": 1e999, "name": "a"}], "annotations": []}', "OverflowError"),
        ('{"images": [{"id": 1, "file_name": "a.png"}], "categories": [], "annotations": [{"image_id": 1,'
         ' "category_id": 3, "bbox": [1, 2, 3, 4], "id": 9}]}', "annotation 9 is of an unknown"),
    ],
)  # fmt: skip
def test_unusable_coco_files_are_named(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=words):
        annotated.find(tmp_path)


@pytest.mark.parametrize("write", [write_voc, write_coco])
@pytest.mark.parametrize("absolute", [False, True])
def test_images_outside_the_folder_are_refused(tmp_path, write, absolute):
    folder = write(tmp_path / "discs")
    (tmp_path / "private.png").write_bytes(cv2.imencode(".png", np.zeros((60, 70, 3), np.uint8))[1].tobytes())
    name = str(tmp_path / "private.png") if absolute else "../private.png"
    if write is write_voc:
        shutil.rmtree(folder / "JPEGImages")
        path = folder / "Annotations" / "photo 3.xml"
        path.write_text(path.read_text(encoding="utf-8").replace("renamed.jpg", name), encoding="utf-8")
    else:
        path = folder / "instances.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["images"][3]["file_name"] = name
        path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{path.name}: names an image outside the folder: .*private"):
        annotated.find(folder)


def test_a_folder_called_as_a_file_of_annotations(tmp_path):
    folder = write_coco(tmp_path / "discs")
    (folder / "a.json").mkdir()
    assert len(annotated.find(folder).scenes) == 12


def test_a_damaged_image_is_left_out(tmp_path):
    folder = write_voc(tmp_path / "discs", 6)
    (folder / "JPEGImages" / "photo 4.png").write_bytes(b"no image")
    found = annotated.find(folder)
    assert len(annotated.write(found, found.scenes, tmp_path / "db", lambda: None)) == 5


def test_a_net_that_is_no_ssd_is_refused():
    n = caffe.NetSpec()
    n.data = caffe.layers.Input(shape=[1, 3, 9, 8])
    n.prob = caffe.layers.Softmax(caffe.layers.InnerProduct(n.data, num_output=3))
    with pytest.raises(NetError, match="must have one DetectionOutput"):
        detection.renew(NetFile(n.to_proto()), 3)
