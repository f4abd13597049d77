"""``caffe test``: score a trained model."""

from __future__ import annotations

import sys

import click

from caffe.cli import gflags, paths, speed
from caffe.cli.progress import track


@click.command("test", cls=gflags.GflagsCommand)
@click.argument("folder", type=paths.FILE, default="", metavar="[MODEL_FOLDER]")
@click.option("--model", type=paths.FILE, default="", help="The net's prototxt.")
@click.option("--weights", type=paths.FILES, default="", help="Trained weights; several separated by ','.")
@click.option(
    "--iterations",
    default=None,
    type=int,
    help="How many batches to run; 50, or a model folder's test images.",
)
@click.option("--gpu", default="", help="The device to run on; the CPU where left out.")
@click.option("--level", default=0, help="The net's level.")
@click.option("--stage", default="", help="The net's stages, separated by ','.")
@speed.amp_flag
@speed.compile_flag
@gflags.dialect_option
def command(
    folder: str,
    model: str,
    weights: str,
    iterations: int | None,
    gpu: str,
    level: int,
    stage: str,
    amp: str,
    compiles: bool,
) -> int:
    """Score a model: run its TEST phase over batches and print the means of its outputs.

    \b
      caffe test --model=train_val.prototxt --weights=net.caffemodel --iterations=100
      caffe test runs/pets
    """
    if folder and not model:
        model, weights, usual = _of_model_folder(folder, weights)
    else:
        usual = 50
    missing = [name for name, value in (("--model", model), ("--weights", weights)) if not value]
    if missing:
        raise click.UsageError(f"Missing {' and '.join(missing)}, or a model folder.")
    iterations = usual if iterations is None else iterations
    from caffe import logs
    from caffe.cli import devices
    from caffe.net.net import Net
    from caffe.proto import caffe_pb2

    if iterations < 1:
        raise click.BadParameter(f"must be at least 1; got {iterations}", param_hint="--iterations")
    devices.use(gpu)
    speed.use(amp, compiles)
    net = Net(model, caffe_pb2.TEST, level=level, stages=[s for s in stage.split(",") if s])
    for path in weights.split(","):
        net.copy_from(path)
    net.set_inference()
    logs.info(f"Running for {iterations} iterations.")
    judges = {
        name for step in net.steps if step.layer.type == "DetectionEvaluate" for name in step.top_names
    } & set(net.outputs)
    if judges:
        from caffe.solvers.detection_eval import Judgements

        judged = {name: Judgements() for name in judges}
    totals: dict[str, list[float]] = {}
    loss = 0.0
    for i in track(range(iterations), "testing", iterations):
        loss += float(net.forward_loss())
        for name in net.outputs:
            if name in judges:
                judged[name].add(net.blobs[name].data)
                continue
            values = net.blobs[name].tensor.flatten().tolist()
            for value in values:
                logs.info(f"Batch {i}, {name} = {value:g}")
            totals[name] = [a + b for a, b in zip(totals.get(name, [0.0] * len(values)), values)]
    logs.info(f"Loss: {loss / iterations:g}")
    for name in sorted(judges):
        precisions = {label: found or 0.0 for label, found in judged[name].precisions("MaxIntegral").items()}
        for label, precision in precisions.items():
            logs.info(f"class{label}: {precision:g}")
        logs.info(f"{name} = {sum(precisions.values()) / max(len(precisions), 1):g}")
    for name, sums in totals.items():
        weight = net.blob_loss_weights[name]
        for total in sums:
            mean = total / iterations
            note = f" (* {weight:g} = {weight * mean:g} loss)" if weight else ""
            logs.info(f"{name} = {mean:g}{note}")
    return 0


def _of_model_folder(folder: str, weights: str) -> tuple[str, str, int]:
    """The net to test, its weights, and the batches that its test images are."""
    from caffe.formats import model_folder, prototxt

    model = model_folder.read(folder)
    net, solver = model.folder / "train_val.prototxt", model.folder / "solver.prototxt"
    paths.must_exist(str(net))
    tests = list(prototxt.read_solver(solver).test_iter) if solver.is_file() else []
    return str(net), weights or str(model.weights), tests[0] if tests else 50


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
