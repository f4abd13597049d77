"""The example that trains a Caffe net in PyTorch: it learns, and the weights come back."""

import importlib.util

from support_assets import ROOT


def test_it_learns_and_comes_back(capsys):
    spec = importlib.util.spec_from_file_location("finetune", ROOT / "examples" / "finetune_in_pytorch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main() > 0.85
    assert "before" in capsys.readouterr().out
