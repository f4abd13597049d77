"""Workers that are lost: a clear message, a usable snapshot, nobody left behind; and stopping together."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from support_parallel import SLOW, Processes, wait_for, weights, worst, write_database, write_solver

import caffe

SETTINGS = "type: 'SGD' base_lr: 0.05 momentum: 0.9"


@pytest.fixture
def folder(tmp_path):
    write_database(tmp_path)
    return tmp_path


def train(processes: Processes, solver: Path, *flags: str, count: int = 2):
    return processes.start(
        sys.executable, "-m", "caffe", "train", f"--solver={solver}", f"--procs={count}", *flags
    )


def iterations(folder: Path) -> int:
    """How many iterations the run has displayed."""
    path = next(folder.glob("*_metrics.jsonl"), None)
    return path.read_text().count("\n") if path else 0


def worker_of(parent: int, rank: int) -> int:
    """The process that is a worker of a launcher."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"\nPPid:\t{parent}\n" in (path / "status").read_text()
            if is_child and f"\0RANK={rank}\0" in "\0" + (path / "environ").read_text():
                return int(path.name)
        except OSError:
            continue
    raise RuntimeError(f"process {parent} has no worker {rank}")


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")


@needs_proc
@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_worker_ends_the_run_with_a_snapshot_to_go_on_from(folder, lost):
    slow = SLOW.format(seconds=0.03)
    whole = write_solver(folder, "s", 5, SETTINGS, iters=60, more=slow)
    with Processes() as processes:
        run = train(processes, whole)
        wait_for(lambda: iterations(folder) > 10, run)
        workers = [worker_of(run.pid, rank) for rank in range(2)]
        os.kill(workers[lost], signal.SIGKILL)
        output = run.communicate(timeout=60)[0]
        assert run.returncode == 1
        assert re.search(rf"Worker {lost} \(process {workers[lost]} on .*\) was lost", output), output
        assert f"Worker {lost} of 2 (process {workers[lost]}) was ended by SIGKILL" in output
        assert not any(map(lives, workers))
        state = next(folder.glob("s_iter_*.solverstate"))
        assert f"go on from {state}" in output and 10 <= int(state.stem.split("_")[-1]) < 60
        if lost == 1:
            return
        resumed = train(processes, whole, "--resume=auto")
        assert resumed.wait(timeout=100) == 0
    undisturbed = caffe.get_solver(str(write_solver(folder, "u", 10, SETTINGS, iters=60)))
    undisturbed.step(60)
    net = caffe.Net(str(folder / "u_net.prototxt"), f"{folder}/s_iter_60.caffemodel", caffe.TRAIN)
    assert worst(weights(net), weights(undisturbed.net)) <= 1e-5


@needs_proc
def test_workers_do_not_outlive_their_launcher(folder):
    solver = write_solver(folder, "s", 5, SETTINGS, iters=100000, more=SLOW.format(seconds=0.01))
    with Processes() as processes:
        run = train(processes, solver)
        wait_for(lambda: iterations(folder) > 2, run)
        workers = [worker_of(run.pid, rank) for rank in range(2)]
        run.kill()
        run.wait(timeout=20)
        wait_for(lambda: not any(map(lives, workers)), processes.start("sleep", 30), timeout=20)


def test_a_workers_own_error_is_what_the_others_report(folder):
    """A record of another shape among those of worker 1."""
    from support_data import raw_records, write_records

    records = raw_records(np.zeros((24, 1, 9, 7), np.uint8), np.zeros(24))
    records[13] = records[13].__class__(1, 3, 7, bytes(21), 0)
    (folder / "db").rename(folder / "good")
    write_records(folder / "db", records)
    with Processes() as processes:
        run = train(processes, write_solver(folder, "s", 3, SETTINGS))
        output = run.communicate(timeout=100)[0]
    assert run.returncode == 1
    assert output.count("Record '00000015': it must have the shape 1×3×7") >= 2
    assert re.search(r"Worker 1 \(process \d+ on .*\) stopped: .*; training stopped in iteration 2\.", output)


def test_signals_reach_all_workers_and_they_stop_together(folder):
    solver = write_solver(folder, "s", 5, SETTINGS, iters=100000, more=SLOW.format(seconds=0.01))
    with Processes() as processes:
        run = train(processes, solver)
        wait_for(lambda: iterations(folder) > 2, run)
        run.send_signal(signal.SIGHUP)
        wait_for(lambda: any(folder.glob("s_iter_*.solverstate")), run)
        run.send_signal(signal.SIGINT)
        output = run.communicate(timeout=60)[0]
    assert run.returncode == 0, output
    assert "Optimization stopped early." in output
    assert len(list(folder.glob("s_iter_*.solverstate"))) == 2


def test_a_port_in_use(folder):
    """A stranger holds the root's port, takes calls and says nothing: both workers say so within the time-out."""
    solver = write_solver(folder, "s", 5, SETTINGS)
    with socket.create_server(("127.0.0.1", 0)) as stranger, Processes() as processes:
        port = stranger.getsockname()[1]
        place = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = (sys.executable, "-m", "caffe", "train", f"--solver={solver}", "--worker_timeout=3")
        outputs = []
        for worker in [processes.start(*command, RANK=rank, **place) for rank in range(2)]:
            outputs.append(worker.communicate(timeout=90)[0])
            assert worker.returncode == 1
    for output, why in zip(outputs, ("in use", "does not answer as the root would")):
        assert f"The 2 workers did not come together at 127.0.0.1:{port} within 3 s: " in output
        assert why in output and "Traceback" not in output


def test_the_watchdog_says_where_each_worker_stands(folder):
    solver = write_solver(folder, "s", 5, SETTINGS, iters=2, more=SLOW.format(seconds=2))
    with Processes() as processes:
        run = train(processes, solver, "--watchdog=0.6")
        output = run.communicate(timeout=90)[0]
    assert run.returncode == 0, output
    assert output.count("Timeout (0:00:00.600000)!") >= 2
    assert output.count("in forward") >= 2 and "Thread 0x" in output
