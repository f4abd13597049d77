"""``caffe train``: train or fine-tune a model, or go on with a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from caffe.cli import gflags, paths, speed

if TYPE_CHECKING:
    from caffe.parallel.group import Group
    from caffe.parallel.place import Place
    from caffe.proto import caffe_pb2
    from caffe.solvers.solver import Solver

_EFFECTS = click.Choice(["stop", "snapshot", "none"])


@click.command("train", cls=gflags.GflagsCommand)
@click.option("--solver", "solver_file", type=paths.FILE, required=True, help="The solver's prototxt.")
@click.option(
    "--weights",
    type=paths.FILES,
    default="",
    help="Weights to start from (fine-tuning); several separated by ','.",
)
@click.option("--snapshot", type=paths.FILE, default="", help="A .solverstate to go on from.")
@click.option(
    "--resume", default="", help="'auto' goes on from the newest complete snapshot, if there is one."
)
@click.option(
    "--gpu", default="", help="Devices to train on: 0, 0,1 or all; the solver file decides where left out."
)
@click.option("--procs", default=1, help="Train with this many processes on the CPU; each takes a batch.")
@click.option("--compress", type=click.Choice(["none", "bf16"]), default="none", help="How gradients travel.")
@click.option("--bucket_mb", default=25.0, show_default=True, help="MB of gradients that travel at once.")
@click.option(
    "--worker_timeout", default=600.0, show_default=True, help="Seconds until a silent worker is lost."
)
@click.option("--level", default=0, help="The nets' level.")
@click.option("--stage", default="", help="The nets' stages, separated by ','.")
@click.option("--iterations", default=0, help="Train to this iteration instead of the solver's max_iter.")
@click.option("--sigint_effect", type=_EFFECTS, default="stop", show_default=True, help="What Ctrl-C does.")
@click.option(
    "--sighup_effect", type=_EFFECTS, default="snapshot", show_default=True, help="What SIGHUP does."
)
@click.option(
    "--checkpoint_activations/--nocheckpoint_activations",
    default=False,
    help="Keep fewer blobs and compute them again in backward: less memory, more time.",
)
@speed.amp_flag
@click.option("--progress/--noprogress", default=None, help="Show a live bar (on a terminal by default).")
@click.option("--metrics/--nometrics", default=True, help="Write metrics.jsonl and CSV beside the snapshots.")
@click.option("--watch/--nowatch", default=False, help="Open a page with the run's curves in the browser.")
@click.option("--tensorboard", default="", help="Write TensorBoard scalars into this folder.")
@click.option(
    "--deterministic/--nodeterministic", default=False, help="Only algorithms that repeat bit for bit."
)
@click.option(
    "--dry_run/--nodry_run", default=False, help="Run a batch to train and to test on; say time and memory."
)
@click.option("--overfit", default=0, help="Learn from the first so many batches alone, again and again.")
@click.option("--ema", default=0.0, help="Test and keep a moving average of the weights; 0.999 is usual.")
@click.option("--mixup", default=0.0, help="Mix images of a batch, by shares of Beta(α, α); 0.2 is usual.")
@click.option("--cutmix", default=0.0, help="Put a part of another image in; α as above, 1 is usual.")
@click.option(
    "--run", default="", help="Keep solver, nets, log, metrics and snapshots in the folder runs/NAME."
)
@click.option(
    "--early_stop", default="", help="A test output: end when it has not become better for a while."
)
@click.option("--patience", default=5, show_default=True, help="How many tests --early_stop waits.")
@click.option("--keep", default=0, help="Keep only so many of the newest snapshots; 0 keeps all.")
@click.option("--best", default="", help="A test output, such as accuracy: keep PREFIX_best.caffemodel.")
@click.option(
    "--watchdog", default=0.0, help="After so many seconds without progress say where each thread is."
)
@click.option("--stop_at_nan/--nostop_at_nan", default=True, help="Stop when the loss is not finite.")
@gflags.dialect_option
def command(**flags: Any) -> int:
    """Train a model: one solver file, its nets, snapshots and tests.

    With --weights the layers of the same names start from those weights; with --snapshot or --resume=auto a run
    goes on exactly where it was. With several devices, or --procs, there is a process for each, and the batch is
    multiplied by their number; for several hosts use torchrun … -m caffe train --solver=….

    \b
      caffe train --solver=solver.prototxt
      caffe train --solver=solver.prototxt --weights=pretrained.caffemodel --run=first
    """
    if flags["snapshot"] and flags["weights"]:
        raise click.UsageError("Give --snapshot to go on with a run or --weights to fine-tune, not both.")
    if flags["snapshot"] and flags["resume"]:
        raise click.UsageError("Give --snapshot=FILE or --resume=auto, not both.")
    if flags["resume"] not in ("", "auto"):
        raise click.BadParameter(f"must be 'auto'; got '{flags['resume']}'", param_hint="--resume")
    if flags["keep"] < 0 or flags["watchdog"] < 0:
        raise click.UsageError("--keep and --watchdog must be at least 0.")
    if flags["overfit"] < 0 or min(flags["mixup"], flags["cutmix"]) < 0:
        raise click.UsageError("--overfit, --mixup and --cutmix must be at least 0.")
    if not 0 <= flags["ema"] < 1:
        raise click.BadParameter(f"must be from 0 to below 1; got {flags['ema']:g}", param_hint="--ema")
    if flags["patience"] < 1:
        raise click.BadParameter(f"must be at least 1; got {flags['patience']}", param_hint="--patience")
    if flags["watch"]:
        if not flags["metrics"]:
            raise click.UsageError("--watch shows what --metrics writes: leave --nometrics out.")
        from caffe.cli import _watching

        _watching.require()
    if flags["procs"] < 1:
        raise click.BadParameter(f"must be at least 1; got {flags['procs']}", param_hint="--procs")
    if flags["procs"] > 1 and flags["gpu"]:
        raise click.UsageError(
            "Give --gpu for a process a device or --procs for processes on the CPU, not both."
        )
    from caffe.parallel.place import from_environment

    place = from_environment()
    if flags["run"]:
        if place is not None:
            raise click.UsageError("--run is for one host: give the solver a snapshot_prefix instead.")
        _into_folder(flags)
    if place is not None:
        return _work(flags, place)
    count = 1 if flags["dry_run"] else _worker_count(flags)
    if count > 1:
        from caffe.parallel import launch

        return launch.run(["train", *_arguments(flags)], count)
    solver = _solver(flags, *_definition(flags, None))
    if flags["dry_run"]:
        from caffe.cli import _trial

        click.echo(_trial.estimate(solver))
        click.echo("Dry run: nothing was trained, and nothing written.")
        return 0
    return _run(solver, flags)


def _into_folder(flags: dict[str, Any]) -> None:
    """Train from the copy of the solver in the run's folder: a new one, or with --resume the newest."""
    from caffe.solvers import run_folder

    name = flags.pop("run")
    folder = run_folder.newest(name) if flags["resume"] else None
    if folder is None and not flags["dry_run"]:
        folder = run_folder.begin(name, flags["solver_file"], weights=flags["weights"] or None)
    if folder is not None:
        click.echo(f"Run: {folder}", err=True)
        flags["solver_file"] = str(folder / run_folder.SOLVER)


