"""The messages and enums of caffe.proto.

Built when imported, from the descriptor in caffe.desc, by the installed protobuf; so any protobuf from 4.25
on will do, and there is no generated code that could be too old or too new for it. The descriptor lives in a
pool of its own: another package's ``caffe_pb2`` in the same process does not collide with this one.
"""

from pathlib import Path

from google.protobuf import descriptor_pool
from google.protobuf.internal import builder

_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(Path(__file__).with_name("caffe.desc").read_bytes())
DESCRIPTOR = _pool.FindFileByName("caffe.proto")

builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())
