"""HDF5Output: writes blobs to an HDF5 file."""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from caffe import limits
from caffe.errors import FileAccessError
from caffe.layer import Blobs, Layer


class HDF5Output(Layer):
    """Writes its bottoms to the datasets ``data`` and ``label`` of a file, each forward behind the last.

    - bottom 0: data, bottom 1: labels; as many items each.

    Blobs of up to 4 axes are written with 4. The file begins anew with the net's first forward, and can be
    read between forwards.

    Differs from Caffe: there a second forward fails; here it appends.

    Source: BVLC ``HDF5Output``.
    """

    num_bottoms = 2
    num_tops = 0
    _started = False
    reads = {"hdf5_output_param": "*"}

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        if not self.param.hdf5_output_param.file_name:
            raise self.error("must name a file", field="hdf5_output_param.file_name")
        limits.check_output(self.param.hdf5_output_param.file_name)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        counts = [b.shape[0] if b.shape else 1 for b in bottom]
        if counts[0] != counts[1]:
            raise self.shape_error(
                f"data and labels must have as many items; got {counts[0]} and {counts[1]}", field="bottom"
            )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        self.reshape(bottom, top)
        path = self.param.hdf5_output_param.file_name
        limits.check_output(path)
        try:
            with h5py.File(path, "a" if self._started else "w") as file:
                for name, blob in zip(("data", "label"), bottom):
                    _append(file, name, _four_axes(blob.tensor.detach().cpu().float().numpy()))
        except OSError as error:
            raise FileAccessError(
                f"cannot be written: {error}", file=path, layer=self.name, type=self.type
            ) from error
        self._started = True


def _four_axes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values.reshape(values.shape + (1,) * (4 - values.ndim))


def _append(file: h5py.File, name: str, values: npt.NDArray[np.float32]) -> None:
    dataset = file.get(name)
    if dataset is None:
        file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))
        return
    rows = dataset.shape[0]
    dataset.resize(rows + len(values), axis=0)
    dataset[rows:] = values
