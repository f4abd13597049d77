"""Freed memory stays with the process while nets live, and goes back to the system with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caffe import allocator

SCRIPT = """
import gc, resource, sys
import caffe
from caffe import layers as L

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[4, 16, 250, 260]))
n.power = L.Power(n.data, scale=2)
n.sig = L.Sigmoid(n.power)
net = caffe.Net(n, caffe.TEST)
found = []
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    net.forward()
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
faults = min(found)
held = resident()
del net
gc.collect()
print(faults, held - resident())
"""

BLOB = 4 * 16 * 250 * 260 * 4  # bytes; a forward makes two new ones
PAGES = 2 * BLOB / 4096


def run(**environment: str) -> tuple[float, float]:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True)
    faults, returned = map(float, done.stdout.split())
    return faults, returned


@pytest.mark.skipif(allocator._glibc() is None, reason="the C library is not glibc")
def test_kept_for_the_next_forward_and_returned_with_the_net():
    faults, returned = run()
    assert faults < PAGES / 10
    assert returned > 2 * BLOB / 1e6  # data and both tops are gone


@pytest.mark.skipif(allocator._glibc() is None, reason="the C library is not glibc")
def test_the_users_settings_stay():
    faults, _ = run(MALLOC_MMAP_THRESHOLD_="131072")
    assert faults >= PAGES
