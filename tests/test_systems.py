"""What differs between systems; Windows and macOS are simulated where the tests run on Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import types
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import pytest

from caffe import systems
from caffe.errors import SolverError
from caffe.parallel import launch
from caffe.solvers import unattended


@pytest.fixture
def windows(monkeypatch):
    """Windows' side of the module: its C runtime's locks and its kernel's processes as small stand-ins."""
    locked: dict[tuple[int, int], int] = {}

    def locking(handle: int, mode: int, count: int) -> None:
        assert mode == 2 and count == 1  # LK_NBLCK
        key = os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR)
        if locked.setdefault(key, handle) != handle:
            raise PermissionError(errno.EACCES, "Permission denied")

    class Kernel:
        running, denied = {31}, {37}

        def OpenProcess(self, access, inherit, pid):
            self.error = 5 if pid in self.denied else 87
            return pid if pid in self.running | {41} else 0

        def WaitForSingleObject(self, process, wait):
            return 258 if process in self.running else 0

        def CloseHandle(self, process):
            pass

    kernel = Kernel()
    monkeypatch.setattr(systems, "WINDOWS", True)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it raises
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: kernel.error, raising=False)
    return kernel


def test_one_run_a_prefix(tmp_path):
    locked_once_and_free_afterwards(tmp_path)


def test_one_run_a_prefix_on_windows(windows, tmp_path):
    locked_once_and_free_afterwards(tmp_path)


def locked_once_and_free_afterwards(folder: Path) -> None:
    prefix = str(folder / "run")
    with (
        unattended.alone(prefix),
        pytest.raises(SolverError, match=f"process {os.getpid()}, since 2"),
        unattended.alone(prefix),
    ):
        pass
    with unattended.alone(prefix):
        pass
    assert list(folder.iterdir()) == []


def test_which_processes_live_on_windows(windows, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *arguments: pytest.fail("this would send a Ctrl-C"))
    assert [systems.lives(pid) for pid in (31, 37, 41, 43)] == [True, True, False, False]


def test_which_processes_live():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # ended, and not fetched yet
    assert systems.lives(os.getpid())
    assert not systems.lives(ended.pid)
    ended.wait()
    assert not systems.lives(ended.pid)


def test_a_process_lives_where_there_is_no_proc(monkeypatch):
    monkeypatch.setitem(systems.__dict__, "open", lambda *a, **k: open("/no/such/file", encoding="utf-8"))  # noqa: SIM115
    assert systems.lives(os.getpid())


def test_signals_are_handed_on_as_windows_knows_them(windows):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    systems.send(process, signal.SIGINT)  # a console's reaches it by itself
    assert process.poll() is None
    systems.send(process, signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert systems.own_signals() == {}


def test_workers_start_as_on_windows(monkeypatch, capfd):
    monkeypatch.setattr(systems, "WINDOWS", True)
    assert launch.run(["--version"], 2) == 0
    assert capfd.readouterr().out.count("caffe, version") == 2


def test_the_meeting_place_is_what_torch_reads(monkeypatch):
    place = Path("/tmp/a b/c%d")
    assert urlparse(launch.meeting(place)).path == "/tmp/a b/c%d/meeting"
    monkeypatch.setattr(systems, "WINDOWS", True)
    assert urllib.request.url2pathname(urlparse(launch.meeting(place)).path) == "/tmp/a b/c%d/meeting"


@pytest.mark.parametrize("absent", ["SIGHUP", "SIGUSR1"])
def test_signals_that_a_system_has_not(absent, monkeypatch):
    from caffe.solvers.signals import SignalActions

    monkeypatch.delattr(signal, absent)
    with SignalActions().installed() as actions:
        os.kill(os.getpid(), signal.SIGINT)
        assert actions.take().value == "stop"


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="Linux alone counts it")
def test_time_on_processors():
    before = systems.time_on_processors()
    sum(i * i for i in range(1_000_000))
    after = systems.time_on_processors()
    assert after[0] > before[0] and after[1] >= before[1] >= 0


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "250000 100000"}, 2.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "unreadable"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_of_processors(tmp_path, monkeypatch, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="ascii")
    monkeypatch.setattr(systems, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)), raising=False)
    assert systems.processors() == {2.5: 3, 0.5: 1, None: 7}[quota]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 6}, raising=False)
    assert systems.processors() == min(2, {2.5: 3, 0.5: 1, None: 7}[quota])
