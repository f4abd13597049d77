"""Every command of ``caffe``: in which group it is shown, its line of help, the module it is in.

A command is a click command called ``command`` in a module of this folder, and a line here. The modules are
imported when their command runs, so that the table, the group's help and a mistyped name need nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click


class Entry(NamedTuple):
    """A command in the table."""

    name: str
    help: str
    """One line of at most 50 characters, without a full stop."""
    module: str = ""
    """Its module in ``caffe.cli``; by default that of its name."""


GROUPS: dict[str, tuple[Entry, ...]] = {
    "Train and test": (
        Entry("finetune", "Train a net on a folder of your own images"),
        Entry("train", "Train or fine-tune a model, or go on with a run"),
        Entry("test", "Score a trained model on its test data", "test_net"),
        Entry("time", "Measure how long each layer takes", "time_net"),
        Entry("classify", "Say what is on images"),
        Entry("predict", "Say what is on photos, by a net of any kind"),
        Entry("detect", "Find things on photos, draw boxes around them"),
        Entry("segment", "Colour photos by the class of every pixel"),
        Entry("pose", "Find people's skeletons on photos"),
        Entry("serve", "Serve trained nets over HTTP"),
        Entry("extract_features", "Write blobs of a net over its data to databases"),
        Entry("run", "Run an old script or notebook as it is"),
        Entry("device_query", "Describe the devices that nets can run on"),
    ),
    "Models": (
        Entry("models", "List known models, write or download them"),
        Entry("download", "Download public data sets and weights by name"),
        Entry("download_model_binary", "Download the weights that a model's readme names"),
        Entry("root", "Lay out a folder as the tutorials' caffe_root"),
    ),
    "Data": (
        Entry("convert_imageset", "Make a database of a list of image files"),
        Entry("convert_mnist_data", "Make a database of MNIST's files"),
        Entry("convert_cifar_data", "Make databases of CIFAR-10's files"),
        Entry("convert_mnist_siamese_data", "Make a database of pairs of MNIST's digits"),
        Entry("compute_image_mean", "Compute the mean image of a database"),
        Entry("resize_and_crop_images", "Resize and crop a folder of images"),
        Entry("db", "Look into databases, check, merge, cut them"),
    ),
    "Look": (
        Entry("view", "Show nets, weights, data and runs as a page"),
        Entry("watch", "Show runs of training as a page, live"),
        Entry("runs", "List runs of training and compare them"),
        Entry("draw", "Draw a net on one sheet, to print or to show"),
        Entry("draw_net", "Draw a net's graph into a picture"),
        Entry("plot", "Plot losses and scores of training runs"),
        Entry("parse_log", "Turn a training log into CSV files"),
        Entry("doctor", "Say what would not work here, and how to mend it"),
        Entry("lint", "Say what a fork or toolchain would refuse"),
    ),
    "Convert": (
        Entry("convert", "Turn a PyTorch or ONNX model into a net"),
        Entry("export", "Write a net as ONNX, torch.export or safetensors"),
        Entry("deploy", "Write the net to deploy from the one to train"),
        Entry("trainval", "Write the net to train from the one to deploy"),
        Entry("upgrade_net_proto_text", "Write an old net's prototxt in today's form"),
        Entry("upgrade_net_proto_binary", "Write old weights in today's form"),
        Entry("upgrade_solver_proto_text", "Write an old solver's prototxt in today's form"),
    ),
}
"""The groups in the order of the help, each with its commands in the order of use."""

COMMANDS = {entry.name: entry for entries in GROUPS.values() for entry in entries}


def load(name: str) -> click.Command | None:
    """The command of this name, imported; ``-`` for ``_`` is taken. None if there is none."""
    entry = COMMANDS.get(name.replace("-", "_"))
    if entry is None:
        return None
    command: click.Command = importlib.import_module(f"caffe.cli.{entry.module or entry.name}").command
    return command
