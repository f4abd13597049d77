"""The C++ sources of this folder as one loaded library, kept in torch.compile's cache."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

from caffe import logs
from caffe.kernels import transforms
from caffe.torch_private import load_cpp

_SOURCES = (
    "vectors.h",
    "winograd.cpp",
    "pointwise.cpp",
    "separable.cpp",
    "image.cpp",
    "chain.cpp",
    "lrn.cpp",
)
FLAGS = ("-ffp-contract=fast", "-ftree-vectorize", "-fno-math-errno")

_INTEGER, _FLOAT, _POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
_SHAPE, _POINTERS = ctypes.POINTER(_INTEGER), ctypes.POINTER(_POINTER)
_FUNCTIONS = {
    "panel": (_INTEGER, []),
    "lanes": (_INTEGER, []),
    "winograd_scratch": (_INTEGER, [_SHAPE, _INTEGER, _INTEGER]),
    "winograd": (None, [*[_POINTER] * 5, _SHAPE, *[_INTEGER] * 3]),
    "pointwise": (None, [*[_POINTER] * 4, *[_INTEGER] * 7]),
    "separable_scratch": (_INTEGER, [*[_INTEGER] * 4]),
    "separable": (None, [*[_POINTER] * 7, _SHAPE, *[_INTEGER] * 4]),
    "image_scratch": (_INTEGER, [_SHAPE, _INTEGER]),
    "image": (None, [*[_POINTER] * 5, _SHAPE, *[_INTEGER] * 2]),
    "chain_scratch": (_INTEGER, [_POINTERS, _SHAPE, *[_INTEGER] * 2]),
    "chain": (None, [_POINTER, _POINTERS, *[_POINTER] * 2, _SHAPE, *[_INTEGER] * 3]),
    "lrn_scratch": (_INTEGER, [*[_INTEGER] * 3]),
    "lrn": (None, [*[_POINTER] * 3, *[_INTEGER] * 3, _FLOAT, _FLOAT, _INTEGER]),
}


@cache
def library() -> ctypes.CDLL | None:
    """The library; None, with a warning, where it can't be built.

    Processor, flags and source are its key in the cache (folder TORCHINDUCTOR_CACHE_DIR; CXX names the compiler).
    """
    try:
        built = load_cpp(source(), FLAGS)
    except Exception as error:  # whatever the compiler or its driver raises, there is another way
        reason = str(error).strip().splitlines() or [type(error).__name__]
        logs.warning(f"The kernels for compiled nets can't be built, torch's are used: {reason[0]}")
        return None
    return declared(built)


def source() -> str:
    """All of the C++, with the matrices of Winograd's algorithm."""
    filters = [_filter(size) for size in transforms.SIZES]
    return "".join(
        [*filters, *((Path(__file__).parent / name).read_text(encoding="utf-8") for name in _SOURCES)]
    )


def declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """The library with its functions' types."""
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def loaded() -> ctypes.CDLL:
    """The library, for those who have been told that it is there."""
    built = library()
    if built is None:
        raise RuntimeError("The kernels for compiled nets can't be built here")
    return built


def integers(*values: int) -> ctypes.Array[ctypes.c_int64]:
    """Numbers as the functions take several of them."""
    return (_INTEGER * len(values))(*values)


def _filter(size: int) -> str:
    members = [_member("inputs", transforms.inputs(size)), _member("outputs", transforms.outputs(size))]
    return f"struct Filter{size} {{ {' '.join(members)} }};\n"


def _member(name: str, matrix: transforms.Matrix) -> str:
    rows = ", ".join("{" + ", ".join(f"{x!r}f" for x in row) + "}" for row in matrix)
    return f"static constexpr float {name}[{len(matrix)}][{len(matrix[0])}] = {{{rows}}};"
