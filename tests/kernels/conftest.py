"""The kernels, built for several kinds of processors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from caffe.kernels import native

KINDS = {
    "this processor": (),
    "AVX2": ("-mno-avx512f",),
    "neither": ("-mno-avx512f", "-mno-avx2", "-mno-avx"),
}


@pytest.fixture(params=KINDS)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    """The library that the package uses meanwhile."""
    if native.library() is None:
        pytest.skip("there is no C++ compiler that can build the kernels")
    flags = KINDS[request.param]
    if flags:
        from torch._inductor.codecache import CppCodeCache

        try:
            found = CppCodeCache.load(native.source(), extra_flags=(*native.FLAGS, *flags))
        except Exception:
            pytest.skip(f"the compiler knows no {flags}")
        found = native.declared(found)
        monkeypatch.setattr(native, "library", lambda: found)
    yield native.loaded()
