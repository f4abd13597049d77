"""The known zoo, and the folder that tutorials start from."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support_assets import assets, assets_root

from caffe.data import downloads
from caffe.data.downloads import Remote
from caffe.errors import CorruptDataError, FileAccessError, InputError, MissingFileError
from caffe.formats import binaryproto, prototxt
from caffe.models import catalogue
from caffe.models.definitions import DEFINITIONS
from caffe.models.root import MEAN, MEAN_NPY, lay_out

DIGEST = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96}


def test_every_entry_is_whole() -> None:
    found = catalogue.entries()
    assert set(DEFINITIONS) <= set(found)
    assert set(downloads.CATALOGUE) - {"mnist", "cifar10", "ilsvrc_aux"} <= set(found)
    for name, entry in found.items():
        assert re.fullmatch(r"[a-z0-9_.]+", name)
        assert entry.task
        assert entry.fork
        assert entry.licence
        assert entry.page.startswith("https://")
        for remote in entry.files:
            kind, _, digest = remote.digest.partition(":")
            assert re.fullmatch(f"[0-9a-f]{{{DIGEST[kind]}}}", digest), remote.name
            assert remote.urls
            assert all(url.startswith(("http://", "https://")) for url in remote.urls)
        names = [remote.name for remote in entry.files]
        assert len(set(names)) == len(names), f"{name}: two files of one name"


def test_digests_are_those_of_the_files() -> None:
    """Every trained model at hand is in the catalogue, weights and all."""
    known = {r.digest for e in catalogue.entries().values() for r in e.files}
    folders = [p for p in sorted(assets("models").iterdir()) if p.is_dir()]
    assert folders
    for folder in folders:
        for path in folder.glob("weights.caffemodel*"):
            if folder.name == "squeezenet_v1.0_deepcompression":  # was made from a file of another kind
                continue
            assert "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() in known, path


def test_unknown_model() -> None:
    with pytest.raises(InputError, match=r"no model 'vgg_16'.*Did you mean 'vgg16'"):
        catalogue.entry("vgg_16")


def test_nothing_to_check_says_where_to_look() -> None:
    with pytest.raises(InputError, match=r"segnet has no weights .* See https://github.com/alexgkendall"):
        catalogue.entry("segnet").download("anywhere")


def test_download_from_files_at_hand(tmp_path: Path) -> None:
    raw = b"weights, or so" * 100
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.caffemodel").write_bytes(raw)
    remote = Remote("a.caffemodel", ("http://127.0.0.1:9/a.caffemodel",), digest)
    entry = catalogue.Entry("a", "t", "", "BVLC", "free", "https://a", "", (remote,))
    found = entry.download(tmp_path / "there", source=tmp_path / "here")
    assert found == [tmp_path / "there" / "a.caffemodel"]
    assert found[0].read_bytes() == raw
    (tmp_path / "here" / "a.caffemodel").write_bytes(raw + b".")
    with pytest.raises(CorruptDataError):
        entry.download(tmp_path / "elsewhere", source=tmp_path / "here")
    with pytest.raises(FileAccessError, match="could not be downloaded"):
        entry.download(tmp_path / "nowhere")


def at_hand(folder: Path) -> Path:
    """Labels, a mean and a picture, in folders of their own."""
    (folder / "labels").mkdir(parents=True)
    (folder / "photos").mkdir()
    (folder / "labels" / "synset_words.txt").write_text("n01440764 tench, Tinca tinca\n")
    mean = np.arange(3 * 4 * 5, dtype=np.float32).reshape(1, 3, 4, 5)
    binaryproto.write_blob(folder / "labels" / "imagenet_mean.binaryproto", mean)
    (folder / "photos" / "cat.jpg").write_bytes(b"\xff\xd8 a cat")
    return folder


def test_root(tmp_path: Path) -> None:
    root = tmp_path / "caffe"
    found = lay_out(root, sources=[at_hand(tmp_path / "here")], offline=True)
    for definition in DEFINITIONS.values():
        for file in definition.files:
            assert (root / definition.folder / file) in found.written
    assert (root / "examples/images/cat.jpg").read_bytes() == b"\xff\xd8 a cat"
    assert (root / "data/ilsvrc12/synset_words.txt").is_file()
    mean = np.load(root / MEAN_NPY)
    assert (mean.shape, mean.dtype) == ((3, 4, 5), np.float64)
    assert np.array_equal(mean.ravel(), np.arange(60))
    assert found.missing["examples/images/fish-bike.jpg"] == "not at hand"
    assert any("mnist" in name for name in found.missing)
    # A solver's net is found from the root, where tutorials run.
    solver = prototxt.read_solver(root / "models/bvlc_googlenet/quick_solver.prototxt")
    assert (root / solver.net).is_file()
    # Again: what is there stays.
    (root / "examples/images/cat.jpg").write_bytes(b"my own cat")
    again = lay_out(root, sources=[tmp_path / "here"], offline=True)
    assert (root / "examples/images/cat.jpg").read_bytes() == b"my own cat"
    assert len(again.brought) < len(found.brought)


def test_root_without_a_mean(tmp_path: Path) -> None:
    found = lay_out(tmp_path / "caffe", offline=True)
    assert MEAN in found.missing[MEAN_NPY]
    assert found.brought == []


def test_root_brings_weights_that_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"not really AlexNet" * 1000
    entry = catalogue.entry("bvlc_alexnet")
    remote = Remote(entry.files[0].name, (), "sha1:" + hashlib.sha1(raw).hexdigest())
    small = catalogue.Entry(**{**entry.__dict__, "files": (remote,)})
    monkeypatch.setitem(catalogue.entries(), "bvlc_alexnet", small)
    here = at_hand(tmp_path / "here")
    (here / "bvlc_alexnet.caffemodel").write_bytes(raw)
    (here / "VGG_ILSVRC_16_layers.caffemodel").write_bytes(raw)
    found = lay_out(tmp_path / "caffe", sources=[here], offline=True)
    assert tmp_path / "caffe/models/bvlc_alexnet/bvlc_alexnet.caffemodel" in found.brought
    assert "must have the digest" in found.missing["models/vgg16 (vgg16)"]
    assert not (tmp_path / "caffe/models/vgg16/VGG_ILSVRC_16_layers.caffemodel").exists()


def test_root_says_what_it_cannot_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model 'vgg_16'"):
        lay_out(tmp_path / "caffe", weights=["vgg_16"], offline=True)
    with pytest.raises(MissingFileError, match="must be a folder"):
        lay_out(tmp_path / "caffe", sources=[tmp_path / "nothing"], offline=True)
    found = lay_out(tmp_path / "caffe", weights=["segnet", "mobilenet_v1"], offline=True)
    assert "see https://github.com/alexgkendall" in found.missing["segnet"]
    assert found.missing["models/mobilenet_v1 (mobilenet_v1)"] == "not at hand"


def test_the_root_hides_no_package(tmp_path: Path) -> None:
    """Tutorials put caffe_root/python in front of sys.path; caffe is this package all the same."""
    root = tmp_path / "caffe"
    lay_out(root, offline=True)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import caffe; print(caffe.Net.__module__)"
    found = subprocess.run(
        [sys.executable, "-c", code, str(root / "python")], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("caffe.")


@pytest.mark.assets
def test_root_of_real_files(tmp_path: Path) -> None:
    assets("labels", "imagenet_mean.binaryproto")
    found = lay_out(tmp_path, sources=[assets_root() / "labels"], offline=True)
    mean = np.load(tmp_path / MEAN_NPY)
    assert mean.shape == (3, 256, 256)
    assert np.allclose(mean.mean((1, 2)), [104.0, 116.7, 122.7], atol=0.1)
    assert tmp_path / "data/ilsvrc12/synset_words.txt" in found.brought
