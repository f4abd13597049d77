"""What the examples learn from and look at: digits, photos, a trained net."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 handwritten digits as float32 N×1×28×28 in [0, 1], and float32 labels, shuffled."""
    from demo import digits as as_bytes

    images, labels = as_bytes()
    order = np.random.RandomState(0).permutation(len(images))
    values = images[order, np.newaxis].astype(np.float32) / 255
    return np.ascontiguousarray(values), labels[order].astype(np.float32)


def mnist_lmdbs(folder: Path) -> tuple[str, str]:
    """MNIST as two LMDBs in ``folder``, for training and testing; their paths.

    From the four files in data/mnist (`caffe download mnist` puts them there) or ``$CAFFE_TEST_ASSETS``; where
    they are in neither, scikit-learn's digits take their place, and a line says so.
    """
    from demo import digits as small_digits
    from demo import write_lmdb

    from caffe.cli.convert_mnist_data import main as convert

    for source in (Path("data/mnist"), _assets() / "mnist"):
        if len(list(source.glob("*-ubyte*"))) >= 4:
            break
    else:
        print("scikit-learn's 1,797 digits stand in for MNIST, which `caffe download mnist` brings")
        images, labels = small_digits()
        for name, part in (("train", slice(1400)), ("test", slice(1400, None))):
            write_lmdb(folder / f"mnist_{name}_lmdb", images[part], labels[part])
        return str(folder / "mnist_train_lmdb"), str(folder / "mnist_test_lmdb")
    paths = []
    for part, name in (("train", "train"), ("t10k", "test")):
        images, labels = (
            str(next(source.glob(f"{part}-{kind}-ubyte*"))) for kind in ("images-idx3", "labels-idx1")
        )
        paths.append(str(folder / f"mnist_{name}_lmdb"))
        if convert([images, labels, paths[-1]]):
            raise SystemExit("MNIST could not be converted")
    return paths[0], paths[1]


def photo(name: str) -> np.ndarray:
    """A photo that scikit-learn brings, as ``caffe.io.load_image`` would give it: H×W×3, RGB in [0, 1].

    ``flower.jpg`` is by dany13, ``china.jpg`` by Viktor Karppinen; both CC BY 2.0.
    """
    from sklearn.datasets import load_sample_image

    return load_sample_image(name).astype(np.float32) / 255


def squeezenet() -> tuple[str, str]:
    """The deploy prototxt and the weights of SqueezeNet 1.0.

    From examples/models/squeezenet, or the models of ``$CAFFE_TEST_ASSETS``.
    """
    here = Path(__file__).parent / "models" / "squeezenet"
    there = _assets() / "models" / "squeezenet_v1.0_deepcompression"
    for folder in (here, there):
        if (folder / "weights.caffemodel").is_file():
            return str(folder / "deploy.prototxt"), str(folder / "weights.caffemodel")
    raise SystemExit(f"This example needs SqueezeNet: put deploy.prototxt and weights.caffemodel into {here}")


def imagenet_labels() -> list[str]:
    """The names of ImageNet's 1000 classes, from synset_words.txt; numbers where that is not there."""
    for path in (
        Path(__file__).parent / "models" / "synset_words.txt",
        _assets() / "labels" / "synset_words.txt",
    ):
        if path.is_file():
            return [line.split(" ", 1)[1].split(",")[0] for line in path.read_text().splitlines()]
    return [f"class {i}" for i in range(1000)]


def _assets() -> Path:
    return Path(os.environ.get("CAFFE_TEST_ASSETS", "none"))
