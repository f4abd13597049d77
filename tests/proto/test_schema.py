"""The schema holds BVLC's fields unchanged, and the forks' beside them."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from support_assets import GOLDEN, ROOT

from caffe.proto import caffe_pb2

FACTS = json.loads((GOLDEN / "bvlc_schema.json").read_text())
TYPES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
}


def type_name(field):
    composite = field.message_type or field.enum_type
    return composite.full_name.removeprefix("caffe.") if composite else TYPES[field.type]


def default_agrees(field, fact):
    value = field.default_value
    if field.enum_type:
        return field.enum_type.values_by_number[value].name == fact
    if isinstance(value, bool):
        return str(value).lower() == fact
    if isinstance(value, str):
        return value == fact
    return value == pytest.approx(float(fact), rel=1e-6)


@pytest.mark.parametrize("name", sorted(FACTS["messages"]))
def test_fields_of_bvlc(name):
    fields = getattr(caffe_pb2, name).DESCRIPTOR.fields_by_name
    for field_name, (number, kind, label, *default) in FACTS["messages"][name].items():
        field = fields[field_name]
        assert (field.number, type_name(field)) == (number, kind), field.full_name
        assert field.GetOptions().packed == label.endswith("packed"), field.full_name
        if hasattr(field, "is_repeated"):
            assert (field.is_repeated, field.is_required) == (
                label.startswith("repeated"),
                label == "required",
            ), field.full_name
        assert field.has_default_value == bool(default), field.full_name
        if default:
            assert default_agrees(field, default[0]), field.full_name


def test_only_fields_with_numbers_of_ours_are_beside_bvlc():
    """… and SSD's and NVIDIA's where nobody disputes their numbers."""
    beside = {
        "BlobProto": {10, 11, 12, 13},
        "LayerParameter": set(range(200, 208)),
        "TransformationParameter": set(range(8, 15)),
    }
    for name, facts in FACTS["messages"].items():
        for field in getattr(caffe_pb2, name).DESCRIPTOR.fields:
            if field.name not in facts and field.number not in beside.get(name, ()):
                least = 20000 if name in ("LayerParameter", "V1LayerParameter") else 1000
                assert field.number >= least, field.full_name


@pytest.mark.parametrize("name", sorted(FACTS["enums"]))
def test_enums_of_bvlc(name):
    holder = caffe_pb2
    for part in name.split("."):
        holder = getattr(holder, part)
    values = dict(holder.items())
    for value, number in FACTS["enums"][name].items():
        assert values.pop(value) == number
    assert all(number >= 1000 for number in values.values())


def test_shipped_files_match_the_schema():
    pytest.importorskip("grpc_tools", reason="needs grpcio-tools to compile the schema")
    script = ROOT / "scripts" / "compile_proto.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_as_generated_code_has_them():
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST"
    assert caffe_pb2.PoolingParameter.AVE == caffe_pb2.PoolingParameter.PoolMethod.Value("AVE") == 1
    assert caffe_pb2.LayerParameter.DESCRIPTOR.full_name == "caffe.LayerParameter"
    assert type(caffe_pb2.NetParameter().layer.add()) is caffe_pb2.LayerParameter


def a_net():
    return text_format.Parse(
        'name: "n" layer { name: "c" type: "Convolution" blobs { shape { dim: 2 dim: 3 } data: 0.5 }'
        " convolution_param { pad: 1 pad: 2 } prior_box_param { min_size: 3 } }"
        ' layer { name: "f" type: "Interp" interp_param { zoom_factor: 4 } }',
        caffe_pb2.NetParameter(),
    )


def test_round_trips():
    net = a_net()
    assert caffe_pb2.NetParameter.FromString(net.SerializeToString()) == net
    assert text_format.Parse(text_format.MessageToString(net), caffe_pb2.NetParameter()) == net
    assert pickle.loads(pickle.dumps(net)) == net
    assert pickle.loads(pickle.dumps(net.layer[0])) == net.layer[0]
    assert copy.deepcopy(net) == net
    assert copy.copy(net.layer[1]) == net.layer[1]


def test_bytes_on_the_wire_are_bvlcs():
    layer = caffe_pb2.LayerParameter(name="a", phase=caffe_pb2.TEST)
    layer.convolution_param.pad.append(3)
    layer.prior_box_param.flip = False
    # 1: "a"; 10: 1; 106: {3: 3}, not packed; 203: {4: 0}
    assert layer.SerializeToString() == b"\x0a\x01a\x50\x01\xd2\x06\x02\x18\x03\xda\x0c\x02\x20\x00"
    blob = caffe_pb2.BlobProto(data=[1.0, 2.0])
    assert blob.SerializeToString() == b"\x2a\x08\x00\x00\x80\x3f\x00\x00\x00\x40"


def test_another_caffe_pb2_in_the_process_does_not_collide():
    from google.protobuf import descriptor_pb2, descriptor_pool

    stranger = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    stranger.message_type.add(name="NetParameter")
    descriptor_pool.Default().AddSerializedFile(stranger.SerializeToString())
    assert "layer" in caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name


def test_importing_the_schema_is_fast_and_light():
    code = (
        "import sys, time; import google.protobuf; t = time.process_time()\n"
        "from caffe.proto import caffe_pb2\n"
        "print(time.process_time() - t, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, torch, numpy = done.stdout.split()
    assert (torch, numpy) == ("False", "False")
    assert float(seconds) < 1


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_other_protobufs(implementation):
    """Runs with the interpreters named in $CAFFE_TEST_PYTHONS, which have other versions of protobuf."""
    pythons = os.environ.get("CAFFE_TEST_PYTHONS", "").split(os.pathsep)
    if not any(pythons):
        pytest.skip("needs interpreters with other versions of protobuf (set CAFFE_TEST_PYTHONS)")
    code = (
        "import pickle; from caffe.proto import caffe_pb2 as p; from google.protobuf import text_format\n"
        "n = text_format.Parse('layer { name: \"a\" phase: TEST }', p.NetParameter())\n"
        "ok = pickle.loads(pickle.dumps(n)) == n == p.NetParameter.FromString(n.SerializeToString())\n"
        "print(ok and p.Phase.Name(n.layer[0].phase))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation,
    }
    for python in pythons:
        done = subprocess.run([Path(python), "-c", code], capture_output=True, text=True, env=environment)
        assert done.stdout.strip() == "TEST", python + done.stderr
