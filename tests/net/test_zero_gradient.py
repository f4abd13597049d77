"""Published nets that ask for gradients of masks, regions and weights: as in the original, those are 0."""

from __future__ import annotations

import numpy as np

import caffe
from caffe import layers as L

X = np.random.RandomState(1).randn(2, 3, 4, 6).astype(np.float32)


def backward(n: caffe.NetSpec, **inputs: np.ndarray) -> caffe.Net:
    """The net of a spec, once forward and back."""
    caffe.set_random_seed(2)
    net = caffe.Net(n, caffe.TRAIN)
    net.forward(**inputs)
    net.backward()
    return net


def convolution(bottom: caffe.net_spec.Top, outputs: int) -> caffe.net_spec.Top:
    return L.Convolution(bottom, num_output=outputs, kernel_size=1, weight_filler={"type": "xavier"})


def test_mask_of_segnet() -> None:
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": list(X.shape)})
    n.conv = convolution(n.x, 5)
    n.pooled, n.mask = L.Pooling(n.conv, ntop=2, kernel_size=2, stride=2)
    n.up = L.Upsample(n.pooled, n.mask, scale=2)
    n.loss = L.Reduction(n.up, operation=caffe.params.Reduction.SUMSQ, loss_weight=1)
    net = backward(n, x=X)
    expected = np.where(net.blobs["up"].data != 0, 2 * net.blobs["conv"].data, 0)
    np.testing.assert_allclose(net.blobs["conv"].diff, expected, rtol=1e-6)
    assert not net.blobs["mask"].diff.any()


def test_weights_of_smooth_l1() -> None:
    """Weights that come from a layer with parameters, as those of py-faster-rcnn's Python layers do."""
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": list(X.shape)})
    n.a = convolution(n.x, 2)
    n.weights = convolution(n.x, 2)
    n.target = L.DummyData(shape={"dim": [2, 2, 4, 6]})
    n.loss = L.SmoothL1Loss(n.a, n.target, n.weights, n.weights)
    net = backward(n, x=X)
    assert np.abs(net.params["a"][0].diff).max() > 0
    assert not net.params["weights"][0].diff.any()


def test_regions_of_a_proposal_layer() -> None:
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": [1, 3, 4, 6]})
    n.info = L.Input(shape={"dim": [1, 3]})
    n.scores, n.offsets = convolution(n.x, 6), convolution(n.x, 12)
    n.regions = L.Python(
        n.scores, n.offsets, n.info,
        python_param={
            "module": "rpn.proposal_layer",
            "layer": "ProposalLayer",
            "param_str": "'feat_stride': 16\n'scales': [1, 2, 4]\n'ratios': [1]\n'rpn_post_nms_top_n': 5",
        },
    )  # fmt: skip
    n.features = convolution(n.x, 4)
    n.pooled = L.ROIPooling(n.features, n.regions, pooled_h=2, pooled_w=3, spatial_scale=1 / 16)
    n.loss = L.Reduction(n.pooled, operation=caffe.params.Reduction.SUMSQ, loss_weight=1)
    net = backward(n, x=X[:1], info=np.array([[64, 96, 1]], np.float32))
    assert net.blobs["pooled"].shape == (5, 4, 2, 3)
    assert np.abs(net.params["features"][0].diff).max() > 0
    assert not net.params["scores"][0].diff.any()
    assert not net.params["offsets"][0].diff.any()
