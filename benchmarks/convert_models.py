"""The models that ``benchmarks.convert`` tries: torchvision's constructors, and 200 of timm's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

Builder = Callable[[], tuple[torch.nn.Module, Any]]
Listed = Iterator[tuple[str, str, Builder]]

_TRANSFORMERS = ("vit_", "swin_", "maxvit_", "mvit_")
_NOT_IMAGES = ("quantized_", "raft_", "swin3d_", "r3d", "mc3", "r2plus1d", "s3d", "mvit_")


_SIZED = ("alexnet", "vgg", "inception")
"""Whose adaptive poolings or depth need maps of the size they were made for."""


def smallest_like(side: int, least: int = 96) -> int:
    """The smallest side of at least ``least`` that is odd and even at the same halvings as ``side``, five of them:
    where it matters, poolings and strides round alike.
    """

    def halvings(n: int) -> list[int]:
        found = []
        for _ in range(6):
            found.append(n % 2)
            n = (n + 1) // 2
        return found

    return next(n for n in range(min(least, side), side + 1) if halvings(n) == halvings(side))


def torchvision() -> Listed:
    """Classification, segmentation, the backbones of detectors; smaller models first."""
    from torchvision import models

    def weight(name: str) -> int:
        return int(models.get_model_weights(name).DEFAULT.meta["num_params"])

    names = [n for n in models.list_models() if not n.startswith(_NOT_IMAGES)]
    for name in sorted(names, key=lambda n: (weight(n), n)):
        module = models.get_model_builder(name).__module__.split(".")[2]
        if module == "detection":
            yield name, "torchvision detection backbones", partial(_detector, name)
        elif module == "segmentation":
            yield name, "torchvision segmentation", partial(_segmenter, name)
        else:
            group = "transformers" if name.startswith(_TRANSFORMERS) else "classification"
            yield name, f"torchvision {group}", partial(_classifier, name)


def _classifier(name: str) -> tuple[torch.nn.Module, Any]:
    from torchvision import models

    options: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    side = 299 if name == "inception_v3" else 224
    if not name.startswith((*_TRANSFORMERS, *_SIZED)):
        side = smallest_like(side)
    return models.get_model(name, **options), (1, 3, side, side)


def _segmenter(name: str) -> tuple[torch.nn.Module, Any]:
    from torchvision import models

    return models.get_model(name, weights=None, weights_backbone=None), (1, 3, 128, 160)


def _detector(name: str) -> tuple[torch.nn.Module, Any]:
    from torchvision import models

    detector: Any = models.get_model(name, weights=None, weights_backbone=None)
    side = (
        (300, 300) if name.startswith("ssd300") else (320, 320) if name.startswith("ssdlite") else (192, 256)
    )
    return detector.backbone, (1, 3, *side)


TIMM = """
resnet10t resnet14t resnet18 resnet18d resnet26 resnet26t resnet34 resnet50 resnet50c resnet50d resnet50s
resnet50_gn resnet101 resnetaa34d resnetaa50 resnetblur18 resnetblur50 resnetrs50 resnext50_32x4d
resnext50d_32x4d resnext101_32x8d wide_resnet50_2 seresnet18 seresnet50 seresnext26d_32x4d seresnext26t_32x4d
seresnext50_32x4d ecaresnet26t ecaresnet50d ecaresnetlight ecaresnext26t_32x4d senet154 legacy_seresnet18
legacy_seresnext26_32x4d legacy_xception
resnetv2_18 resnetv2_50 resnetv2_50d resnetv2_50d_gn resnetv2_50x1_bit resnetv2_50d_evos resnetv2_50d_frn
resnet33ts resnet51q resnext26ts seresnext26ts gcresnext26ts gcresnet50t eca_resnext26ts bat_resnext26ts
resnet50_clip resnet50_mlp gernet_s gernet_m gernet_l repvgg_a0 repvgg_b1g4 repvgg_d2se mobileone_s0
mobileone_s1 regnetz_b16 regnetz_c16_evos regnetz_d8
regnetx_002 regnetx_016 regnety_002 regnety_016 regnety_008_tv regnetv_040 regnetz_005
densenet121 densenet201 densenet264d densenetblur121d dla34 dla46_c dla60 dla60_res2net dla60x
dpn48b dpn68 dpn92 vovnet39a ese_vovnet19b_dw ese_vovnet39b eca_vovnet39b
efficientnet_b0 efficientnet_b1 efficientnet_b3 efficientnet_b0_gn efficientnet_b0_g16_evos efficientnet_blur_b0
efficientnet_cc_b0_4e efficientnet_es efficientnet_lite0 efficientnet_lite4 efficientnet_x_b3 efficientnetv2_s
efficientnetv2_rw_t gc_efficientnetv2_rw_t tf_efficientnet_b0 tf_efficientnet_b4 tf_efficientnet_cc_b0_4e
tf_efficientnet_es tf_efficientnet_lite0 tf_efficientnetv2_b0 tf_efficientnetv2_s fbnetc_100 mixnet_s mixnet_l
tf_mixnet_s mnasnet_100 mnasnet_small mobilenet_edgetpu_100 mobilenet_edgetpu_v2_s mobilenetv1_100
mobilenetv2_100 mobilenetv2_120d semnasnet_075 semnasnet_100 spnasnet_100 tinynet_a tinynet_e
fbnetv3_b lcnet_100 mobilenetv3_large_100 mobilenetv3_rw mobilenetv3_small_050 tf_mobilenetv3_large_100
tf_mobilenetv3_small_minimal_100 mobilenetv4_conv_small mobilenetv4_conv_medium mobilenetv4_conv_aa_large
mobilenetv4_conv_blur_medium hardcorenas_a hardcorenas_f ghostnet_100 ghostnetv2_100 ghostnetv3_100 rexnet_100
rexnetr_200 repghostnet_050 repghostnet_100 lcnetv2_small
convnext_atto convnext_atto_ols convnext_atto_rms convnext_femto convnext_tiny convnext_tiny_hnf convnextv2_atto
convnextv2_nano convmixer_768_32 inception_next_atto inception_next_tiny mambaout_femto rdnet_tiny
cs3darknet_focus_s cs3darknet_s cs3sedarknet_xdw cspdarknet53 cspresnet50 cspresnext50 darknet17 darknet53
darknetaa53 cspnext_tiny hgnet_tiny hgnetv2_b0 hgnetv2_b4 hrnet_w18_small hrnet_w18 inception_resnet_v2
inception_v3 inception_v4 nasnetalarge pnasnet5large fasternet_t0 starnet_s1 starnet_s050 poolformer_s12
poolformerv2_s12 convformer_s18 repvit_m1 nfnet_l0 eca_nfnet_l0 nf_regnet_b0 nf_resnet50 dm_nfnet_f0
res2net50_14w_8s res2next50 resnest14d resnest50d skresnet18 skresnext50_32x4d selecsls42 tresnet_m vgg16_bn
xception41 xception65p
""".split()  # noqa: SIM905


def timm() -> Listed:
    """200 convolutional architectures of all families, in an order that leaves every part of the list a fair sample."""
    for name in sorted(TIMM, key=lambda n: hashlib.md5(n.encode()).digest()):
        yield name, "timm", partial(_timm, name)


def _timm(name: str) -> tuple[torch.nn.Module, Any]:
    import timm

    module = timm.create_model(name, pretrained=False)
    channels, side, _ = module.default_cfg["input_size"]
    if not (module.default_cfg.get("fixed_input_size") or name.startswith(_SIZED)):
        side = smallest_like(side)
    return module, (1, channels, side, side)


MODELS: dict[str, Callable[[], Listed]] = {"torchvision": torchvision, "timm": timm}
