"""The nets that the package writes are those that were published: layers, blobs, parameters, hyper-parameters."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from support_assets import GOLDEN, assets, assets_root

import caffe
from caffe import fillers
from caffe.errors import FileAccessError, InputError
from caffe.formats import prototxt
from caffe.models.definitions import DEFINITIONS, definition
from caffe.net import build
from caffe.proto import caffe_pb2

SPLIT = re.compile(r"_split_\d+$")
SYNOPSYS = "foss-for-synopsys-dwc-arc-processors+synopsys-caffe-models/caffe_models"
INTEL = "intel+caffe/models/intel_optimized_models"
BVLC, VGG = "BVLC+caffe", "BXuan694+Caffe/models/vggnet/VGG_ILSVRC"
SQUEEZENET = "DeepScale+SqueezeNet/SqueezeNet"

# What the original built of the published file.
RECORDED = {
    "lenet": f"{BVLC}/examples/mnist/lenet.prototxt",
    "cifar10_quick": f"{BVLC}/examples/cifar10/cifar10_quick.prototxt",
    "cifar10_full": f"{BVLC}/examples/cifar10/cifar10_full.prototxt",
    "bvlc_alexnet": f"{BVLC}/models/bvlc_alexnet/deploy.prototxt",
    "bvlc_reference_caffenet": f"{BVLC}/models/bvlc_reference_caffenet/deploy.prototxt",
    "bvlc_reference_rcnn_ilsvrc13": f"{BVLC}/models/bvlc_reference_rcnn_ilsvrc13/deploy.prototxt",
    "finetune_flickr_style": f"{BVLC}/models/finetune_flickr_style/deploy.prototxt",
    "bvlc_googlenet": f"{BVLC}/models/bvlc_googlenet/deploy.prototxt",
    "vgg16": f"{VGG}_16_layers_deploy.prototxt",
    "vgg19": f"{VGG}_19_layers_deploy.prototxt",
    "squeezenet_v1.0": f"{SQUEEZENET}_v1.0/deploy.prototxt",
    "squeezenet_v1.1": f"{SQUEEZENET}_v1.1/deploy.prototxt",
    "mobilenet_v1": f"{SYNOPSYS}/mobilenet/caffe_model/deploy.prototxt",
    "mobilenet_v2": f"{SYNOPSYS}/mobilenet/caffe_model/mobilenet_v2_deploy.prototxt",
    "resnet_50": f"{INTEL}/benchmark/resnet_50/deploy.prototxt",  # over DummyData
}


# Bytes of the published weights, which are little but four bytes a parameter.
WEIGHTS = {
    "bvlc_reference_caffenet": 243_862_418,
    "bvlc_googlenet": 53_533_754,
    "vgg16": 553_432_081,
    "vgg19": 574_671_192,
    "resnet_50": 102_462_397,
    "resnet_101": 178_662_602,
    "resnet_152": 241_444_171,
    "squeezenet_v1.0": 5_001_403,
    "squeezenet_v1.1": 4_950_080,
    "mobilenet_v2": 14_186_496,
}
SIDE_CLASSIFIERS = (512 + 528) * 128 + 2 * (128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000)
"""Parameters of GoogLeNet that are in its weights and not in its deploy net."""


@pytest.fixture(autouse=True)
def only_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters are left as they are allocated: nothing is drawn, untouched pages cost nothing."""
    monkeypatch.setattr(fillers, "fill", lambda *_, **__: None)


def shapes(net: caffe.Net) -> dict[str, Any]:
    return {
        "blobs": {n: list(b.shape) for n, b in net.blobs.items() if not SPLIT.search(n)},
        "params": {n: [list(b.shape) for b in blobs] for n, blobs in net.params.items()},
        "inputs": list(net.inputs),
        "outputs": list(net.outputs),
    }


