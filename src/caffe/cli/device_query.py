"""``caffe device_query``: what torch can compute on here."""

from __future__ import annotations

import sys

import click

from caffe.cli import gflags


@click.command("device_query", cls=gflags.GflagsCommand)
@click.option("--gpu", default="", help="Devices to describe, as 0,1 or all; all where left out.")
def command(gpu: str) -> int:
    """Describe the devices that torch can compute on.

    \b
      caffe device_query --gpu=all
    """
    import torch

    from caffe import runtime
    from caffe.cli.devices import parse_gpus

    names = runtime.accelerators()
    ids = parse_gpus(gpu) if gpu else list(range(len(names)))
    click.echo(f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    click.echo(f"CPU capability:                {torch.backends.cpu.get_cpu_capability()}")
    if not names:
        click.echo("No accelerator found: GPU mode computes on the CPU")
    for i in ids:
        click.echo(f"Device id:                     {i} ({names[i]})")
        if names[i].startswith("cuda"):
            device = torch.cuda.get_device_properties(i)
            click.echo(f"Name:                          {device.name}")
            click.echo(f"Compute capability:            {device.major}.{device.minor}")
            click.echo(f"Total global memory:           {device.total_memory} bytes")
            click.echo(f"Multiprocessors:               {device.multi_processor_count}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
