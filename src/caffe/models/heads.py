"""The parts that net generators of SSD's fork put together: layers with BatchNorm, data, heads of boxes.

Names of functions, arguments and layers are the fork's, so that generators run and published weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffe.errors import InputError
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P
from caffe.proto import caffe_pb2

FIXED = dict(lr_mult=0, decay_mult=0)


def learned(rate: float = 1) -> dict[str, Any]:
    """Arguments of a convolution with a bias: Xavier's weights, a bias that learns twice as fast."""
    return dict(
        param=[dict(lr_mult=rate, decay_mult=1), dict(lr_mult=2 * rate, decay_mult=0)],
        weight_filler=dict(type="xavier"),
        bias_filler=dict(type="constant", value=0),
    )


def unpack_variable(var: Any, num: int) -> list[Any]:
    """``num`` values: the list itself where it has so many, else its one value repeated. Raises InputError."""
    values = list(var) if isinstance(var, (list, tuple)) else [var]
    if len(values) == 1:
        values *= num
    if len(values) != num:
        raise InputError(f"There must be one value or {num}; got {var!r}")
    return values


def _window(kernel_size: Any, pad: Any, stride: Any) -> dict[str, Any]:
    """A convolution's window: one number a field where the kernel is square, else height and width."""
    sizes = {
        name: unpack_variable(value, 2)
        for name, value in (("kernel", kernel_size), ("pad", pad), ("stride", stride))
    }
    if sizes["kernel"][0] == sizes["kernel"][1]:
        return dict(kernel_size=sizes["kernel"][0], pad=sizes["pad"][0], stride=sizes["stride"][0])
    return {f"{name}_{axis}": v for name, pair in sizes.items() for axis, v in zip("hw", pair)}


def conv_bn_layer(
    net: NetSpec,
    from_layer: str,
    out_layer: str,
    use_bn: bool,
    use_relu: bool,
    num_output: int,
    kernel_size: Any,
    pad: Any,
    stride: Any,
    dilation: int = 1,
    use_scale: bool = True,
    lr_mult: float = 1,
    conv_prefix: str = "",
    conv_postfix: str = "",
    bn_prefix: str = "",
    bn_postfix: str = "_bn",
    scale_prefix: str = "",
    scale_postfix: str = "_scale",
    bias_prefix: str = "",
    bias_postfix: str = "_bias",
    **bn_params: Any,
) -> None:
    """A convolution, then with ``use_bn`` BatchNorm and Scale (or Bias), then with ``use_relu`` a ReLU, in place.

    ``bn_params`` may have eps, moving_average_fraction and use_global_stats; the last freezes Scale and Bias.
    """
    name = f"{conv_prefix}{out_layer}{conv_postfix}"
    if use_bn:
        arguments: dict[str, Any] = dict(
            param=[dict(lr_mult=lr_mult, decay_mult=1)],
            weight_filler=dict(type="gaussian", std=0.01),
            bias_term=False,
        )
    else:
        arguments = learned(lr_mult)
    net[name] = L.Convolution(
        net[from_layer], num_output=num_output, **_window(kernel_size, pad, stride), **arguments
    )
    if dilation > 1:
        net.update(name, dict(dilation=dilation))
    if use_bn:
        frozen = bool(bn_params.get("use_global_stats"))
        statistics: dict[str, Any] = dict(param=[FIXED] * 3, eps=bn_params.get("eps", 0.001))
        if frozen:
            statistics["use_global_stats"] = True
        else:
            statistics["moving_average_fraction"] = bn_params.get("moving_average_fraction", 0.999)
        norm = f"{bn_prefix}{out_layer}{bn_postfix}"
        net[norm] = L.BatchNorm(net[name], in_place=True, **statistics)
        rate = dict(lr_mult=0 if frozen else lr_mult, decay_mult=0)
        if use_scale:
            net[f"{scale_prefix}{out_layer}{scale_postfix}"] = L.Scale(
                net[norm],
                in_place=True,
                bias_term=True,
                param=[rate, rate],
                filler=dict(type="constant", value=1.0),
                bias_filler=dict(type="constant", value=0.0),
            )
        else:
            net[f"{bias_prefix}{out_layer}{bias_postfix}"] = L.Bias(
                net[norm], in_place=True, param=[rate], filler=dict(type="constant", value=0.0)
            )
    if use_relu:
        net[f"{name}_relu"] = L.ReLU(net[name], in_place=True)


def annotated_data_layer(
    source: str,
    batch_size: int = 32,
    backend: Any = None,
    output_label: bool = True,
    train: bool = True,
    label_map_file: str = "",
    anno_type: Any = None,
    transform_param: Mapping[str, Any] | None = None,
    batch_sampler: Sequence[Mapping[str, Any]] = ({},),
) -> Any:
    """An AnnotatedData layer for one phase: its top, or data and label."""
    annotated: dict[str, Any] = dict(label_map_file=label_map_file, batch_sampler=list(batch_sampler))
    if anno_type is not None:
        annotated["anno_type"] = anno_type
    return L.AnnotatedData(
        name="data",
        include=dict(phase=caffe_pb2.TRAIN if train else caffe_pb2.TEST),
        transform_param=dict(transform_param or {}),
        annotated_data_param=annotated,
        data_param=dict(
            batch_size=batch_size, backend=P.Data.LMDB if backend is None else backend, source=source
        ),
        ntop=2 if output_label else 1,
    )


