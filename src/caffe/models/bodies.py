"""Bodies of nets as generators of SSD's fork call them: VGG-16, ZFNet, ResNet-101 and -152, Inception v3.

Simonyan and Zisserman 2014; Zeiler and Fergus 2013; He et al. 2015; Szegedy et al. 2015. Layers have the names that
published weights have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffe.errors import InputError
from caffe.models.heads import FIXED, conv_bn_layer, learned
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P

MAX, AVE = P.Pooling.MAX, P.Pooling.AVE


def _same(kernel: int, dilation: int) -> int:
    """The padding that keeps the size."""
    return dilation * (kernel - 1) // 2


def _freeze(net: NetSpec, names: Iterable[str]) -> None:
    for name in names:
        if name in net:
            net.update(name, {**learned(), "param": [FIXED, FIXED]})


def _rectified(net: NetSpec, name: str, bottom: Top, channels: int, kernel: int, **window: Any) -> Top:
    """A convolution with its ReLU, which is called relu where it is called conv or fc."""
    net[name] = L.Convolution(bottom, num_output=channels, kernel_size=kernel, **window, **learned())
    relu = "relu" + name.removeprefix("conv").removeprefix("fc")
    net[relu] = L.ReLU(net[name], in_place=True)
    top: Top = net[relu]
    return top


def _classifier(
    net: NetSpec, bottom: Any, fully_conv: bool, reduced: bool, dropout: bool, fc6: dict[str, Any]
) -> None:
    """fc6 and fc7, as convolutions or inner products."""
    for name in ("6", "7"):
        if fully_conv:
            window = fc6 if name == "6" else dict(kernel=1)
            top = _rectified(net, f"fc{name}", bottom, 1024 if reduced else 4096, **window)
        else:
            net[f"fc{name}"] = L.InnerProduct(bottom, num_output=4096)
            net[f"relu{name}"] = top = L.ReLU(net[f"fc{name}"], in_place=True)
        if dropout:
            net[f"drop{name}"] = L.Dropout(top, dropout_ratio=0.5, in_place=True)
        bottom = top


def _known(net: NetSpec, layer: str) -> Top:
    if layer not in net:
        raise InputError(f"from_layer must be a layer of the net; got '{layer}'")
    top: Top = net[layer]
    return top


def vgg_body(
    net: NetSpec,
    from_layer: str,
    need_fc: bool = True,
    fully_conv: bool = False,
    reduced: bool = False,
    dilated: bool = False,
    nopool: bool = False,
    dropout: bool = True,
    freeze_layers: Sequence[str] = (),
    dilate_pool4: bool = False,
) -> NetSpec:
    """VGG-16 up to relu5_3, or to fc7 with ``need_fc``.

    ``fully_conv``: fc6 and fc7 are convolutions, of 1024 channels when ``reduced``; ``dilated``: pool5 does not
    stride; ``dilate_pool4``: pool4 does not; ``nopool``: convolutions that stride in place of poolings.
    """
    x = _known(net, from_layer)
    dilation = 2 if dilate_pool4 and not nopool else 1
    for group, (channels, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for i in range(1, count + 1):
            apart = {} if group < 5 else dict(dilation=dilation)
            x = _rectified(
                net, f"conv{group}_{i}", x, channels, 3, pad=_same(3, dilation if group == 5 else 1), **apart
            )
        if group == 5 and not need_fc:
            break
        stays = (group == 4 and dilation == 2) or (group == 5 and dilated)
        if nopool:
            name = f"conv{group}_{count + 1}"
            stride = 1 if stays else 2
            net[name] = L.Convolution(
                x, num_output=channels, pad=1, kernel_size=3, stride=stride, **learned()
            )
        else:
            name = f"pool{group}"
            window = dict(kernel_size=3, stride=1, pad=1) if stays else dict(kernel_size=2, stride=2)
            net[name] = L.Pooling(x, pool=MAX, **window)
        x = net[name]
    if need_fc:
        wider = {(True, True): 6, (True, False): 2, (False, True): 3, (False, False): 1}[dilated, reduced]
        kernel = 3 if reduced else 7
        fc6 = dict(kernel=kernel, dilation=dilation * wider, pad=_same(kernel, dilation * wider))
        _classifier(net, x, fully_conv, reduced, dropout, fc6)
    _freeze(net, freeze_layers)
    return net


def zf_body(
    net: NetSpec,
    from_layer: str,
    need_fc: bool = True,
    fully_conv: bool = False,
    reduced: bool = False,
    dilated: bool = False,
    dropout: bool = True,
    need_fc8: bool = False,
    freeze_layers: Sequence[str] = (),
) -> NetSpec:
    """ZFNet up to relu5, to fc7 with ``need_fc``, with the scores of ImageNet's classes with ``need_fc8``."""
    x = _known(net, from_layer)
    for number, channels, kernel in ((1, 96, 7), (2, 256, 5)):
        x = _rectified(net, f"conv{number}", x, channels, kernel, pad=kernel // 2, stride=2)
        region = dict(norm_region=P.LRN.WITHIN_CHANNEL, engine=P.LRN.CAFFE)
        net[f"norm{number}"] = L.LRN(x, local_size=3, alpha=0.00005, beta=0.75, **region)
        net[f"pool{number}"] = L.Pooling(net[f"norm{number}"], pool=MAX, pad=1, kernel_size=3, stride=2)
        x = net[f"pool{number}"]
    for number, channels in ((3, 384), (4, 384), (5, 256)):
        x = _rectified(net, f"conv{number}", x, channels, 3, pad=1)
    if need_fc:
        net.pool5 = L.Pooling(x, pool=MAX, pad=1, kernel_size=3, stride=1 if dilated else 2)
        fc6 = {
            (True, True): dict(kernel=3, pad=5, dilation=5),
            (True, False): dict(kernel=6, pad=5, dilation=2),
            (False, True): dict(kernel=3, pad=2, dilation=2),
            (False, False): dict(kernel=6, pad=2),
        }[dilated, reduced]
        _classifier(net, net.pool5, fully_conv, reduced, dropout, fc6)
    if need_fc8:
        last: Any = net.vals()[-1]
        if fully_conv:
            net.fc8 = L.Convolution(last, num_output=1000, kernel_size=1, **learned())
        else:
            net.fc8 = L.InnerProduct(last, num_output=1000)
        net.prob = L.Softmax(net.fc8)
    _freeze(net, freeze_layers)
    return net


def residual_block(
    net: NetSpec,
    from_layer: str,
    block_name: str,
    out2a: int,
    out2b: int,
    out2c: int,
    stride: int,
    use_branch1: bool,
    dilation: int = 1,
    **bn_param: Any,
) -> None:
    """Three convolutions beside the input (or a convolution of it, with ``use_branch1``), added up."""
    names: dict[str, Any] = dict(
        conv_prefix=f"res{block_name}_",
        bn_prefix=f"bn{block_name}_",
        bn_postfix="",
        scale_prefix=f"scale{block_name}_",
        scale_postfix="",
    )

    def branch(
        bottom: str,
        name: str,
        relu: bool,
        channels: int,
        kernel: int,
        pad: int,
        stride: int,
        dilation: int = 1,
    ) -> str:
        conv_bn_layer(
            net,
            bottom,
            f"branch{name}",
            True,
            relu,
            channels,
            kernel,
            pad,
            stride,
            dilation,
            **{**names, **bn_param},
        )
        return f"res{block_name}_branch{name}"

    beside = branch(from_layer, "1", False, out2c, 1, 0, stride) if use_branch1 else from_layer
    x = branch(from_layer, "2a", True, out2a, 1, 0, stride)
    x = branch(x, "2b", True, out2b, 3, _same(3, dilation), 1, dilation)
    x = branch(x, "2c", False, out2c, 1, 0, 1)
    net[f"res{block_name}"] = L.Eltwise(net[beside], net[x])
    net[f"res{block_name}_relu"] = L.ReLU(net[f"res{block_name}"], in_place=True)


def _resnet(
    net: NetSpec,
    from_layer: str,
    thirds: int,
    fourths: int,
    pooled: bool,
    dilated: bool,
    norm: dict[str, Any],
) -> NetSpec:
    names: dict[str, Any] = dict(bn_prefix="bn_", bn_postfix="", scale_prefix="scale_", scale_postfix="")
    conv_bn_layer(net, from_layer, "conv1", True, True, 64, 7, 3, 2, **names, **norm)
    net.pool1 = L.Pooling(net.conv1, pool=MAX, kernel_size=3, stride=2)
    blocks = {
        "2": ["2a", "2b", "2c"],
        "3": ["3a", *(f"3b{i}" for i in range(1, thirds))],
        "4": ["4a", *(f"4b{i}" for i in range(1, fourths))],
        "5": ["5a", "5b", "5c"],
    }
    x = "pool1"
    for i, (group, names_of) in enumerate(blocks.items()):
        width = 64 << i
        apart = group == "5" and dilated
        for j, name in enumerate(names_of):
            stride = 2 if j == 0 and group != "2" and not apart else 1
            dilation = 2 if apart else 1
            residual_block(net, x, name, width, width, 4 * width, stride, j == 0, dilation, **norm)
            x = f"res{name}"
    if pooled:
        net.pool5 = L.Pooling(net[x], pool=AVE, global_pooling=True)
    return net


def resnet101_body(
    net: NetSpec, from_layer: str, use_pool5: bool = True, use_dilation_conv5: bool = False, **bn_param: Any
) -> NetSpec:
    """ResNet-101 up to res5c, or the mean of its map; ``use_dilation_conv5``: the last group does not stride."""
    return _resnet(net, from_layer, 4, 23, use_pool5, use_dilation_conv5, bn_param)


def resnet152_body(
    net: NetSpec, from_layer: str, use_pool5: bool = True, use_dilation_conv5: bool = False, **bn_param: Any
) -> NetSpec:
    """ResNet-152, as :func:`resnet101_body`."""
    return _resnet(net, from_layer, 8, 36, use_pool5, use_dilation_conv5, bn_param)


def inception_tower(
    net: NetSpec, from_layer: str, tower_name: str, layer_params: Sequence[dict[str, Any]], **bn_param: Any
) -> Top:
    """Poolings and convolutions (with BatchNorm and Bias) one after the other; ``name`` says which a layer is."""
    for given in layer_params:
        arguments = dict(given)
        name = f"{tower_name}/{arguments.pop('name')}"
        if "pool" in name:
            net[name] = L.Pooling(net[from_layer], **arguments)
        else:
            merged = {**arguments, **bn_param}
            conv_bn_layer(net, from_layer, name, use_bn=True, use_relu=True, use_scale=False, **merged)
        from_layer = name
    top: Top = net[from_layer]
    return top


def _conv(
    name: str, channels: int, kernel: int | list[int], pad: int | list[int] = 0, stride: int = 1
) -> dict[str, Any]:
    strides = [stride, stride] if isinstance(kernel, list) else stride
    return dict(name=name, num_output=channels, kernel_size=kernel, pad=pad, stride=strides)


def _pool(kind: int, pad: int, stride: int) -> dict[str, Any]:
    return dict(name="pool", pool=kind, kernel_size=3, pad=pad, stride=stride)


_FLAT: dict[str, Any] = dict(kernel=[1, 7], pad=[0, 3])
_TALL: dict[str, Any] = dict(kernel=[7, 1], pad=[3, 0])


def _mixed(number: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """The towers of a module of Inception v3, by their names' endings; a name with ``mixed`` forks its tower."""
    if number < 3:
        return [
            ("", [_conv("conv", 64, 1)]),
            ("/tower", [_conv("conv", 48, 1), _conv("conv_1", 64, 5, 2)]),
            ("/tower_1", [_conv("conv", 64, 1), _conv("conv_1", 96, 3, 1), _conv("conv_2", 96, 3, 1)]),
            ("/tower_2", [_pool(AVE, 1, 1), _conv("conv", 64 if number else 32, 1)]),
        ]
    if number == 3:
        return [
            ("", [_conv("conv", 384, 3, 0, 2)]),
            ("/tower", [_conv("conv", 64, 1), _conv("conv_1", 96, 3, 1), _conv("conv_2", 96, 3, 0, 2)]),
            ("", [_pool(MAX, 0, 2)]),
        ]
    if number < 8:
        n = {4: 128, 7: 192}.get(number, 160)
        return [
            ("", [_conv("conv", 192, 1)]),
            ("/tower", [_conv("conv", n, 1), _conv("conv_1", n, **_FLAT), _conv("conv_2", 192, **_TALL)]),
            (
                "/tower_1",
                [
                    _conv("conv", n, 1),
                    _conv("conv_1", n, **_TALL),
                    _conv("conv_2", n, **_FLAT),
                    _conv("conv_3", n, **_TALL),
                    _conv("conv_4", 192, **_FLAT),
                ],
            ),
            ("/tower_2", [_pool(AVE, 1, 1), _conv("conv", 192, 1)]),
        ]
    if number == 8:
        return [
            ("/tower", [_conv("conv", 192, 1), _conv("conv_1", 320, 3, 0, 2)]),
            (
                "/tower_1",
                [
                    _conv("conv", 192, 1),
                    _conv("conv_1", 192, **_FLAT),
                    _conv("conv_2", 192, **_TALL),
                    _conv("conv_3", 192, 3, 0, 2),
                ],
            ),
            ("", [_pool(MAX, 0, 2)]),
        ]
    fork = [_conv("conv", 384, [1, 3], [0, 1]), _conv("conv_1", 384, [3, 1], [1, 0])]
    return [
        ("", [_conv("conv", 320, 1)]),
        ("/tower", [_conv("conv", 384, 1)]),
        ("/tower/mixed", fork),
        ("/tower_1", [_conv("conv", 448, 1), _conv("conv_1", 384, 3, 1)]),
        ("/tower_1/mixed", fork),
        ("/tower_2", [_pool(AVE if number == 9 else MAX, 1, 1), _conv("conv", 192, 1)]),
    ]


def inception_v3_body(net: NetSpec, from_layer: str, output_pred: bool = False, **bn_param: Any) -> NetSpec:
    """Inception v3 up to mixed_10/join, with ``output_pred`` up to the scores of its 1008 classes."""

    def conv(name: str, channels: int, kernel: int, pad: int, stride: int) -> str:
        conv_bn_layer(
            net, from_layer, name, True, True, channels, kernel, pad, stride, use_scale=False, **bn_param
        )
        return name

    def pool(name: str) -> str:
        net[name] = L.Pooling(net[from_layer], pool=MAX, kernel_size=3, stride=2, pad=0)
        return name

    from_layer = conv("conv", 32, 3, 0, 2)
    from_layer = conv("conv_1", 32, 3, 0, 1)
    from_layer = conv("conv_2", 64, 3, 1, 1)
    from_layer = pool("pool")
    from_layer = conv("conv_3", 80, 1, 0, 1)
    from_layer = conv("conv_4", 192, 3, 0, 1)
    from_layer = pool("pool_1")
    for number in range(11):
        name = f"mixed_{number}" if number else "mixed"
        tops: list[Top] = []
        for ending, layers in _mixed(number):
            tower = name + ending
            if ending.endswith("/mixed"):
                bottom = next(k for k, v in net.tops.items() if v is tops[-1])
                parts = [inception_tower(net, bottom, tower, [layer], **bn_param) for layer in layers]
                net[tower] = L.Concat(*parts, axis=1)
                tops[-1] = net[tower]
            else:
                tops.append(inception_tower(net, from_layer, tower, layers, **bn_param))
        from_layer = f"{name}/join"
        net[from_layer] = L.Concat(*tops, axis=1)
    if output_pred:
        net.pool_3 = L.Pooling(net[from_layer], pool=AVE, kernel_size=8, pad=0, stride=1)
        net.softmax = L.InnerProduct(net.pool_3, num_output=1008)
        net.softmax_prob = L.Softmax(net.softmax)
    return net
