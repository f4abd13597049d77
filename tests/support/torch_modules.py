"""Small PyTorch modules, one or a few operators each, with shapes of inputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

IMAGE = (2, 4, 9, 7)
BOUNDS = torch.tensor([-0.3, 0.1, 0.0, 0.7]).view(1, 4, 1, 1)


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, *inputs):
        return self.function(*self.parts, *inputs)


def around(x):
    """Batch norm statistics and learned values that are not trivial."""
    torch.manual_seed(3)
    for m in x.modules():
        for p in m.parameters(recurse=False):
            nn.init.normal_(p, std=0.5)
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    return x.eval()


CASES = {
    "relu": (nn.ReLU(), [IMAGE]),
    "relu6": (nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU6()), [IMAGE]),
    "leaky": (nn.LeakyReLU(0.2), [IMAGE]),
    "prelu": (nn.Sequential(nn.PReLU(4), nn.PReLU()), [IMAGE]),
    "sigmoid tanh": (Of(lambda x: x.sigmoid() + x.tanh()), [IMAGE]),
    "hard": (Of(lambda x: F.hardsigmoid(x * 4) + F.hardswish(x * 3) + F.hardtanh(x, -0.5, 0.7)), [IMAGE]),
    "silu mish": (Of(lambda x: F.silu(x) + F.mish(x)), [IMAGE]),
    "gelu": (Of(lambda x: F.gelu(x * 2)), [IMAGE]),
    "gelu tanh": (Of(lambda x: F.gelu(x * 2, approximate="tanh")), [IMAGE]),
    "erf": (Of(lambda x: torch.erf(x)), [IMAGE]),
    "elu selu celu": (Of(lambda x: F.elu(x, 0.7) + F.selu(x) + F.celu(x, 1.3)), [IMAGE]),
    "softplus": (Of(lambda x: F.softplus(x, 2) + F.logsigmoid(x) + F.softsign(x)), [IMAGE]),
    "softmax": (Of(lambda x: F.softmax(x, 1) + F.log_softmax(x, 3)), [IMAGE]),
    "glu": (nn.GLU(1), [IMAGE]),
    "threshold": (nn.Threshold(0.3, 0.0), [IMAGE]),
    "powers": (
        Of(lambda x: (x.abs() + 1).rsqrt() + (x**2 + 1).sqrt() + x.square() - 1 / (x.abs() + 2)),
        [IMAGE],
    ),
    "exp log": (
        Of(lambda x: torch.exp(x / 4) + torch.log(x.abs() + 1) + torch.log1p(x.abs()) + torch.expm1(x)),
        [IMAGE],
    ),
    "exp2": (Of(lambda x: torch.exp2(x) + 3**x), [IMAGE]),
    "abs behind": (Of(lambda m, x: m(x).abs() + 1, nn.Conv2d(4, 3, 1)), [IMAGE]),
    "clamps": (Of(lambda x: x.clamp(min=-0.2) + x.clamp(max=0.4) + x.clamp(-0.1, 0.3)), [IMAGE]),
    "numbers": (Of(lambda x: 2 - (x * 3 + 1) / 4 - 0.5 * x), [IMAGE]),
    "two": (Of(lambda a, b: (a + b) * (a - b) + torch.maximum(a, b) - torch.minimum(a, b)), [IMAGE, IMAGE]),
    "bounds": (
        Of(
            lambda x: (
                torch.maximum(x, BOUNDS)
                - torch.minimum(x, BOUNDS)
                + torch.minimum(x, BOUNDS.mean(1, keepdim=True))
            )
        ),
        [IMAGE],
    ),
    "addcmul": (
        Of(lambda a, b: torch.addcmul(a, a, b, value=2) * torch.addcmul(BOUNDS, BOUNDS + 1, b)),
        [IMAGE, IMAGE],
    ),
    "alpha": (Of(lambda a, b: torch.add(a, b, alpha=3) / (b.abs() + 1)), [IMAGE, IMAGE]),
    "channels": (Of(lambda x: x * torch.arange(4.0).reshape(4, 1, 1) + torch.arange(7.0)), [IMAGE]),
    "plane": (Of(lambda x: x - torch.arange(63.0).reshape(9, 7) / 9), [IMAGE]),
    "gate": (Of(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()), [IMAGE]),
    "map": (Of(lambda x: x * x.mean(1, keepdim=True) + x.amax(1, keepdim=True)), [IMAGE]),
    "rows": (Of(lambda x: x.mean(3, keepdim=True) + x.mean(2, keepdim=True)), [IMAGE]),
    "minus small": (Of(lambda x: x.mean((2, 3), keepdim=True) - x), [IMAGE]),
    "where": (Of(lambda x: torch.where(torch.arange(7) > 3, x, x * 2)), [IMAGE]),
    "masked": (Of(lambda x: x.masked_fill(torch.arange(7) > 3, 0.5)), [IMAGE]),
    "conv": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), [IMAGE]),
    "conv same": (nn.Conv2d(4, 5, 4, padding="same"), [IMAGE]),
    "conv1d": (nn.Conv1d(4, 5, 3, 2, 1), [(2, 4, 11)]),
    "conv asymmetric": (Of(lambda c, x: c(F.pad(x, (0, 1, 2, 1))), nn.Conv2d(4, 5, 3, 2)), [IMAGE]),
    "conv odd dilation": (Of(lambda c, x: c(F.pad(x, (0, 1, 0, 3))), nn.Conv2d(4, 5, 2, 1, 0, 2)), [IMAGE]),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), [IMAGE]),
    "transposed dilated": (nn.ConvTranspose2d(4, 5, (3, 2), 3, (0, 1), (1, 2), 1, True, 2), [IMAGE]),
    "transposed1d": (nn.ConvTranspose1d(4, 5, 4, 2, 1), [(2, 4, 7)]),
    "max pool down": (nn.MaxPool2d(3, 2, 1), [(2, 4, 8, 12)]),
    "max pool up": (nn.MaxPool2d(3, 2, ceil_mode=True), [(2, 4, 8, 10)]),
    "max pool wide": (nn.MaxPool2d((2, 3), (3, 1), (1, 0)), [IMAGE]),
    "max pool tf": (
        Of(lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)),
        [(2, 4, 8, 12)],
    ),
    "max pool1d": (nn.MaxPool1d(3, 2, 1), [(2, 4, 12)]),
    "mean pool": (nn.AvgPool2d(3, 2, 1), [(2, 4, 8, 11)]),
    "mean pool without": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), [(2, 4, 8, 11)]),
    "mean pool up": (nn.AvgPool2d(3, 2, ceil_mode=True), [(2, 4, 8, 10)]),
    "mean pool padded": (Of(lambda x: F.avg_pool2d(F.pad(x, (0, 1, 1, 0)), 2, 2)), [(2, 4, 7, 9)]),
    "mean pool divided": (nn.AvgPool2d(2, divisor_override=3), [IMAGE]),
    "mean pool1d": (nn.AvgPool1d(3, 2, 1), [(2, 4, 11)]),
    "global": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), [IMAGE]),
    "adaptive": (Of(lambda x: F.adaptive_avg_pool2d(x, (3, 5))), [IMAGE]),
    "adaptive up": (Of(lambda x: F.adaptive_avg_pool2d(x, (18, 14))), [IMAGE]),
    "adaptive max": (Of(lambda x: F.adaptive_max_pool2d(x, (3, 7))), [IMAGE]),
    "adaptive1d": (Of(lambda x: F.adaptive_avg_pool1d(x, 5) + F.adaptive_max_pool1d(x, 5)), [(2, 4, 10)]),
    "batch norm": (nn.Sequential(nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5), nn.ReLU()), [IMAGE]),
    "batch norm1d": (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False)), [(3, 6)]),
    "layer norm": (nn.LayerNorm(7), [(2, 5, 7)]),
    "layer norm small": (Of(lambda n, x: n(x * 1e-3), nn.LayerNorm(7)), [(2, 5, 7)]),
    "layer norm axes": (nn.LayerNorm((9, 7)), [IMAGE]),
    "layer norm rows": (nn.LayerNorm(6), [(3, 6)]),
    "layer norm channels": (
        Of(lambda n, x: n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(4)),
        [IMAGE],
    ),
    "channels last": (
        Of(
            lambda a, b, x: x + b(F.gelu(a(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2),
            nn.Linear(4, 6),
            nn.Linear(6, 4),
        ),
        [IMAGE],
    ),
    "response norm": (nn.LocalResponseNorm(3, 0.2, 0.6, 2), [IMAGE]),
    "response norm of lines": (nn.LocalResponseNorm(5, 0.2), [(2, 6, 7)]),
    "group norm": (nn.GroupNorm(2, 4), [IMAGE]),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), [IMAGE]),
    "l2": (Of(lambda x: F.normalize(x, dim=1)), [IMAGE]),
    "variance": (Of(lambda x: x.var(1, keepdim=True) + x.norm(dim=1, keepdim=True)), [IMAGE]),
    "variance of all": (Of(lambda x: x * x.var((2, 3), unbiased=False, keepdim=True)), [IMAGE]),
    "variance corrected": (Of(lambda x: x.var((1, 3), correction=3) + x.var((1, 3), False)), [IMAGE]),
    "deviation": (Of(lambda x: x.std(2) - x.std((1, 2), unbiased=False, keepdim=True)[:, 0]), [IMAGE]),
    "variance and mean": (
        Of(lambda x: sum(torch.var_mean(x, 1, unbiased=False)) * sum(torch.std_mean(x, 1))),
        [IMAGE],
    ),
    "linear": (nn.Linear(7, 5), [(2, 3, 7)]),
    "addmm": (
        Of(lambda x: torch.addmm(torch.arange(5.0), x, torch.arange(30.0).reshape(6, 5) / 9)),
        [(3, 6)],
    ),
    "shapes": (
        Of(lambda x: x.reshape(2, 2, 2, 63).flatten(2).unsqueeze(1).squeeze(1).unflatten(1, (1, 2))),
        [IMAGE],
    ),
    "transposes": (Of(lambda x: x.transpose(2, 3).transpose(3, 2) + 1), [IMAGE]),
    "expand repeat": (
        Of(lambda x: x.mean(3, keepdim=True).expand(-1, -1, -1, 5).repeat(1, 2, 1, 1)),
        [IMAGE],
    ),
    "interleave": (Of(lambda x: x.repeat_interleave(3, 2)), [IMAGE]),
    "cat stack": (Of(lambda x: torch.cat([x, x * 2], 1) + torch.stack([x, x], 2).flatten(1, 2)), [IMAGE]),
    "cat constant": (Of(lambda x: torch.cat([x, torch.ones(2, 1, 9, 7)], 1)), [IMAGE]),
    "split": (Of(lambda x: x.split([1, 3], 1)[1] + x.chunk(2, 1)[0][:, :1]), [IMAGE]),
    "slices": (Of(lambda x: x[:, 1:3, 2:, ::2] * 2 + x[:, :2, :-2, 1::2].mean(3, keepdim=True)), [IMAGE]),
    "focus": (
        Of(
            lambda x: torch.cat(
                [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1
            )
        ),
        [(2, 3, 6, 8)],
    ),
    "select": (
        Of(
            lambda x: (
                x[:, 2] + x.unbind(1)[1] + x.narrow(2, 1, 9)[:, 0]
                if x.shape[2] > 9
                else x[:, 2] + x.unbind(1)[1]
            )
        ),
        [IMAGE],
    ),
    "written over": (Of(lambda x: _written(x)), [IMAGE]),
    "index": (
        Of(
            lambda x: (
                x[:, torch.tensor([2, 0, 1])]
                + x[:, :3] * x.index_select(3, torch.tensor([0, 2, 3])).mean((1, 3), keepdim=True)
            )
        ),
        [(2, 4, 3, 5)],
    ),
    "flip roll": (Of(lambda x: x.flip(2) + x.roll((1, -2), (2, 3))), [IMAGE]),
    "channel shuffle": (nn.ChannelShuffle(2), [(2, 6, 3, 5)]),
    "channel shuffle by hand": (
        Of(lambda x: x.view(2, 3, 2, 3, 5).transpose(1, 2).reshape(2, 6, 3, 5)),
        [(2, 6, 3, 5)],
    ),
    "pixel shuffle": (Of(lambda x: F.pixel_shuffle(x, 2)), [(2, 8, 3, 5)]),
    "pixel unshuffle": (Of(lambda x: F.pixel_unshuffle(x, 2)), [(2, 3, 4, 6)]),
    "zero pad": (Of(lambda x: F.pad(x, (1, 2, 0, 3)) * 2), [IMAGE]),
    "fill pad": (Of(lambda x: F.pad(x, (1, 0), value=1.5).relu()), [IMAGE]),
    "crop pad": (Of(lambda x: F.pad(x, (-1, 2, -2, -1)).relu()), [IMAGE]),
    "reflect": (nn.ReflectionPad2d((2, 1, 1, 3)), [IMAGE]),
    "replicate": (nn.ReplicationPad2d((2, 1, 1, 0)), [IMAGE]),
    "nearest": (nn.Upsample(scale_factor=2), [IMAGE]),
    "nearest sides": (nn.Upsample(scale_factor=(2, 3)), [IMAGE]),
    "nearest odd": (nn.Upsample(size=(13, 10)), [IMAGE]),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), [IMAGE]),
    "bilinear by 3": (nn.Upsample(scale_factor=3, mode="bilinear"), [IMAGE]),
    "bilinear odd": (nn.Upsample(size=(13, 10), mode="bilinear"), [IMAGE]),
    "bilinear down": (nn.Upsample(size=(4, 3), mode="bilinear"), [IMAGE]),
    "bilinear corners": (nn.Upsample(size=(13, 10), mode="bilinear", align_corners=True), [IMAGE]),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), [IMAGE]),
    "mean of all": (Of(lambda x: x.mean((1, 2, 3)) + x.sum((1, 2, 3))), [IMAGE]),
    "sums": (
        Of(lambda x: x.sum(1) + x.sum((1, 2)).unsqueeze(1) + x.amin(2).mean(1, keepdim=True)),
        [(2, 4, 3, 3)],
    ),
    "max": (Of(lambda x: x.max(2)[0] + x.min(3)[0].mean(2, keepdim=True)), [(2, 4, 5, 7)]),
    "argmax": (Of(lambda x: x.argmax(1).float()), [IMAGE]),
    "tokens": (Of(lambda x: x.mean(1)), [(2, 5, 7)]),
    "lstm": (Of(lambda m, x: m(x)[0], nn.LSTM(6, 5, 2, bidirectional=True)), [(4, 3, 6)]),
    "lstm state": (
        Of(lambda m, x, h, c: m(x, (h, c)), nn.LSTM(6, 5, bidirectional=True)),
        [(4, 3, 6), *[(2, 3, 5)] * 2],
    ),
    "lstm last": (Of(lambda m, x: m(x)[1], nn.LSTM(6, 5, 2)), [(4, 3, 6)]),
    "gru state": (Of(lambda m, x, h: m(x, h), nn.GRU(6, 5)), [(4, 3, 6), (1, 3, 5)]),
    "gru": (Of(lambda m, x: m(x)[0], nn.GRU(6, 5, bidirectional=True)), [(4, 3, 6)]),
}


def _written(x):
    y = x.clone()
    y[:, :2] = y[:, 2:] * 2
    y[:, 1:, 3:] = 0 * y[:, 1:, 3:] + 1
    return y
