"""A worker: a process that holds a net and runs what comes through its pipe, so no net takes the server down."""

from __future__ import annotations

import contextlib
import signal
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import systems
from caffe.errors import CaffeError, InputError, NetError
from caffe.serving.settings import Served

Arrays = dict[str, npt.NDArray[Any]]


def main(served: Served, pipe: Connection) -> None:
    """The process: sends what the model is, then answers until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the server, which closes the pipe
    try:
        model = Model(served)
        pipe.send(("ready", model.about()))
    except CaffeError as error:
        pipe.send(("error", str(error)))
        return
    while True:
        try:
            task, *arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send(("done", getattr(model, task)(*arguments)))
        except CaffeError as error:
            pipe.send(("error", str(error)))


class Model:
    """A net ready to run batches. Raises what building it raises."""

    def __init__(self, served: Served) -> None:
        import torch

        from caffe import runtime
        from caffe.formats import prototxt
        from caffe.net.net import Net
        from caffe.predict.kinds import Answer, Kind, answer_of
        from caffe.proto import caffe_pb2

        if served.device:
            runtime.set_device(int(served.device))
            runtime.set_mode_gpu()
        torch.set_num_threads(served.threads or max(1, systems.processors() // served.workers))
        definition = prototxt.read_net(served.net)
        if not served.python and any(layer.type == "Python" for layer in definition.param.layer):
            raise NetError(
                "The net has Python layers, which would run anything", file=served.net, fix="Give --python"
            )
        self.served = served
        self.net = Net(served.net, caffe_pb2.TEST, weights=served.weights)
        if not self.net.inputs:
            raise NetError("The net has no inputs", file=served.net, fix="Use the deploy prototxt")
        self.answer: Answer | None = None
        with contextlib.suppress(InputError):  # its outputs are arrays to us
            self.answer = answer_of(self.net)
        self.detector: Any = None
        if self.answer is not None and self.answer.kind is Kind.BOXES:
            self._make_detector()
        self.shapes = {name: tuple(self.net.blobs[name].shape) for name in self.net.inputs}
        self.batch = self._largest_batch()
        if served.compiles:
            self.net.compile()
            for size in self._sizes():
                self.run({n: np.zeros((size, *s[1:]), np.float32) for n, s in self.shapes.items()})

    def _make_detector(self) -> None:
        from dataclasses import replace

        from caffe.predict.detection import PREPARATIONS, PhotoDetector

        if self.answer is None or (self.answer.form == "maps" and not self.served.anchors):
            return
        self.detector = PhotoDetector(
            self.net,
            replace(PREPARATIONS[self.answer.form], **self.served.preparation),
            self.served.threshold,
            anchors=self.served.anchors,
        )

    def _largest_batch(self) -> int:
        """How many requests may run as one: 1 where outputs do not have an item for each of the inputs."""
        self._reshape(1)
        one = {name: tuple(self.net.blobs[name].shape) for name in self.net.outputs}
        if self.served.batch < 2 or self.detector is not None:
            return 1
        try:
            self._reshape(2)
        except CaffeError:
            self._reshape(1)
            return 1
        two = {name: tuple(self.net.blobs[name].shape) for name in self.net.outputs}
        self._reshape(1)
        fits = all(len(s) and two[n] == (2 * s[0], *s[1:]) and s[0] == 1 for n, s in one.items())
        return self.served.batch if fits else 1

    def _reshape(self, count: int) -> None:
        for name, shape in self.shapes.items():
            self.net.blobs[name].reshape(count, *shape[1:])
        self.net.reshape()

    def _sizes(self) -> list[int]:
        """Batches that are compiled: powers of two, and the largest."""
        sizes = [1 << i for i in range(self.batch.bit_length()) if 1 << i < self.batch]
        return [*sizes, self.batch]

    def about(self) -> dict[str, Any]:
        """What the server tells of the model."""
        self._reshape(1)
        return {
            "inputs": {name: list(shape[1:]) for name, shape in self.shapes.items()},
            "outputs": {name: list(self.net.blobs[name].shape) for name in self.net.outputs},
            "batch": self.batch,
            "kind": self.answer.kind.value if self.answer is not None else "arrays",
            "scores": self.answer.outputs[0] if self.answer is not None else "",
            "probabilities": self.answer is not None and self.answer.probabilities,
            "faces": self.answer is not None and self.answer.form == "priors",
            "detects": self.detector is not None,
        }

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for a batch; in compiled nets it is filled up to a size that was compiled."""
        count = len(next(iter(inputs.values())))
        size = count
        if self.served.compiles and self.batch > 1:
            size = next(s for s in self._sizes() if s >= count)
        for name, values in inputs.items():
            blob = self.net.blobs[name]
            if tuple(blob.shape) != (size, *values.shape[1:]):
                blob.reshape(size, *values.shape[1:])
            blob.data[:count] = values
        outputs = self.net.forward()
        return {
            name: np.array(values[:count] if self.batch > 1 else values) for name, values in outputs.items()
        }

    def detect(self, photo: npt.NDArray[np.uint8], threshold: float) -> list[tuple[int, float, list[float]]]:
        """Class, score and box (x1, y1, x2, y2 in pixels) of everything found in a photo, blue first."""
        if self.detector is None:
            raise InputError(f"The model '{self.served.name}' finds no boxes", fix="Ask /classify")
        self.detector.threshold = threshold
        return [(one.label, one.score, list(one.box)) for one in self.detector.find(photo)]
