"""Files appear whole or not at all."""

import os
import stat

import pytest

from caffe import systems
from caffe.errors import FileAccessError
from caffe.formats import atomic


def test_the_new_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_and_nothing_else(tmp_path, failure):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic.replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_modes(tmp_path):
    path = tmp_path / "file.txt"
    mask = os.umask(0o027)
    try:
        with atomic.replacing(path) as temporary:
            temporary.write_text("new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        with atomic.replacing(path) as temporary:
            temporary.write_text("newer")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(mask)


def test_places_that_cannot_be_written(tmp_path):
    with (
        pytest.raises(FileAccessError, match="cannot be written"),
        atomic.replacing(tmp_path / "no" / "file"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileAccessError), atomic.replacing(tmp_path / "folder") as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_full_disk_is_a_file_error(tmp_path):
    with pytest.raises(FileAccessError, match="No space"), atomic.replacing(tmp_path / "file"):
        raise OSError(28, "No space left on device")


def test_on_windows_files_are_flushed_through_handles_for_writing(tmp_path, monkeypatch):
    opened = {}
    real_open = os.open

    def windows_open(path, flags, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        opened[real_open(path, flags, *args, **kwargs)] = flags
        return max(opened)

    def windows_fsync(handle):
        if opened.get(handle, os.O_RDWR) & (os.O_RDWR | os.O_WRONLY) == 0:
            raise OSError(9, "Bad file descriptor")

    temporary = tmp_path / "temporary"
    temporary.write_text("new")
    monkeypatch.setattr(systems, "WINDOWS", True)
    monkeypatch.setattr(os, "open", windows_open)
    monkeypatch.setattr(os, "fsync", windows_fsync)
    atomic._flush(str(temporary))
    atomic._flush(str(tmp_path))
    assert len(opened) == 1
