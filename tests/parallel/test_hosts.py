"""Two hosts under torchrun, one of which fails in the middle and comes back.

The hosts are network namespaces joined by a cable of their own; where these cannot be had, two loopback addresses.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from support_parallel import SLOW, Processes, wait_for, weights, worst, write_database, write_solver

import caffe

SETTINGS = "type: 'Adam' base_lr: 0.002 momentum: 0.9 momentum2: 0.99 delta: 1e-4 snapshot: 8"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


class Hosts:
    """Two hosts: commands that run something there, addresses, interfaces."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex[:6]
        self.names = [f"caffe{self.mark}{side}" for side in "ab"]
        self.prefixes: list[list[str]] = [[], []]
        self.addresses = ["127.0.0.1", "127.0.0.2"]
        self.interface = "lo"
        if os.geteuid() == 0 and shutil.which("ip"):
            try:
                self._make_namespaces()
            except (subprocess.SubprocessError, OSError):
                self._remove_namespaces()

    def _make_namespaces(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", self.names[0], "type", "veth",
           "peer", "name", "cable", "netns", self.names[1])  # fmt: skip
        for i, name in enumerate(self.names):
            ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "cable")
            for interface in ("cable", "lo"):
                ip("-n", name, "link", "set", interface, "up")
        self.prefixes = [["ip", "netns", "exec", name] for name in self.names]
        self.addresses = ["10.77.0.1", "10.77.0.2"]
        self.interface = "cable"

    def _remove_namespaces(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30, check=False)

    def start(self, processes: Processes, host: int, solver: Path) -> subprocess.Popen[str]:
        """torchrun with one worker on a host."""
        return processes.start(
            *self.prefixes[host], sys.executable, "-m", "torch.distributed.run",
            "--nnodes=2", "--nproc-per-node=1", "--max-restarts=2", "--monitor-interval=0.1",
            "--rdzv-backend=c10d", f"--rdzv-endpoint={self.addresses[0]}:29477", f"--rdzv-id={self.mark}",
            f"--rdzv-conf=is_host={1 - host},keep_alive_interval=1,keep_alive_max_attempt=2",
            f"--local-addr={self.addresses[host]}",
            "-m", "caffe", "train", f"--solver={solver}", "--resume=auto", "--worker_timeout=60",
            GLOO_SOCKET_IFNAME=self.interface, CAFFE_TEST_HOST=self.names[host],
            TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1,  # else torchrun does not tell a new host where to meet
        )  # fmt: skip

    def power_off(self, host: int) -> None:
        """End everything that runs on a host, at once."""
        mark = f"CAFFE_TEST_HOST={self.names[host]}\0".encode()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes():
                    os.kill(int(path.name), signal.SIGKILL)
            except OSError:
                continue

    def close(self) -> None:
        for host in range(2):
            self.power_off(host)
        if self.interface == "cable":
            self._remove_namespaces()


@pytest.fixture
def hosts():
    found = Hosts()
    yield found
    found.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a host's processes in /proc")
def test_a_host_fails_and_comes_back(hosts, tmp_path):
    write_database(tmp_path)
    solver = write_solver(tmp_path, "s", 5, SETTINGS, iters=40, more=SLOW.format(seconds=0.05))
    with Processes() as processes:
        running = [hosts.start(processes, host, solver) for host in range(2)]
        wait_for(lambda: any(tmp_path.glob("s_iter_8.solverstate")), running[0], timeout=100)
        time.sleep(0.2)  # into the next iterations, which are lost
        hosts.power_off(1)
        running[1].wait(timeout=20)
        running[1] = hosts.start(processes, 1, solver)
        outputs = [process.communicate(timeout=150)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs[0] + outputs[1]
    assert "A worker was lost" in outputs[0] and "Resuming from" in "".join(outputs)
    alone = caffe.get_solver(str(write_solver(tmp_path, "one", 10, SETTINGS, iters=40)))
    alone.step(40)
    net = caffe.Net(str(tmp_path / "one_net.prototxt"), f"{tmp_path}/s_iter_40.caffemodel", caffe.TRAIN)
    assert worst(weights(net), weights(alone.net)) <= 1e-5
