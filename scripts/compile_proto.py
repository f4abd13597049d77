"""Compile src/caffe/proto/caffe.proto into what the package ships beside it.

``caffe.desc`` is the serialized FileDescriptorProto that ``caffe_pb2`` loads, ``caffe_pb2.pyi`` its types.
With ``--check`` nothing is written; the exit status says whether the files are up to date.

Needs the package grpcio-tools.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "src" / "caffe" / "proto"
HEADER = "# Written by scripts/compile_proto.py from caffe.proto.\n# ruff: noqa\n# fmt: off\n"


def compile_schema() -> dict[str, bytes]:
    """The contents of the files to ship, by name."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as work:
        arguments = [
            "protoc",
            f"-I{FOLDER}",
            f"--descriptor_set_out={work}/set",
            f"--pyi_out={work}",
            "caffe.proto",
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("caffe.proto does not compile")
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(work, "set").read_bytes())
        types = Path(work, "caffe_pb2.pyi").read_text(encoding="utf-8")
    # protoc leaves types out and writes an enum value called None as a name
    types = re.sub(r"^ *None: .*\n", "", types, flags=re.MULTILINE)
    types = types.replace(", **kwargs)", ", **kwargs: object)")
    types = HEADER + types.replace("_Mapping]", "_Mapping[str, object]]")
    return {
        "caffe.desc": files.file[0].SerializeToString(deterministic=True),
        "caffe_pb2.pyi": types.encode(),
    }


def main() -> int:
    stale = [
        name
        for name, content in compile_schema().items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_bytes() != content
    ]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"{FOLDER / name} is out of date: run python scripts/compile_proto.py")
        return 1 if stale else 0
    for name, content in compile_schema().items():
        (FOLDER / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