def multibox_head(
    net: NetSpec,
    data_layer: str = "data",
    num_classes: int | Sequence[Any] = (),
    from_layers: Sequence[str] = (),
    use_objectness: bool = False,
    normalizations: Sequence[float] = (),
    use_batchnorm: bool = True,
    lr_mult: float = 1,
    use_scale: bool = True,
    min_sizes: Sequence[Any] = (),
    max_sizes: Sequence[Any] = (),
    prior_variance: Sequence[float] = (0.1,),
    aspect_ratios: Sequence[Any] = (),
    steps: Sequence[Any] = (),
    img_height: int = 0,
    img_width: int = 0,
    share_location: bool = True,
    flip: bool = True,
    clip: bool = True,
    offset: float = 0.5,
    inter_layer_depth: Sequence[int] = (),
    kernel_size: Any = 1,
    pad: Any = 0,
    conf_postfix: str = "",
    loc_postfix: str = "",
    **bn_param: Any,
) -> list[Top]:
    """Predictions of boxes and classes from some layers, with their prior boxes.

    Returns the tops mbox_loc, mbox_conf, mbox_priorbox and, with ``use_objectness``, mbox_objectness. The lists have
    an entry for each of ``from_layers``; a normalization of -1 is none. Raises InputError where lengths differ.
    """
    if not isinstance(num_classes, int) or num_classes < 1:
        raise InputError(f"num_classes must be a positive number; got {num_classes!r}")
    if data_layer not in net:
        raise InputError(f"data_layer must be a layer of the net; got '{data_layer}'")
    lists = dict(normalizations=normalizations, max_sizes=max_sizes, aspect_ratios=aspect_ratios, steps=steps)
    lists.update(inter_layer_depth=inter_layer_depth, min_sizes=min_sizes)
    for what, values in lists.items():
        if len(values) != len(from_layers) and (len(values) or what == "min_sizes"):
            raise InputError(
                f"{what} must have an entry for each of the {len(from_layers)} from_layers; got {len(values)}"
            )

    def predicted(bottom: str, name: str, channels: int) -> Top:
        conv_bn_layer(
            net,
            bottom,
            name,
            use_batchnorm,
            False,
            channels,
            kernel_size,
            pad,
            1,
            lr_mult=lr_mult,
            **bn_param,
        )
        net[f"{name}_perm"] = L.Permute(net[name], order=[0, 2, 3, 1])
        net[f"{name}_flat"] = L.Flatten(net[f"{name}_perm"], axis=1)
        top: Top = net[f"{name}_flat"]
        return top

    heads: dict[str, list[Top]] = {"loc": [], "conf": [], "priorbox": [], "objectness": []}
    for i, layer in enumerate(from_layers):
        if normalizations and normalizations[i] != -1:
            filler = dict(type="constant", value=normalizations[i])
            net[f"{layer}_norm"] = L.Normalize(
                net[layer], scale_filler=filler, across_spatial=False, channel_shared=False
            )
            layer = f"{layer}_norm"
        if inter_layer_depth and inter_layer_depth[i] > 0:
            depth = inter_layer_depth[i]
            conv_bn_layer(
                net, layer, f"{layer}_inter", use_batchnorm, True, depth, 3, 1, 1, lr_mult=lr_mult, **bn_param
            )
            layer = f"{layer}_inter"
        least, most, ratios = (_entry(values, i) for values in (min_sizes, max_sizes, aspect_ratios))
        if most and len(most) != len(least):
            raise InputError(f"max_sizes must have as many sizes as min_sizes; got {most} for {least}")
        count = len(least) * (1 + bool(most) + len(ratios) * (2 if flip else 1))
        boxes = 4 * count * (1 if share_location else num_classes)
        heads["loc"].append(predicted(layer, f"{layer}_mbox_loc{loc_postfix}", boxes))
        heads["conf"].append(predicted(layer, f"{layer}_mbox_conf{conf_postfix}", count * num_classes))
        prior: dict[str, Any] = dict(min_size=least, clip=clip, variance=list(prior_variance), offset=offset)
        if most:
            prior["max_size"] = most
        if ratios:
            prior.update(aspect_ratio=ratios, flip=flip)
        if len(steps) and steps[i]:
            prior["step"] = steps[i]
        if img_height and img_width:
            square = img_height == img_width
            prior.update(dict(img_size=img_height) if square else dict(img_h=img_height, img_w=img_width))
        net[f"{layer}_mbox_priorbox"] = L.PriorBox(net[layer], net[data_layer], **prior)
        heads["priorbox"].append(net[f"{layer}_mbox_priorbox"])
        if use_objectness:
            heads["objectness"].append(predicted(layer, f"{layer}_mbox_objectness", 2 * count))
    for kind, tops in heads.items():
        if tops or kind != "objectness":
            net[f"mbox_{kind}"] = L.Concat(*tops, axis=2 if kind == "priorbox" else 1)
    return [net[f"mbox_{kind}"] for kind, tops in heads.items() if tops]


def _entry(values: Sequence[Any], i: int) -> list[Any]:
    if not len(values):
        return []
    value = values[i]
    return list(value) if isinstance(value, (list, tuple)) else [value]
