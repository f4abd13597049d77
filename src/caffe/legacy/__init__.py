"""Scripts of 2014 to 2018: Python 2, and the libraries of then, run as they are."""

from __future__ import annotations


def install(explain: bool = False) -> None:
    """In a notebook or a session: translate the cells, and the modules beside, that come from now on.

    ``explain`` prints what is changed. The same as ``%load_ext caffe``.
    """
    from caffe.legacy.interactive import install as install_here

    install_here(explain)
