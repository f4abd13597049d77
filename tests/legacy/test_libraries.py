# ruff: noqa: E501
"""Names and arguments that libraries had: each snippet runs translated, and its output is compared."""

from __future__ import annotations

import importlib.util
import os

import pytest
from old_snippets import printed_by

CASES = {
    "scipy.misc's images": (
        "from scipy.misc import imread, imresize, imsave\nimport scipy.misc\nimport numpy as np\n"
        "imsave('a.png', np.arange(12, dtype=np.uint8).reshape(3, 4))\na = imread('a.png')\nprint a.shape, a.dtype, a[2, 3]\n"
        "print imresize(a, (6, 8)).shape, imresize(a, 50).shape, scipy.misc.imresize(a, 2.0, interp='nearest')[5, 7]",
        "(3, 4) uint8 11\n(6, 8) (1, 2) 11",
    ),
    "scipy.misc stretches floats": (
        "import scipy.misc as m\nimport numpy as np\nprint np.asarray(m.toimage(np.array([[0., 0.5, 1.]]))).tolist()", "[[0, 128, 255]]"
    ),
    "OpenCV's floats": (
        "import cv2\nimport numpy as np\na = np.zeros((9, 9, 3), np.uint8)\n"
        "cv2.rectangle(a, (1.0, 2.0), (np.float32(5), np.int64(7)), (0, 255.0, 0), 1)\nprint a[2, 1].tolist(), cv2.resize(a, (6.0, 3.0)).shape",
        "[0, 255, 0] (3, 6, 3)",
    ),
    "OpenCV's old names": (
        "import cv2, cv2.cv as cv\nprint cv2.CV_LOAD_IMAGE_COLOR, cv2.cv.CV_LOAD_IMAGE_GRAYSCALE, cv2.CV_AA == cv2.LINE_AA", "1 0 True"
    ),
    "OpenCV's windows": (
        "import cv2\nimport numpy as np\ncv2.namedWindow('w')\ncv2.imshow('w', np.ones((2, 3)))\nprint cv2.waitKey(0)\n"
        "print cv2.imread('figures/01.png').max()",
        "-1\n255",
    ),
    "scikit-image": (
        "from skimage import io, transform\nimport numpy as np\nio.imsave('b.png', np.zeros((4, 6, 3), np.uint8))\n"
        "print io.imread('b.png', as_grey=True).shape, transform.resize(np.ones((4, 6)), (2, 2))[0, 0]",
        "(4, 6) 1.0",
    ),
    "scikit-learn": (
        "from sklearn.cross_validation import train_test_split\nimport sklearn.linear_model\n"
        "c = sklearn.linear_model.SGDClassifier(loss='log', n_iter=20, penalty='l2')\nprint c.max_iter, c.loss, len(train_test_split([1, 2, 3, 4]))",
        "20 log_loss 2",
    ),
    "matplotlib": (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.hold(True)\nprint plt.cm.spectral.name", "nipy_spectral"
    ),
    "types": ("import types\nprint isinstance('a', types.StringTypes), type({}) is types.DictType", "True True"),
}  # fmt: skip
NEEDS = {
    "scipy.misc's images": "PIL", "scipy.misc stretches floats": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn",
    "matplotlib": "matplotlib",
}  # fmt: skip


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    display = os.environ.pop("DISPLAY", None)
    try:
        return printed_by(
            {name: text for name, (text, _) in CASES.items()}, tmp_path_factory.mktemp("snippets")
        )
    finally:
        if display is not None:
            os.environ["DISPLAY"] = display


@pytest.mark.parametrize("name", CASES)
def test_it_prints_what_it_printed_then(name, printed):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    assert printed[name] == CASES[name][1]
