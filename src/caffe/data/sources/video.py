"""Frames of a camera or a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe.data import picture
from caffe.data.prefetch import Allocate, Array, BatchSource, State
from caffe.data.transform import Transformer, random_words
from caffe.errors import DataError, DeviceError, MissingFileError
from caffe.proto import caffe_pb2


class Frames(BatchSource):
    """Batches of frames, one after the other; a file begins again after its last frame.

    ``place`` is a file or a camera's number; between two frames ``skip`` are left out. Raises
    MissingFileError, DataError (a file that is no video), DeviceError (no such camera).
    """

    def __init__(
        self,
        place: str | int,
        batch_size: int,
        transformer: Transformer,
        param: caffe_pb2.TransformationParameter,
        *,
        skip: int = 0,
        seed: int = 0,
    ) -> None:
        self.place, self.batch_size, self.transformer, self.param = place, batch_size, transformer, param
        self.skip, self.seed = skip, seed
        self.index = 0
        """How many frames were given so far."""
        self._frame = 0  # where in the file
        self._capture = self._open()

    def _open(self) -> Any:
        import cv2

        if isinstance(self.place, str) and not Path(self.place).is_file():
            raise MissingFileError("The video does not exist", file=self.place)
        capture = cv2.VideoCapture(self.place)
        if not capture.isOpened():
            if isinstance(self.place, str):
                raise DataError("is no video that can be read", file=self.place)
            raise DeviceError(f"There is no camera {self.place}", fix="Set video_data_param.device_id")
        return capture

    def _next(self) -> Array:
        for _ in range(self.skip if self.index else 0):
            self._frame += bool(self._capture.grab())
        there, frame = self._capture.read()
        if not there and isinstance(self.place, str):
            self._capture.release()
            self._capture, self._frame = self._open(), 0
            there, frame = self._capture.read()
        if not there:
            raise DataError(f"No frame can be read from '{self.place}'")
        self._frame += 1
        self.index += 1
        return np.asarray(frame)

    def plan(self) -> tuple[int, list[Array]]:
        start = self.index
        return start, [self._next() for _ in range(self.batch_size)]

    def prepared(self, frame: Array, index: int) -> Array:
        """A frame (H × W × 3) resized as ``resize_param`` says, channels first."""
        if self.param.resize_param:
            rng = np.random.Generator(np.random.PCG64([self.seed, index]))
            frame = picture.resize(frame, self.param.resize_param[0], rng)
        return frame.transpose(2, 0, 1)

    def load(self, job: tuple[int, list[Array]], allocate: Allocate) -> list[Array]:
        start, frames = job
        words = random_words(self.seed, start + np.arange(len(frames)), 3)
        ready = [self.prepared(frame, start + i) for i, frame in enumerate(frames)]
        shape = self.transformer.output_shape(ready[0].shape)  # type: ignore[arg-type]
        images = allocate((len(frames), *shape[1:], shape[0])).transpose(0, 3, 1, 2)
        for i, frame in enumerate(ready):
            self.transformer.apply(frame, images[i], words[i])
        labels = allocate((len(frames),))
        labels[...] = 0
        return [images, labels]

    def first_shape(self) -> tuple[int, ...]:
        """The shape of a transformed frame; the first frame is given again afterwards."""
        frame = self.prepared(self._next(), 0)
        if isinstance(self.place, str):
            self.restore({"index": 0, "frame": 0})
        return self.transformer.output_shape(frame.shape)  # type: ignore[arg-type]

    def state(self) -> State:
        return {"index": self.index, "frame": self._frame}

    def restore(self, state: State) -> None:
        self.index = int(state["index"])
        if isinstance(self.place, str):
            # by reading, since not every video can be entered in the middle
            self._capture.release()
            self._capture, self._frame = self._open(), int(state["frame"])
            for _ in range(self._frame):
                self._capture.grab()

    def close(self) -> None:
        self._capture.release()

    def reopen(self) -> None:
        self._capture = self._open()
