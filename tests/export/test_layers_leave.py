"""Layers that mean something outside of training leave: as modules, as source where they have a form, as ONNX."""

import numpy as np
import pytest
import support_exported_cases as exported_cases
from harness import layer_parameter

from caffe.export import check, onnx_file, source
from caffe.export.torch_net import TorchNet

CASES = exported_cases.leaving()
ONE_EACH = list({layer_parameter(case.layer).type: case for case in reversed(CASES)}.values())
CORNERS = {"pool_max_3d_wide_pad", "pool_ave_3d_wide_pad", "pool_mask_wide_pad", "pool_ave_1d", "argmax_axis", "lrn_2d",
           "batchnorm_test_local", "im2col_3d", "pool_stochastic_test"}  # fmt: skip
TRAINING_ONLY = {"bn_segnet_statistics", "box_annotator_ohem"}
"""ONNX has no way to them; their layers have one in TEST."""


def agree(found, expected: check.Arrays) -> None:
    for name, value in expected.items():
        assert check.distance(np.asarray(found[name]), value) <= check.TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_modules(case, tmp_path):
    net, arrays = exported_cases.net_of(case, tmp_path)
    for exact in (False, True):
        module = exported_cases.module_of(net, exact)
        expected = check.forward(net, module, arrays)
        agree(check.torch_forward(module, arrays), expected)
    if all(place.form is not None for place in module.places):  # it can be printed, too
        pytest.importorskip("safetensors")
        source.write(module, tmp_path / "m.py", tmp_path / "m.safetensors")
        agree(source.runner(tmp_path / "m.py", tmp_path / "m.safetensors", module)(arrays), expected)


@pytest.mark.parametrize(
    "case", ONE_EACH + [case for case in CASES if case.name in CORNERS], ids=lambda case: case.name
)
def test_as_onnx(case, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    if case.name in TRAINING_ONLY:
        pytest.skip("means something in training only")
    net, arrays = exported_cases.net_of(case, tmp_path)
    module: TorchNet = exported_cases.module_of(net, exact=True)
    inputs = [value for name, value in exported_cases.tensors(arrays).items() if name in module.input_names]
    onnx_file.write(module, tmp_path / "m.onnx", inputs, dynamic=())
    agree(onnx_file.runner(tmp_path / "m.onnx")(arrays), check.forward(net, module, arrays))
