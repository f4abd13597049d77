"""Flags of classify and detect: how images become a net's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from caffe.cli import gflags, paths
from caffe.errors import DataError, InputError, MissingFileError

if TYPE_CHECKING:
    from caffe.classifier import ImageNet
    from caffe.formats.model_folder import ModelFolder

_F = TypeVar("_F", bound=Callable[..., Any])

MEAN = "104,117,123"
"""ImageNet's mean colour, blue first."""


class ImagesCommand(gflags.GflagsCommand):
    """Takes ``--gpu`` without a value too, as the original's classify.py and detect.py did."""

    def normalize(self, args: Sequence[str]) -> list[str]:
        found: list[str] = []
        for i, arg in enumerate(args):
            following = args[i + 1] if i + 1 < len(args) else ""
            valued = following == "all" or following.replace(",", "").isdigit()
            found.append("--gpu=0" if arg in ("--gpu", "-gpu") and not valued else arg)
        return super().normalize(found)


def image_flags(function: _F) -> _F:
    """Add the flags that say how images are prepared."""
    flags = [
        click.option(
            "--model",
            "--model_def",
            "model",
            type=paths.FILE,
            default="",
            help="The net's deploy prototxt.",
        ),
        click.option(
            "--weights",
            "--pretrained_model",
            "weights",
            type=paths.FILES,
            default="",
            help="Its trained weights.",
        ),
        click.option(
            "--mean",
            "--mean_file",
            "mean",
            default=None,
            help=f"What to subtract: {MEAN} (the default for colour), a .npy or .binaryproto file, or none.",
        ),
        click.option("--raw_scale", default=255.0, show_default=True, help="Factor before the mean."),
        click.option("--input_scale", default=1.0, show_default=True, help="Factor after the mean."),
        click.option("--channel_swap", default=None, help="Order of channels; 2,1,0 (BGR) for colour."),
        click.option("--gpu", default="", help="The device to run on; the CPU where left out."),
    ]
    for flag in reversed(flags):
        function = flag(function)
    return function


def take_model(photos: Sequence[str], given: dict[str, Any]) -> list[str]:
    """The photos without the model folder that may stand before them, whose net, weights and labels are taken.

    Raises click.UsageError where a net is named neither so nor by --model and --weights, DataError.
    """
    from caffe.formats import model_folder

    given["folder"] = None
    if photos and not given["model"] and model_folder.is_model_folder(photos[0]):
        folder = model_folder.read(photos[0])
        given |= {"folder": folder, "model": str(folder.deploy), "weights": str(folder.weights)}
        if folder.labels:
            given["labels"] = given.get("labels") or str(folder.labels_file)
        photos = photos[1:]
    missing = [f"--{name}" for name in ("model", "weights") if not given[name]]
    if missing:
        raise click.UsageError(f"Missing {' and '.join(missing)}, or a model folder before the photos.")
    if not photos:
        raise click.UsageError("Missing the photos, behind the model folder.")
    return list(photos)


def as_trained(folder: ModelFolder) -> dict[str, Any]:
    """The flags that prepare images as a model folder says."""
    mean = {"mean": ",".join(map(repr, folder.mean))} if folder.mean else {}
    return {**mean, "input_scale": folder.scale, "channel_swap": "0,1,2" if folder.rgb else None}


def prepare(net: ImageNet, flags: dict[str, Any]) -> None:
    """Set a net's Transformer as the flags say."""
    name = net.inputs[0]
    colour = net.blobs[name].shape[1] == 3
    mean = read_mean(flags["mean"] if flags["mean"] is not None else MEAN if colour else "none")
    swap = flags["channel_swap"] if flags["channel_swap"] is not None else "2,1,0" if colour else ""
    if mean is not None:
        net.transformer.set_mean(name, mean)
    if swap:
        net.transformer.set_channel_swap(name, numbers(swap, "--channel_swap"))
    net.transformer.set_raw_scale(name, flags["raw_scale"])
    net.transformer.set_input_scale(name, flags["input_scale"])


def numbers(text: str, flag: str) -> list[int]:
    """``2,1,0`` as integers."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(
            f"must be integers separated by ','; got '{text}'", param_hint=flag
        ) from None


def read_mean(text: str) -> Any:
    """The mean that a flag names: numbers, a file, or None. Raises MissingFileError, DataError."""
    import numpy as np

    if text.lower() in ("", "none"):
        return None
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        path = Path(text)
    if not path.is_file():
        raise MissingFileError("This mean file does not exist", file=path)
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"must be a numpy array: {error}", file=path) from None
    from caffe.formats.binaryproto import read_blob

    mean = np.asarray(read_blob(path))
    return mean[0] if mean.ndim == 4 else mean


def read_labels(path: str, model: str, count: int) -> list[str]:
    """The lines of a labels file; without one, of those usual beside a model, else the classes' numbers.

    Raises MissingFileError, InputError where there are not ``count`` labels.
    """
    usual = [Path(model).parent / name for name in ("synset_words.txt", "labels.txt")]
    usual.append(Path("data/ilsvrc12/synset_words.txt"))
    for candidate in [Path(path)] if path else usual:
        if candidate.is_file():
            labels = [line for line in candidate.read_text(encoding="utf-8").splitlines() if line.strip()]
            if len(labels) == count:
                return labels
            if path:
                raise InputError(
                    f"--labels must have {count} lines, the outputs; got {len(labels)}", file=path
                )
        elif path:
            raise MissingFileError("This labels file does not exist", file=path)
    click.echo("The classes have no names here: give them with --labels=FILE, a line each.", err=True)
    return [f"class {i}" for i in range(count)]
