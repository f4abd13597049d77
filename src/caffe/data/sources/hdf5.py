"""Batches of rows from HDF5 files, read in blocks, so that files may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from caffe.data.image_batches import Share
from caffe.data.image_files import list_lines
from caffe.data.prefetch import Allocate, Array, BatchSource, State
from caffe.errors import CorruptDataError, DataError, FileAccessError, MissingFileError, close_names
from caffe.formats import files
from caffe.formats.hdf5 import allows_external, external, links_outside
from caffe.limits import guarding

BLOCK_BYTES = 1 << 26
"""How much is read at once; a file of up to this size is shuffled as a whole."""

Rows = npt.NDArray[np.intp]


def read_file_list(source: str) -> list[str]:
    """The HDF5 files that ``source`` names, one a line (or ``source`` itself, if it is HDF5). Raises
    DataError.
    """
    try:
        if h5py.is_hdf5(source):
            return [source]
    except OSError:
        pass  # reading it as a list says what is wrong
    files = [line.strip() for line in list_lines(source) if line.strip()]
    if not files:
        raise DataError("The list is empty: it must name at least one HDF5 file", file=source)
    return files


@dataclass(slots=True)
class _Block:
    """Rows at hand: one array a top, and the order to take them in."""

    arrays: list[npt.NDArray[np.float32]]
    order: Rows


class Hdf5Batches(BatchSource):
    """Batches of rows of the datasets ``names``, file after file, from the first again after the last.

    With ``shuffle`` each epoch has its own order of files, each file its own order of blocks, each block its
    own order of rows. Of ``share.count`` workers each takes every count-th row.
    """

    def __init__(
        self,
        files: Sequence[str],
        names: Sequence[str],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        share: Share | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._files = list(files)
        self._names = list(names)
        self.batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._share = share or Share()
        self._block_bytes = block_bytes
        self._file: h5py.File | None = None
        self._block: _Block | None = None
        # the place: which epoch, which file and block in this epoch's order, which row in the block's order
        self._epoch = self._file_place = self._block_place = self._row = 0
        self._offset = 0  # rows passed so far, for sharing them out
        with guarding(CorruptDataError, self._files[0]), _open(self._files[0]) as file:
            self.row_shapes = [tuple(d.shape[1:]) for d in self._datasets(file)]

    def plan(self) -> list[tuple[_Block, Rows]]:
        pieces = []
        missing = self.batch_size
        while missing:
            block = self._ready()
            first = self._row + (self._share.rank - self._offset) % self._share.count
            places = np.arange(first, len(block.order), self._share.count)[:missing]
            if len(places):
                pieces.append((block, block.order[places]))
                missing -= len(places)
            end = int(places[-1]) + 1 if not missing else len(block.order)
            self._offset += end - self._row
            self._row = end
        return pieces

    def load(self, job: list[tuple[_Block, Rows]], allocate: Allocate) -> list[Array]:
        tops = []
        for i, shape in enumerate(self.row_shapes):
            out = allocate((self.batch_size, *shape))
            start = 0
            for block, rows in job:
                np.take(block.arrays[i], rows, axis=0, out=out[start : start + len(rows)], mode="clip")
                start += len(rows)
            tops.append(out)
        return tops

    def _ready(self) -> _Block:
        """The block with the next row."""
        with guarding(CorruptDataError, self._files[self._permuted(len(self._files), 0)[self._file_place]]):
            return self._next_block()

    def _next_block(self) -> _Block:
        while self._block is None or self._row >= len(self._block.order):
            if self._block is not None:
                self._block, self._row = None, 0
                self._block_place += 1
            file = self._opened()
            starts = self._starts(file)
            if self._block_place >= len(starts):
                file.close()
                self._file, self._block_place = None, 0
                self._file_place += 1
                if self._file_place == len(self._files):
                    self._file_place = 0
                    self._epoch += 1
                continue
            self._block = self._read(file, starts)
        return self._block

    def _opened(self) -> h5py.File:
        if self._file is None:
            self._file = _open(self._files[self._permuted(len(self._files), 0)[self._file_place]])
        return self._file

    def _starts(self, file: h5py.File) -> list[int]:
        """Where the file's blocks begin."""
        return list(range(0, self._datasets(file)[0].shape[0], self._block_rows()))

    def _block_rows(self) -> int:
        return max(1, self._block_bytes // (4 * sum(max(1, int(np.prod(s))) for s in self.row_shapes)))

    def _read(self, file: h5py.File, starts: list[int]) -> _Block:
        number = self._permuted(len(starts), 1, self._file_place)[self._block_place]
        start = starts[number]
        arrays = []
        for dataset, shape in zip(self._datasets(file), self.row_shapes):
            if dataset.shape[1:] != shape:
                raise DataError(
                    f"The rows of '{dataset.name[1:]}' must have the shape {list(shape)} of the first file; "
                    f"got {list(dataset.shape[1:])}",
                    file=file.filename,
                )
            try:
                values = dataset[start : start + self._block_rows()]
            except OSError as error:
                raise CorruptDataError(
                    f"Rows from {start} of '{dataset.name[1:]}' cannot be read: {error}", file=file.filename
                ) from error
            arrays.append(np.ascontiguousarray(values, np.float32))
        return _Block(arrays, self._permuted(len(arrays[0]), 2, self._file_place, number))

    def _permuted(self, count: int, *what: int) -> Rows:
        if not self._shuffle:
            return np.arange(count)
        return np.random.default_rng([self._seed, self._epoch, *what]).permutation(count)

    def _datasets(self, file: h5py.File) -> list[Any]:
        datasets: list[Any] = []
        for name in self._names:
            if (elsewhere := links_outside(file, name)) and not allows_external():
                raise _leads_outside(name, elsewhere, file.filename)
            dataset = file.get(name)
            if not isinstance(dataset, h5py.Dataset):
                raise DataError(
                    f"There must be a dataset for the top '{name}'; got {', '.join(file) or 'an empty file'}",
                    file=file.filename,
                    fix=close_names(name, file) or "Name the tops as the datasets",
                )
            if (elsewhere := external(dataset)) and not allows_external():
                raise _leads_outside(name, elsewhere, file.filename)
            if dataset.shape is None or dataset.ndim < 1 or dataset.dtype.kind not in "fiub":
                raise DataError(
                    f"The dataset '{name}' must hold numbers and have at least one axis; "
                    f"got {dataset.dtype}, shape {list(dataset.shape or ())}",
                    file=file.filename,
                )
            if datasets and dataset.shape[0] != datasets[0].shape[0]:
                raise DataError(
                    f"All datasets must have as many rows as '{self._names[0]}', {datasets[0].shape[0]}; "
                    f"got {dataset.shape[0]} in '{name}'",
                    file=file.filename,
                )
            if dataset.shape[0] == 0:
                raise DataError(
                    f"The dataset '{name}' must hold at least one row; got none", file=file.filename
                )
            datasets.append(dataset)
        return datasets

    def state(self) -> State:
        return {
            "epoch": self._epoch,
            "file": self._file_place,
            "block": self._block_place,
            "row": self._row,
            "offset": self._offset,
            "seed": self._seed,
        }

    def restore(self, state: State) -> None:
        self.close()
        self._epoch, self._file_place = int(state["epoch"]), int(state["file"])
        self._block_place, self._row = int(state["block"]), int(state["row"])
        self._offset, self._seed = int(state["offset"]), int(state["seed"])
        if self._row:
            row, self._row = self._row, 0
            self._ready()
            self._row = row

    def close(self) -> None:
        self._block = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _leads_outside(name: str, where: str, file: str) -> DataError:
    return DataError(
        f"must hold its values itself; '{name[:100]}' leads to {where[:300]}",
        file=file,
        fix="If you trust the file, set CAFFE_HDF5_EXTERNAL=1",
    )


def _open(path: str) -> h5py.File:
    try:
        os.close(files.opened(path, DataError))
    except MissingFileError:
        raise MissingFileError("The HDF5 file does not exist", file=path) from None
    except FileAccessError:
        if os.path.isdir(path):
            raise DataError("An HDF5 file is needed; got a folder", file=path) from None
        raise
    try:
        return h5py.File(path, "r")
    except Exception as error:
        if "unable to lock" in str(error).lower():
            raise FileAccessError(f"The HDF5 file is being written: {error}", file=path) from error
        raise CorruptDataError(f"The HDF5 file cannot be read: {error}", file=path) from error
