"""Input."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.blob import Blob
from caffe.layer import Layer


class Input(Layer):
    """The net's inputs: blobs that scripts fill, ``net.blobs["data"].data[...] = images``.

    Forward does nothing; the tops keep their storage, and their shape until a script reshapes them.

    bottom: none. top: any number of blobs, of the ``shape`` given once for all or once for each; without one
    they start as scalars.
    Differs from Caffe: nothing known. Source: BVLC ``Input``.
    """

    num_bottoms = 0
    num_tops = (1, None)
    source = True
    reads = {"input_param": "*"}

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        shapes = self.param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            raise self.error(
                f"must be given once, or once for each of the {len(top)} tops; got {len(shapes)}",
                field="shape",
            )
        for i, blob in enumerate(top if shapes else ()):
            dims = (shapes[0] if len(shapes) == 1 else shapes[i]).dim
            if any(dim < 0 for dim in dims):
                raise self.shape_error(f"each dim must be at least 0; got {list(dims)}", field="shape")
            blob.reshape(*dims)
