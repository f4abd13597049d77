"""caffe upgrade_solver_proto_text: an old solver's prototxt in the present form."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.errors import CaffeError
from caffe.formats import prototxt
from caffe.passes.upgrade import upgrade_solver


@click.command("upgrade_solver_proto_text", cls=GflagsCommand)
@click.argument("input")
@click.argument("output")
def command(input: str, output: str) -> None:
    """Write the solver of the prototxt INPUT to OUTPUT with its type as a name.

    \b
      caffe upgrade_solver_proto_text old_solver.prototxt solver.prototxt
    """
    solver = prototxt.read_solver(input)
    try:
        if not upgrade_solver(solver):
            logs.error(f"File already in latest proto format: {input}")
    except CaffeError as error:
        raise error.located(file=input) from None
    prototxt.write(output, solver)
    logs.info(f"Wrote upgraded SolverParameter text proto to {output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
