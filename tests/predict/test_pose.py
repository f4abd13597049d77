"""People are put together from heat maps and fields that were made from known skeletons."""

import json

import cv2
import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.cli import pose as command
from caffe.errors import InputError
from caffe.predict.kinds import Kind, answer_of
from caffe.predict.pose import PoseEstimator
from caffe.predict.preparation import Preparation
from caffe.predict.skeletons import BODY_25, COCO, FACE, HAND, MPI

STRIDE = 8
HEIGHT, WIDTH = 160, 240


def net_of(skeleton, joined=True):
    """Heat maps and fields are inputs beside the image; they leave as OpenPose's nets' do."""
    heat, fields = skeleton.channels
    n = caffe.NetSpec()
    n.image = L.Input(shape=[1, 3, HEIGHT, WIDTH])
    n.unused = L.Silence(n.image, ntop=0)
    n.a = L.Input(shape=[1, heat, HEIGHT // STRIDE, WIDTH // STRIDE])
    n.b = L.Input(shape=[1, fields, HEIGHT // STRIDE, WIDTH // STRIDE])
    n.heat, n.fields = L.Power(n.a), L.Power(n.b)
    if joined:
        n.net_output = L.Concat(n.heat, n.fields)
    return caffe.Net(n, caffe.TEST)


def draw(skeleton, people):
    """The maps (C × h × w) that a net in its prime would give for people: part → x, y in pixels of the input."""
    heat, fields = (np.zeros((c, HEIGHT // STRIDE, WIDTH // STRIDE), np.float32) for c in skeleton.channels)
    y, x = np.mgrid[: heat.shape[1], : heat.shape[2]] * STRIDE + (STRIDE - 1) / 2
    for person in people:
        for part, (px, py) in person.items():
            heat[part] = np.maximum(heat[part], np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 7.0**2)))
        for limb in skeleton.limbs:
            if limb.start in person and limb.end in person:
                start, end = np.array(person[limb.start]), np.array(person[limb.end])
                length = np.linalg.norm(end - start)
                way = (end - start) / length
                along = (x - start[0]) * way[0] + (y - start[1]) * way[1]
                beside = np.abs((x - start[0]) * way[1] - (y - start[1]) * way[0])
                near = (along > -STRIDE) & (along < length + STRIDE) & (beside < STRIDE)
                fields[limb.field, near], fields[limb.field + 1, near] = way
    heat[-1] = 1 - heat[:-1].max(axis=0)
    return heat, fields


def people_of(skeleton, count):
    """Skeletons that stand beside each other: parts are spread by a rule, far enough from each other."""
    rng = np.random.default_rng(len(skeleton.parts))
    columns = 5
    found = []
    for i in range(count):
        found.append(
            {
                part: (
                    12 + i * 122 + (part % columns) * 20 + float(rng.uniform(-3, 3)),
                    12 + (part // columns) * 28 + float(rng.uniform(-3, 3)),
                )
                for part in range(len(skeleton.parts))
            }
        )
    return found


@pytest.mark.parametrize("skeleton", [COCO, MPI, BODY_25], ids=lambda s: s.name)
@pytest.mark.parametrize("joined", [True, False])
def test_two_people_are_put_together(skeleton, joined):
    net = net_of(skeleton, joined)
    answer = answer_of(net)
    assert (answer.kind, answer.form) == (Kind.POSE, skeleton.name)
    people = people_of(skeleton, 2)
    heat, fields = draw(skeleton, people)
    net.blobs["a"].data[...], net.blobs["b"].data[...] = heat, fields
    found = PoseEstimator(net).find(np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8))
    assert len(found) == 2
    for person in sorted(found, key=lambda p: p.points[0][0]):
        expected = people.pop(0)
        assert person.points.keys() == expected.keys() and person.score > 0.8
        for part, (x, y) in expected.items():  # in the photo's pixels, which are half as large
            np.testing.assert_allclose(person.points[part][:2], (2 * x + 0.5, 2 * y + 0.5), atol=4)


def test_whose_arm_it_is_is_told_by_the_field_not_by_distance():
    left, right = people_of(COCO, 2)
    elbow, wrist = COCO.parts.index("right elbow"), COCO.parts.index("right wrist")
    left[wrist], right[wrist] = (right[elbow][0] - 4, 92.0), (left[elbow][0] + 4, 92.0)  # arms cross
    net = net_of(COCO)
    net.blobs["a"].data[...], net.blobs["b"].data[...] = draw(COCO, [left, right])
    found = sorted(PoseEstimator(net).find(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), key=lambda p: p.points[0])
    assert len(found) == 2
    np.testing.assert_allclose(found[0].points[wrist][:2], left[wrist], atol=3)
    np.testing.assert_allclose(found[1].points[wrist][:2], right[wrist], atol=3)


def test_few_parts_are_nobody_and_parts_that_are_hidden_are_left_out():
    (person,) = people_of(COCO, 1)
    hidden = {part: place for part, place in person.items() if part not in (4, 10, 13)}
    stray = {part: (x + 122, y) for part, (x, y) in person.items() if part in (2, 3, 4)}
    net = net_of(COCO)
    net.blobs["a"].data[...], net.blobs["b"].data[...] = draw(COCO, [hidden, stray])
    (found,) = PoseEstimator(net).find(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert found.points.keys() == hidden.keys()
    net.blobs["a"].data[...] = 0
    assert PoseEstimator(net).find(np.zeros((HEIGHT, WIDTH, 3), np.uint8)) == []


@pytest.mark.parametrize("skeleton", [HAND, FACE], ids=lambda s: s.name)
def test_one_hand_or_face_has_the_best_place_of_each_part(skeleton):
    n = caffe.NetSpec()
    n.image = L.Input(shape=[1, 3, HEIGHT, WIDTH])
    n.unused = L.Silence(n.image, ntop=0)
    n.a = L.Input(shape=[1, skeleton.channels[0], HEIGHT // STRIDE, WIDTH // STRIDE])
    n.Mconv7_stage6 = L.Power(n.a)
    net = caffe.Net(n, caffe.TEST)
    assert answer_of(net).form == skeleton.name
    heat = np.zeros(net.blobs["a"].shape[1:], np.float32)
    for part in range(len(skeleton.parts) - 1):  # the last is not to be seen
        heat[part, part % 19, part % 29] = 1
    net.blobs["a"].data[...] = heat
    (found,) = PoseEstimator(net).find(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert list(found.points) == list(range(len(skeleton.parts) - 1))
    x, y, score = found.points[7]
    assert abs(x - (7 * STRIDE + 3.5)) <= 1 and abs(y - (7 * STRIDE + 3.5)) <= 1 and score > 0.9


def test_limbs_name_parts_and_fields_once():
    for skeleton in (COCO, MPI, BODY_25):
        fields = sorted(limb.field for limb in skeleton.limbs)
        assert fields == list(range(0, 2 * len(skeleton.limbs), 2))
        assert {part for limb in skeleton.limbs for part in (limb.start, limb.end)} == set(
            range(len(skeleton.parts))
        )
    assert [s.channels for s in (COCO, MPI, BODY_25)] == [(19, 38), (16, 28), (26, 52)]
    assert (COCO.parts[16], MPI.parts[14], BODY_25.parts[8], HAND.parts[5]) == (
        "right ear", "chest", "hips", "index 1",
    )  # fmt: skip
    assert len(HAND.parts) == 21 and len(FACE.parts) == 70


def small_net(tmp_path):
    """A net of 1 × 1 convolutions on an image of coded colours: blue is the nose, green the neck …"""
    n = caffe.NetSpec()
    n.image = L.Input(shape=[1, 3, 16, 16])
    n.small = L.Pooling(n.image, pool=1, kernel_size=8, stride=8)
    n.heat = L.Convolution(n.small, num_output=19, kernel_size=1)
    n.fields = L.Convolution(n.small, num_output=38, kernel_size=1)
    n.net_output = L.Concat(n.heat, n.fields)
    model = tmp_path / "deploy.prototxt"
    model.write_text(str(n.to_proto()))
    net = caffe.Net(str(model), caffe.TEST)
    net.params["heat"][0].data[...] = 0
    net.params["fields"][0].data[...] = 0
    for part, (channel, sign) in enumerate([(0, 1), (1, 1), (2, 1)]):
        net.params["heat"][0].data[part, channel] = 2 * sign
    net.save(str(tmp_path / "net.caffemodel"))
    return model, tmp_path / "net.caffemodel"


def test_the_command_prints_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, weights = small_net(tmp_path)
    photo = np.zeros((368, 300, 3), np.uint8)
    cv2.imwrite("people.png", photo)
    flags = [f"--model={model}", f"--weights={weights}"]
    assert command.main(["people.png", *flags]) == 0
    out = capsys.readouterr().out
    assert "people.png: no people, picture predictions/people_pose.png" in out
    assert command.main(["people.png", *flags, "--json", "--out=none"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {
        "image": "people.png", "size": [300, 368], "skeleton": "COCO", "people": [], "picture": None
    }  # fmt: skip
    assert command.main(["people.png", *flags, "--threshold=1.5"]) != 0
    assert "0 to 1" in capsys.readouterr().err


def test_other_nets_are_refused(tmp_path):
    n = caffe.NetSpec()
    n.image = L.Input(shape=[1, 3, 16, 16])
    n.scores = L.Convolution(n.image, num_output=57, kernel_size=1)
    net = caffe.Net(n, caffe.TEST)
    assert answer_of(net).kind is Kind.PIXELS
    with pytest.raises(InputError, match="finds no people's parts: it gives pixels"):
        PoseEstimator(net, Preparation())
