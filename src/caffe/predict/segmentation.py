"""A class for each pixel of a photo."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from caffe.errors import InputError
from caffe.net.net import Net
from caffe.predict.kinds import Kind, answer_of
from caffe.predict.preparation import Photo, Preparation

Classes = npt.NDArray[np.int64]
"""Height × width."""


class Segmenter:
    """A net that tells the class of every pixel (FCN, SegNet, DeepLab, PSPNet, ICNet …). Raises InputError for others.

    ``own_size`` gives the photo to the net in its own size, where the net takes images of any (FCN); else it is
    resized to the input's.
    """

    def __init__(self, net: Net, preparation: Preparation | None = None, own_size: bool = False) -> None:
        answer = answer_of(net)
        if answer.kind is not Kind.PIXELS:
            raise InputError(
                f"The net tells no classes of pixels: it gives {answer.kind.value}",
                fix="caffe predict takes nets of every kind",
            )
        self.net = net
        self.preparation = preparation or Preparation()
        self.own_size = own_size
        self._output = answer.outputs[0]
        self._image = next(name for name in net.inputs if len(net.blobs[name].shape) == 4)

    def classes(self, photo: Photo) -> Classes:
        """The class of every pixel of a photo (height × width × 3, blue first), in the photo's size."""
        blob = self.net.blobs[self._image]
        shape = (1, blob.shape[1], *photo.shape[:2]) if self.own_size else blob.shape
        values = self.preparation.apply(photo, shape)
        blob.reshape(*values.shape)
        blob.data[...] = values
        self.net.forward()
        maps = np.asarray(self.net.blobs[self._output].data)[0]
        height, width = photo.shape[:2]
        if len(maps) == 1:  # an ArgMax's
            near = cv2.resize(maps[0], (width, height), interpolation=cv2.INTER_NEAREST)
            return np.asarray(near).astype(np.int64)
        if maps.shape[1:] == (height, width):
            return np.asarray(maps.argmax(axis=0))
        best = np.full((height, width), -np.inf, np.float32)
        classes = np.zeros((height, width), np.int64)
        for number, scores in enumerate(maps):  # one by one: all at the photo's size may not fit in memory
            large = cv2.resize(scores, (width, height), interpolation=cv2.INTER_LINEAR)
            better = large > best
            classes[better] = number
            best[better] = np.asarray(large)[better]
        return classes
