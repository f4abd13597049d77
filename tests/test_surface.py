"""The public names, and how light they are."""

import ast
import inspect
import subprocess
import sys
import time
from pathlib import Path

import pytest

import caffe

PYCAFFE = {
    "Net", "SGDSolver", "NesterovSolver", "AdaGradSolver", "RMSPropSolver", "AdaDeltaSolver", "AdamSolver",
    "NCCL", "Timer", "init_log", "log", "set_mode_cpu", "set_mode_gpu", "set_device", "Layer", "get_solver",
    "layer_type_list", "set_random_seed", "solver_count", "set_solver_count", "solver_rank", "has_nccl",
    "set_solver_rank", "set_multiprocess", "TRAIN", "TEST", "Classifier", "Detector", "io", "layers", "params",
    "NetSpec", "to_proto", "__version__", "net_spec", "proto", "draw", "coord_map",
}  # fmt: skip
"""What pycaffe's package gives."""

OURS = {"Blob", "BlobSpec", "BlobVec", "TensorLayer", "errors", "register_layer", "root_solver"} | {
    "set_amp",
    "set_compile",
    "from_onnx",
    "from_torch",
}


def test_the_public_names():
    assert set(caffe.__all__) == PYCAFFE | OURS
    assert len(caffe.__all__) == len(set(caffe.__all__))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(caffe.__file__).read_text(encoding="utf-8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If)]
    seen = {(n.module, a.name) for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    named = {(module, name) for module, names in caffe._NAMES.items() for name in names}
    assert seen == named | {("caffe", name) for name in caffe._MODULES | caffe._OTHER_MODULES}
    # under another name than its own a name would be private to a type checker
    assert all(a.asname == a.name for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names)


@pytest.mark.parametrize("name", sorted(PYCAFFE | OURS))
def test_each_name_is_there(name):
    assert getattr(caffe, name) is not None
    assert name in dir(caffe)


@pytest.mark.parametrize("name", sorted(n for n in PYCAFFE | OURS if n[0].isupper() and not n.isupper()))
def test_each_class_is_documented(name):
    assert inspect.getdoc(getattr(caffe, name))


def test_phases_are_the_schemas():
    assert type(caffe.TRAIN) is type(caffe.TEST) is int
    assert (caffe.TRAIN, caffe.TEST) == (caffe.proto.caffe_pb2.TRAIN, caffe.proto.caffe_pb2.TEST) == (0, 1)


def test_old_import_paths():
    from caffe._caffe import Blob, set_mode_cpu
    from caffe.net_spec import NetSpec
    from caffe.pycaffe import Net, SGDSolver

    assert (Net, SGDSolver, Blob) == (caffe.Net, caffe.SGDSolver, caffe.Blob)
    assert set_mode_cpu is caffe.set_mode_cpu and NetSpec is caffe.NetSpec


@pytest.mark.parametrize("module", ["caffe", "caffe.pycaffe", "caffe._caffe"])
def test_unknown_names(module):
    with pytest.raises(AttributeError, match=r"SDGSolver.*'SGDSolver'"):
        (sys.modules.get(module) or __import__(module, fromlist=["x"])).SDGSolver


def test_layers_is_the_package_and_the_description():
    from caffe import layers as L

    assert L is caffe.layers and L.__path__
    from caffe.layers.activation.relu import ReLU

    assert inspect.isclass(ReLU)
    assert not inspect.isclass(L.ReLU) and L.ReLU.__module__ == "caffe.layers"


def in_a_process(code: str) -> list[str]:
    heavy = {"torch", "cv2", "lmdb", "h5py", "matplotlib", "pydot"}
    code += f"\nimport sys; print(*sorted({heavy} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import caffe",
        "import caffe; caffe.proto.caffe_pb2.NetParameter(); caffe.set_mode_gpu(); caffe.set_random_seed(1)",
        "from caffe import layers as L, params as P; L.Pooling(L.Input(), pool=P.Pooling.MAX).to_proto()",
        "import caffe; caffe.io.Transformer({}); caffe.Timer(); caffe.coord_map; caffe.init_log()",
        "import caffe; caffe.draw.draw_net(caffe.NetSpec().to_proto(), 'LR', 'dot')",
        "import caffe.cli.main",
    ],
)
def test_a_light_start(code):
    assert in_a_process(code) == []


def test_a_quick_start():
    def seconds(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - started

    seconds("import caffe")  # warm
    # over what Python itself takes, and the best of some, since the machine may be busy
    assert min(seconds("import caffe") - seconds("pass") for _ in range(5)) < 0.3


def test_timer():
    timer = caffe.Timer()
    with pytest.raises(caffe.errors.StateError, match="start"):
        timer.stop()
    timer.start()
    time.sleep(0.02)
    timer.stop()
    assert 0.02 <= timer.s < 5
    assert timer.ms == pytest.approx(1e3 * timer.s) and timer.us == pytest.approx(1e6 * timer.s)
