"""The six nets written by hand in torch, as their usual implementations are; peers of ``nets.py``.

In training mode ``forward`` returns all scores that have a loss (GoogLeNet's side exits), else probabilities.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.nets import FIRES, INCEPTIONS, MOBILE


def conv(i: int, o: int, kernel: int, stride: int = 1, pad: int = 0, groups: int = 1) -> nn.Sequential:
    """Convolution and ReLU."""
    return nn.Sequential(nn.Conv2d(i, o, kernel, stride, pad, groups=groups), nn.ReLU(inplace=True))


def normed(
    i: int, o: int, kernel: int, stride: int = 1, pad: int = 0, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution, batch normalization, ReLU."""
    parts: list[nn.Module] = [
        nn.Conv2d(i, o, kernel, stride, pad, groups=groups, bias=False),
        nn.BatchNorm2d(o),
    ]
    return nn.Sequential(*parts, *([nn.ReLU(inplace=True)] if relu else []))


def pool(kernel: int, stride: int, pad: int = 0) -> nn.MaxPool2d:
    """Max pooling with as many windows as Caffe's."""
    return nn.MaxPool2d(kernel, stride, pad, ceil_mode=True)


class Peer(nn.Module):
    """A net whose ``scores`` become probabilities outside of training."""

    def scores(self, x: torch.Tensor) -> list[torch.Tensor]:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> list[torch.Tensor] | torch.Tensor:
        found = self.scores(x)
        return found if self.training else torch.softmax(found[0], 1)


class Plain(Peer):
    """A net that is one sequence."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*parts)

    def scores(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.net(x)]


def lenet() -> Peer:
    """LeNet as in Caffe's MNIST example."""
    return Plain(
        *(nn.Conv2d(1, 20, 5), pool(2, 2), nn.Conv2d(20, 50, 5), pool(2, 2), nn.Flatten()),
        *(nn.Linear(800, 500), nn.ReLU(inplace=True), nn.Linear(500, 10)),
    )


def caffenet() -> Peer:
    """CaffeNet: AlexNet with pooling before normalization."""
    return Plain(
        *(conv(3, 96, 11, 4), pool(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1)),
        *(conv(96, 256, 5, pad=2, groups=2), pool(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1)),
        *(conv(256, 384, 3, pad=1), conv(384, 384, 3, pad=1, groups=2)),
        *(conv(384, 256, 3, pad=1, groups=2), pool(3, 2), nn.Flatten()),
        *(nn.Linear(9216, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(4096, 1000)),
    )


class Inception(nn.Module):
    """Four branches, concatenated."""

    def __init__(self, inputs: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = sizes
        self.one = conv(inputs, one, 1)
        self.three = nn.Sequential(conv(inputs, reduce3, 1), conv(reduce3, three, 3, pad=1))
        self.five = nn.Sequential(conv(inputs, reduce5, 1), conv(reduce5, five, 5, pad=2))
        self.pooled = nn.Sequential(pool(3, 1, 1), conv(inputs, pooled, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class GoogLeNet(Peer):
    """GoogLeNet with its two side exits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(conv(3, 64, 7, 2, 3), pool(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1)),
            *(conv(64, 64, 1), conv(64, 192, 3, pad=1), nn.LocalResponseNorm(5, 1e-4, 0.75, 1), pool(3, 2)),
        )
        self.blocks = nn.ModuleDict()
        inputs = 192
        for name, sizes in INCEPTIONS.items():
            self.blocks[name] = Inception(inputs, sizes)
            inputs = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        self.between = pool(3, 2)
        self.sides = nn.ModuleDict(
            {
                name: nn.Sequential(
                    *(
                        nn.AvgPool2d(5, 3, ceil_mode=True),
                        conv(width, 128, 1),
                        nn.Flatten(),
                        nn.Linear(2048, 1024),
                    ),
                    *(nn.ReLU(inplace=True), nn.Dropout(0.7), nn.Linear(1024, 1000)),
                )
                for name, width in (("4a", 512), ("4d", 528))
            }
        )
        self.end = nn.Sequential(nn.AvgPool2d(7), nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, 1000))

    def scores(self, x: torch.Tensor) -> list[torch.Tensor]:
        x, sides = self.stem(x), []
        for name, block in self.blocks.items():
            x = block(x)
            if name in ("3b", "4e"):
                x = self.between(x)
            if self.training and name in self.sides:
                sides.append(self.sides[name](x))
        return [self.end(x), *sides]


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            normed(inputs, width, 1, stride),
            normed(width, width, 3, pad=1),
            normed(width, 4 * width, 1, relu=False),
        )
        same = inputs == 4 * width and stride == 1
        self.shortcut = nn.Identity() if same else normed(inputs, 4 * width, 1, stride, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.path(x) + self.shortcut(x))


def resnet50() -> Peer:
    """ResNet-50 with the strides of the published Caffe model."""
    parts: list[nn.Module] = [normed(3, 64, 7, 2, 3), pool(3, 2)]
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            parts.append(Bottleneck(inputs, width, 2 if block == 0 and stage else 1))
            inputs = 4 * width
    return Plain(*parts, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(2048, 1000))


class Fire(nn.Module):
    """SqueezeNet's block."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = conv(inputs, squeeze, 1)
        self.one, self.three = conv(squeeze, expand, 1), conv(squeeze, expand, 3, pad=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], 1)


def squeezenet() -> Peer:
    """SqueezeNet 1.1."""
    parts: list[nn.Module] = [conv(3, 64, 3, 2), pool(3, 2)]
    inputs = 64
    for i, (squeeze, expand) in enumerate(FIRES, 2):
        parts.append(Fire(inputs, squeeze, expand))
        inputs = 2 * expand
        if i in (3, 5):
            parts.append(pool(3, 2))
    return Plain(*parts, nn.Dropout(0.5), conv(512, 1000, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def mobilenet() -> Peer:
    """MobileNet (the first)."""
    parts: list[nn.Module] = [normed(3, 32, 3, 2, 1)]
    inputs = 32
    for outputs, stride in MOBILE:
        parts += [normed(inputs, inputs, 3, stride, 1, groups=inputs), normed(inputs, outputs, 1)]
        inputs = outputs
    return Plain(*parts, nn.AdaptiveAvgPool2d(1), nn.Conv2d(1024, 1000, 1), nn.Flatten())


PEERS = {
    "lenet": lenet,
    "caffenet": caffenet,
    "googlenet": GoogLeNet,
    "resnet50": resnet50,
    "squeezenet": squeezenet,
    "mobilenet": mobilenet,
}


class Loop:
    """A training step as people write it: zero_grad, losses, backward, SGD with momentum and weight decay."""

    def __init__(self, net: Peer, x: torch.Tensor, labels: torch.Tensor, amp: bool = False) -> None:
        self.net, self.x, self.labels, self.amp = net.train(), x, labels, amp
        self.optimizer = torch.optim.SGD(
            net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, foreach=True
        )
        self.forward = net  # replaced by the compiled one

    def step(self) -> None:
        """One step; the loss is not read."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.x.device.type, torch.bfloat16, enabled=self.amp):
            main, *sides = self.forward(self.x)
        loss = nn.functional.cross_entropy(main.float(), self.labels)
        for side in sides:
            loss = loss + 0.3 * nn.functional.cross_entropy(side.float(), self.labels)
        loss.backward()
        self.optimizer.step()