def _worker_count(flags: dict[str, Any]) -> int:
    from caffe.cli import devices

    return len(devices.parse_gpus(flags["gpu"])) if flags["gpu"] else int(flags["procs"])


def _arguments(flags: dict[str, Any]) -> list[str]:
    """The flags as they are written on a command line."""
    names = {"solver_file": "solver"}
    given = {names.get(name, name): value for name, value in flags.items() if value not in (None, "")}
    return [f"--{n}={str(v).lower() if isinstance(v, bool) else v}" for n, v in given.items()]


def _work(flags: dict[str, Any], place: Place) -> int:
    """Train as one of several workers."""
    from caffe.parallel import training

    training.become(place)
    file, param = _definition(flags, place)
    with training.joined(place, flags["worker_timeout"]) as group:
        param.random_seed = training.common_seed(group, param.random_seed)
        solver = _solver(flags, file, param, group)
        compression = "" if flags["compress"] == "none" else flags["compress"]
        bucket_bytes = int(flags["bucket_mb"] * 2**20)
        training.start_together(group, solver, flags["snapshot"], compression, bucket_bytes)
        return _run(solver, flags)


def _definition(flags: dict[str, Any], place: Place | None) -> tuple[str | None, caffe_pb2.SolverParameter]:
    """The solver's file and definition, as the flags change it; sets mode and device."""
    from caffe import logs, runtime
    from caffe.cli import devices
    from caffe.proto import caffe_pb2
    from caffe.solvers import setup

    if flags["tensorboard"]:
        from caffe.solvers.metrics import TensorBoard

        TensorBoard.require()  # before anything is built or written
    if flags["deterministic"]:
        import torch

        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    speed.use(flags["amp"])
    file, param = setup.read(flags["solver_file"])
    if flags["gpu"]:
        devices.use(flags["gpu"], place)
    elif param.solver_mode == caffe_pb2.SolverParameter.GPU and flags["procs"] == 1:
        if place is not None and place.local_rank:
            param.device_id += place.local_rank
        runtime.set_device(param.device_id)
        runtime.set_mode_gpu()
        logs.info(
            "Use CPU." if runtime.device().type == "cpu" else f"Use GPU with device ID {param.device_id}"
        )
    else:
        devices.use("")
    if flags["level"]:
        param.train_state.level = flags["level"]
    param.train_state.stage.extend(s for s in flags["stage"].split(",") if s)
    if flags["iterations"]:
        param.max_iter = flags["iterations"]
    setup.prepare_prefix(param, file)
    return file, param


