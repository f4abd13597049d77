"""The ``--gpu`` flag: which devices, and whether they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caffe import logs, runtime
from caffe.errors import DeviceError

if TYPE_CHECKING:
    from caffe.parallel.place import Place


def parse_gpus(flag: str) -> list[int]:
    """``0``, ``0,1`` or ``all`` as device numbers. Raises DeviceError for devices that are not there."""
    devices = runtime.accelerators()
    if flag == "all":
        if not devices:
            raise DeviceError(
                "--gpu=all was given, but torch finds no accelerator here",
                fix="Leave --gpu out to use the CPU",
            )
        return list(range(len(devices)))
    try:
        ids = [int(part) for part in flag.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"must be device numbers such as 0 or 0,1, or 'all'; got '{flag}'") from None
    for i in ids:
        if not 0 <= i < len(devices):
            raise DeviceError(
                f"--gpu={flag} names device {i}, but torch finds"
                f" {', '.join(devices) if devices else 'no accelerator'} here",
                fix="Leave --gpu out to use the CPU" if not devices else f"Use 0 to {len(devices) - 1}",
            )
    return ids


def use(flag: str, place: Place | None = None) -> list[int]:
    """Set mode and device by the flag, saying so in the original's words; returns the device numbers.

    Of several workers on a host, each takes one of the devices. Raises DeviceError, DistributedError.
    """
    ids = parse_gpus(flag) if flag else []
    if not ids:
        logs.info("Use CPU.")
        runtime.set_mode_cpu()
        return ids
    if place is None:
        logs.info("Use GPU with device ID " + ", ".join(map(str, ids)))
        runtime.set_device(ids[0])
    else:
        from caffe.parallel.training import device_of

        logs.info("Using GPUs " + ", ".join(map(str, ids)))
        runtime.set_device(device_of(place, ids))
    runtime.set_mode_gpu()
    return ids
