"""Every operator of the table, in small modules: what the net computes is what PyTorch computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_modules import CASES, IMAGE, Of, around

from caffe.importing.from_torch import convert_torch

BEYOND = {
    "attention": (nn.MultiheadAttention(8, 2, batch_first=True), [(2, 5, 8)] * 3, "caffe-torch"),
    "sdpa": (
        Of(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True)),
        [(2, 3, 5, 4)],
        "caffe-torch",
    ),
    "matmul": (Of(lambda a, b: a @ b.transpose(1, 2)), [(2, 5, 8), (2, 3, 8)], "caffe-torch"),
    "permute": (Of(lambda x: x.permute(0, 2, 3, 1).reshape(2, -1, 2)), [IMAGE], "ssd"),
    "shuffle": (nn.ChannelShuffle(2), [(2, 6, 3, 5)], "caffe-torch"),
    "lstm batch first": (Of(lambda m, x: m(x)[0], nn.LSTM(6, 5, batch_first=True)), [(3, 4, 6)], "ssd"),
    "activations": (
        Of(lambda x: F.relu6(x) + F.hardswish(x) + F.hardsigmoid(x) + F.mish(x) + F.silu(x)),
        [IMAGE],
        "caffe-torch",
    ),
    "floor": (
        Of(lambda x: x.floor() + x.ceil() + x.sin() + x.atan() + torch.div(x, 0.3, rounding_mode="floor")),
        [IMAGE],
        "caffe-torch",
    ),
    "corners": (nn.Upsample(size=(13, 10), mode="bilinear", align_corners=True), [IMAGE], "caffe-torch"),
    "constant matrix": (Of(lambda x: torch.arange(20.0).reshape(5, 4) / 10 @ x), [(2, 4, 3)], "ssd"),
    "rounding": (nn.MaxPool2d(3, 2, 1), [(2, 4, 8, 12)], "caffe-torch"),
    "rms norm": (nn.RMSNorm(7), [(2, 5, 7)], "bvlc"),
}


def converted(module, shapes, dialect="bvlc", **options):
    torch.manual_seed(1)
    return convert_torch(around(module), tuple(torch.randn(*s) for s in shapes), dialect=dialect, **options)


@pytest.mark.parametrize("name", CASES)
def test_bvlc_layers_suffice(name):
    module, shapes = CASES[name]
    done = converted(module, shapes)
    assert done.checked.runs >= 3
    assert max(done.checked.errors.values()) < 1e-5
    # a sequence's first axis is time; a constant for each image holds for as many images
    batch = shapes[0][0]
    assert done.checked.batches == ([batch] if name in FIXED else [batch, batch + 1])


FIXED = {
    "lstm",
    "gru",
    "lstm state",
    "lstm last",
    "gru state",
    "shapes",
    "cat constant",
    "channel shuffle by hand",
}


@pytest.mark.parametrize("name", BEYOND)
def test_layers_of_forks(name):
    module, shapes, dialect = BEYOND[name]
    done = converted(module, shapes, dialect)
    assert max(done.checked.errors.values()) < 1e-5


def test_folding_gives_the_same_numbers_with_fewer_layers():
    module = nn.Sequential(
        nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 2, 2, groups=2), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(4 * 14 * 10, 3), nn.BatchNorm1d(3),
    )  # fmt: skip
    plain, folded = converted(module, [IMAGE]), converted(module, [IMAGE], fold=True)
    assert max(folded.checked.errors.values()) < 1e-5
    assert "BatchNorm" in {layer.type for layer in plain.param.layer}
    assert {layer.type for layer in folded.param.layer} == {
        "Input", "Convolution", "ReLU", "Deconvolution", "InnerProduct",
    }  # fmt: skip
    assert len(folded.folded) == 6