def _solver(
    flags: dict[str, Any],
    file: str | None,
    param: caffe_pb2.SolverParameter,
    group: Group | None = None,
) -> Solver:
    """The solver, at the weights or the state that the flags name (in the root of several workers)."""
    import torch

    from caffe import logs, runtime, systems
    from caffe.solvers import get_solver, setup, snapshot

    solver = get_solver(param)
    solver.file = file
    solver.stop_at_nan = flags["stop_at_nan"] and flags["amp"] != "fp16"  # whose overflows are made good
    if flags["checkpoint_activations"]:
        solver.net.set_checkpointing()
    if flags["mixup"] or flags["cutmix"]:
        from caffe.cli import _trial
        from caffe.data.mixing import Mixing

        for layer in _trial.data_layers(solver, "--mixup and --cutmix mix"):
            layer.change = Mixing(flags["mixup"], flags["cutmix"])
    if flags["overfit"]:
        from caffe.cli import _trial

        _trial.hold(solver, flags["overfit"])
        flags["metrics"] = False
    solver.check_memory()
    if group is not None and group.rank:
        return solver
    for line in solver.net.summary().splitlines():
        click.echo(line, err=True)
    seed, on_cpu = runtime.seed(), runtime.device().type == "cpu"
    threads = f" (threads: {torch.get_num_threads()}, processors: {systems.processors()})" if on_cpu else ""
    click.echo(f"Device: {runtime.device()}{threads}, seed: {'random' if seed is None else seed}", err=True)
    if flags["resume"]:
        newest = snapshot.newest(param.snapshot_prefix)
        if newest is None:
            logs.info(f"No complete snapshot under {param.snapshot_prefix}: starting from the beginning")
        else:
            flags["snapshot"] = str(newest)
    if flags["snapshot"]:
        logs.info(f"Resuming from {flags['snapshot']}")
        solver.restore(flags["snapshot"])
    elif flags["weights"]:
        for path in flags["weights"].split(","):
            setup.load_weights(solver.net, path)
    return solver


def _run(solver: Solver, flags: dict[str, Any]) -> int:
    from caffe import runtime
    from caffe.solvers import run_folder, unattended

    if not runtime.root_solver():
        return _train(solver, flags)
    with unattended.alone(solver.param.snapshot_prefix), run_folder.logging(solver.file):
        return _train(solver, flags)


def _train(solver: Solver, flags: dict[str, Any]) -> int:
    from caffe import logs, runtime
    from caffe.cli import train_progress
    from caffe.solvers import unattended
    from caffe.solvers.callbacks import BestSnapshot, Callback, EarlyStopping
    from caffe.solvers.contention import Contention
    from caffe.solvers.metrics import Metrics, TensorBoard
    from caffe.solvers.signals import Action, SignalActions

    callbacks: list[Callback] = []
    prefix = solver.param.snapshot_prefix
    if flags["watchdog"]:
        callbacks.append(unattended.Watchdog(flags["watchdog"]))
    if flags["early_stop"]:
        callbacks.append(EarlyStopping(flags["early_stop"], flags["patience"]))
    if runtime.root_solver():
        if runtime.device().type == "cpu":
            callbacks.append(Contention())
        if flags["ema"]:
            from caffe.solvers.averaging import Averaging

            callbacks.insert(0, Averaging(flags["ema"]))  # what is tested and kept is the average
        if flags["overfit"]:
            from caffe.cli import _trial

            callbacks.append(_trial.Verdict())
        if flags["keep"]:
            callbacks.append(unattended.KeepSnapshots(flags["keep"]))
        if flags["best"]:
            callbacks.append(BestSnapshot(flags["best"], f"{prefix}_best.caffemodel"))
        if flags["metrics"]:
            metrics = Metrics(prefix, append=solver.iter > 0, start_iter=solver.iter)
            callbacks.append(metrics)
            if flags["watch"]:
                from caffe.cli import _watching

                callbacks += _watching.callbacks(prefix, metrics.path)
        if flags["tensorboard"]:
            callbacks.append(TensorBoard(flags["tensorboard"], start_iter=solver.iter))
        if train_progress.wanted(flags["progress"]):
            callbacks.append(train_progress.TrainProgress(solver))
    signals = SignalActions(Action(flags["sigint_effect"]), Action(flags["sighup_effect"]))
    solver.action = signals.take
    logs.info("Starting Optimization")
    with signals.installed():
        solver.solve(callbacks=callbacks)
    logs.info("Optimization Done.")
    if solver.stopped and runtime.root_solver():
        click.echo(
            f"Stopped at iteration {solver.iter}; with --resume=auto it goes on from the newest snapshot.",
            err=True,
        )
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