@pytest.fixture(scope="module")
def records() -> dict[str, dict[str, Any]]:
    with gzip.open(GOLDEN / "definitions" / "shapes.jsonl.gz", "rt") as lines:
        return {record["file"]: record for record in map(json.loads, lines)}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_deploy_net_builds(name: str, records: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    net_param = definition(name).deploy
    record = records.get(RECORDED.get(name, ""))
    if record is not None:
        # Some files were published with another batch or size; everything else must follow from that.
        net_param.layer[0].input_param.shape[0].dim[:] = record["blobs"]["data"]
    prototxt.write(tmp_path / "net.prototxt", net_param)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    found = shapes(net)
    if name in WEIGHTS:
        count = sum(blob.count for blobs in net.params.values() for blob in blobs)
        count += SIDE_CLASSIFIERS if name == "bvlc_googlenet" else 0
        assert 0 < WEIGHTS[name] - 4 * count < 0.01 * WEIGHTS[name]
    if name in RECORDED:
        assert record is not None, f"no record of {RECORDED[name]}"
    if record is None:
        assert found["inputs"] == ["data"]
        return
    for key in found:
        if key != "inputs" or record[key]:
            assert found[key] == record[key]
    assert list(found["blobs"]) == list(record["blobs"]), "order of blobs"
    assert list(found["params"]) == list(record["params"]), "order of parameters"


# Layer for layer

IGNORED_FIELDS = {"engine"}  # which implementation computes it
ONLY_TRAINED = {"param", "weight_filler", "bias_filler", "use_global_stats"}  # a deploy net may say it or not
SAME = {  # repeated fields: a list that says the same as none
    "stride": [1],
    "pad": [0],
    "dilation": [1],
    "variance": [],
}


def plain(message: Message, skipped: set[str]) -> dict[str, Any]:
    """A message as plain values, without what equals its default and what is skipped."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in skipped or field.name in IGNORED_FIELDS:
            continue
        if isinstance(value, Message):
            inner = plain(value, skipped)
            if inner:
                found[field.name] = inner
        elif hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
            items = [plain(v, skipped) if isinstance(v, Message) else v for v in value]
            if items != SAME.get(field.name):
                found[field.name] = items
        elif value != field.default_value:
            found[field.name] = value
    return found


def layers(net: caffe_pb2.NetParameter, skipped: set[str]) -> list[dict[str, Any]]:
    found = []
    for layer in net.layer:
        found.append(plain(layer, skipped))
        while found[-1].get("param") and found[-1]["param"][-1] == {}:
            found[-1]["param"].pop()
    return found


DIGESTS: dict[str, str] = json.loads((GOLDEN / "definitions" / "digests.json").read_text())
"""Of what the published files hold, as values: they are not this project's to bring along."""


def assert_as_published(path: str, ours: Any, theirs: Callable[[Path], Any]) -> None:
    """Compare with the file where it is at hand (which must then be the recorded one), else with its digest."""
    wanted = DIGESTS[path]
    if (assets_root() / "zoo").is_dir():
        values = theirs(assets("zoo", *path.split("/")))
        assert ours == values
        assert digest(values) == wanted, "the record is of another file"
    assert digest(ours) == wanted


def digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def compare(built: object, path: str, skipped: set[str], *, data: bool = True) -> None:
    """Both in today's form: inputs as Input layers, no rates for BatchNorm."""

    def values(net: object) -> list[dict[str, Any]]:
        found = layers(build.read(net).param, skipped)
        return found if data else [x for x in found if "data" not in x["top"]]

    assert_as_published(path, values(built), values)


def counterpart(name: str, file: str) -> str:
    """Where the zoo has the published file of a definition, if it has it."""
    recorded = RECORDED.get(name, "")
    if name in ("lenet", "cifar10_quick", "cifar10_full") or file.endswith("solver.prototxt"):
        return recorded.rpartition("/")[0] + "/" + file if recorded.startswith((BVLC, SQUEEZENET)) else ""
    if file == "deploy.prototxt":
        return recorded
    return recorded.replace("deploy", "train_val") if recorded.startswith((BVLC, SQUEEZENET)) else ""


FILES = [(name, file) for name, found in DEFINITIONS.items() for file in found.files]


PUBLISHED = [
    (n, f) for n, f in FILES if counterpart(n, f) and (n, f) != ("squeezenet_v1.1", "solver.prototxt")
]


@pytest.mark.parametrize(("name", "file"), PUBLISHED)
def test_file_is_as_published(name: str, file: str) -> None:
    path = counterpart(name, file)
    built = definition(name).build(file)
    if isinstance(built, caffe_pb2.SolverParameter):

        def values(file: Path) -> dict[str, Any]:
            found = plain(prototxt.read_solver(file), set())
            if name.startswith("squeezenet"):  # was made to be run in its own folder
                for field in ("net", "snapshot_prefix"):
                    found[field] = f"{DEFINITIONS[name].folder}/{found[field]}"
            return found

        assert_as_published(path, plain(built, set()), values)
        return
    is_deploy = file == next(iter(DEFINITIONS[name].files))
    # Inputs of some of the zoo's files have another batch.
    compare(built, path, ONLY_TRAINED if is_deploy else set(), data=not is_deploy)


@pytest.mark.parametrize("version", [1, 2])
def test_mobilenet_learns_as_its_port(version: int) -> None:
    file = "train_val" if version == 1 else "mobilenet_v2_train_val"
    net = definition(f"mobilenet_v{version}").build("train_val.prototxt")
    path = f"{SYNOPSYS}/mobilenet/caffe_model/{file}.prototxt"

    def body(net: object, skipped: set[str]) -> list[dict[str, Any]]:
        found = layers(build.read(net).param, skipped)
        return [x for x in found if x["type"] not in ("Data", "SoftmaxWithLoss", "Accuracy")]

    assert_as_published(path, body(net, set()), lambda file: body(file, {"use_global_stats"}))


@pytest.mark.parametrize(
    ("name", "file", "path"),
    [
        ("ssd300_vgg_coco", "train", f"{INTEL}/ssd/VGGNet/coco/SSD_300x300/train"),
        ("ssd300_vgg_coco", "test", f"{INTEL}/ssd/VGGNet/coco/SSD_300x300/test"),
        ("ssd300_vgg_coco", "deploy", f"{INTEL}/ssd/VGGNet/coco/SSD_300x300/deploy"),
        ("ssd300_vgg_voc0712", "test", f"{INTEL}/ssd/VGGNet/VOC0712/SSD_300x300/test"),
    ],
)
def test_ssd_is_as_published(name: str, file: str, path: str) -> None:
    # Where data and results lie is everybody's own; force_color is of Intel's files alone.
    skipped = {"source", "save_output_param", "force_color"}
    if file == "deploy":
        skipped |= ONLY_TRAINED
    compare(definition(name).build(f"{file}.prototxt"), f"{path}.prototxt", skipped, data=file != "deploy")


@pytest.mark.parametrize(("name", "task"), [("ssd300_vgg_coco", "coco"), ("ssd300_vgg_voc0712", "VOC0712")])
def test_ssd_solver_is_as_published(name: str, task: str) -> None:
    places = {"train_net", "test_net", "snapshot_prefix", "solver_mode"}
    assert_as_published(
        f"{INTEL}/ssd/VGGNet/{task}/SSD_300x300/solver.prototxt",
        plain(definition(name).build("solver.prototxt"), places),
        lambda file: plain(prototxt.read_solver(file), places),
    )


# Every net and solver


@pytest.mark.parametrize(("name", "file"), FILES)
def test_file_is_read_back(name: str, file: str, tmp_path: Path) -> None:
    built = definition(name).build(file)
    prototxt.write(tmp_path / file, built)
    if isinstance(built, caffe_pb2.SolverParameter):
        assert prototxt.read_solver(tmp_path / file) == built
        assert built.base_lr > 0
        assert built.max_iter > 0
    else:
        assert prototxt.read_net(tmp_path / file).param == built


TRAINED = [(n, f) for n, f in FILES if "train" in f and "solver" not in f]


@pytest.mark.parametrize(("name", "file"), TRAINED)
def test_training_net_builds(name: str, file: str) -> None:
    """With Input layers for its data, since nobody has ImageNet at hand."""
    net = caffe_pb2.NetParameter.FromString(definition(name).build(file).SerializeToString())
    size = definition(name).deploy.layer[0].input_param.shape[0].dim[-1]
    channels = definition(name).deploy.layer[0].input_param.shape[0].dim[1]
    for layer in net.layer:
        if layer.top[:] == ["data", "label"]:
            label = [1, 1, 3, 8] if layer.type == "AnnotatedData" else [2]
            layer.type = "Input"
            for shape in [2, channels, size, size], label:
                layer.input_param.shape.add().dim.extend(shape)
    built = caffe.Net(net, caffe.TRAIN)
    losses = [layer.name for layer in net.layer if "Loss" in layer.type]
    assert len(losses) == (3 if name == "bvlc_googlenet" else 1)
    assert set(built.outputs) >= set(losses) - {"loss1/loss", "loss2/loss"}


def test_written_solver_finds_its_net(tmp_path: Path) -> None:
    written = definition("bvlc_alexnet").write(root=tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "models/bvlc_alexnet/deploy.prototxt",
        "models/bvlc_alexnet/train_val.prototxt",
        "models/bvlc_alexnet/solver.prototxt",
    ]
    assert prototxt.read_solver(written[-1]).net == "models/bvlc_alexnet/train_val.prototxt"
    moved = definition("ssd300_vgg_voc0712").write(tmp_path / "mine", root=tmp_path)
    solver = prototxt.read_solver(moved[-1])
    assert (solver.train_net, list(solver.test_net)) == ("mine/train.prototxt", ["mine/test.prototxt"])
    assert solver.snapshot_prefix == "mine/VGG_VOC0712_SSD_300x300"


def test_unknown_definition_and_file() -> None:
    with pytest.raises(InputError, match=r"must be one of lenet.*got 'resnet50'.*Did you mean 'resnet_50'"):
        definition("resnet50")
    with pytest.raises(InputError, match=r"must be one of deploy.prototxt.*; got 'train.prototxt'"):
        definition("vgg16").build("train.prototxt")


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(FileAccessError, match="cannot be made"):
        definition("vgg16").write(root=tmp_path)


def test_published_weights_load(tmp_path: Path) -> None:
    """Every parameter of LeNet and of CIFAR-10 quick comes out of other people's files."""
    for name, model in ("lenet", "lenet_v2_caffe_tensorflow"), ("cifar10_quick", "cifar10_quick_v2_ictchase"):
        net = caffe.Net(definition(name).deploy, caffe.TEST)
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = np.nan
        net.copy_from(str(assets("models", model) / "weights.caffemodel"))
        assert all(np.isfinite(b.data).all() for blobs in net.params.values() for b in blobs)


def test_the_notebooks_solver_stands_where_the_tutorial_reads_it(tmp_path):
    from caffe.models.root import lay_out

    lay_out(tmp_path, offline=True)
    solver = prototxt.read_solver(tmp_path / "examples/mnist/lenet_auto_solver.prototxt")
    assert (solver.train_net, list(solver.test_net)) == (
        "mnist/lenet_auto_train.prototxt",
        ["mnist/lenet_auto_test.prototxt"],
    )
    assert (solver.lr_policy, solver.max_iter, solver.net) == ("inv", 10000, "")
