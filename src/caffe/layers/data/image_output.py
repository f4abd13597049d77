"""ImageOutput: writes images and labels to text files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from caffe import limits
from caffe.errors import FileAccessError
from caffe.layer import Blobs, Layer


class ImageOutput(Layer):
    """Writes the images of each batch, and its labels, as text into the folder ``image_out``, which must be there.

    Forward i (from 0) writes ``iter_00000i_idx_00n_image.txt`` for image n, a line for each row of each channel,
    of numbers with up to 8 digits, and ``iter_00000i_label.txt``, a label of up to 6 digits a line.

    bottom: images (N × C × H × W); labels (N). top: none.
    Differs from Caffe: a folder that is not there is an error, where the fork writes nothing.
    Source: ICT-CHASE/On-accelerator-training ``ImageOutput``.
    """

    num_bottoms = 2
    num_tops = 0
    origin = "On-accelerator training (ICT-CHASE/On-accelerator-training)"
    folder = Path("image_out")
    """Where the files go; a script may choose another."""
    _iteration = 0

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        if len(bottom[0].shape) != 4:
            raise self.shape_error(f"the images must have 4 axes; got shape {list(bottom[0].shape)}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        self.reshape(bottom, top)
        images, labels = (b.tensor.detach().cpu().float() for b in bottom)
        start = f"iter_{self._iteration:06}"
        for n, image in enumerate(images):
            rows = (" ".join(f"{value:.8g}" for value in row) for row in image.flatten(0, 1).tolist())
            self._write(f"{start}_idx_{n:03}_image.txt", rows)
        self._write(f"{start}_label.txt", (f"{label:g}" for label in labels.flatten().tolist()))
        self._iteration += 1

    def _write(self, name: str, lines: Iterable[str]) -> None:
        limits.check_output(self.folder / name)
        try:
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise FileAccessError(
                f"cannot be written: {error}",
                file=self.folder / name,
                layer=self.name,
                type=self.type,
                fix=f"Make the folder {self.folder} where the net runs",
            ) from error
