"""``caffe finetune``: from a folder or list of images to a trained net."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe.cli import _images, gflags, paths

if TYPE_CHECKING:
    from caffe.finetuning.run import Settings


@click.command("finetune", cls=gflags.GflagsCommand)
@click.argument("folder", type=paths.FILE)
@click.option(
    "--model", type=paths.FILE, default="", help="The net's deploy prototxt; a small net if left out."
)
@click.option("--weights", type=paths.FILES, default="", help="Its trained weights, to start from.")
@click.option(
    "--out", default="", help="The model folder to write; runs/FOLDER if left out, never an old one."
)
@click.option("--labels", type=paths.FILE, default="", help="A class a line; labels.txt beside the images.")
@click.option("--root", type=paths.FILE, default="", help="Where a list's images are; beside it if left out.")
@click.option("--epochs", default=0, help="How often each image is learned from; 12, or 30 without weights.")
@click.option("--batch_size", default=0, help="Images in a batch; 32, or fewer for few images.")
@click.option("--lr", default=0.0, help="The rate at the start; 0.001, or 0.02 without weights.")
@click.option("--test_share", default=0.2, show_default=True, help="The share of each class to test on.")
@click.option("--seed", default=1, show_default=True, help="Makes split, order and filling repeatable.")
@click.option("--freeze", default="", help="Layers up to this one are not learned.")
@click.option(
    "--patience", default=0, help="Stop after so many epochs that are no better; 5, or 10 without weights."
)
@click.option("--balance/--nobalance", default=False, help="Let rare classes come up as often as others.")
@click.option(
    "--mirror/--nomirror", default=None, help="Mirror images at random; colour ones are if left out."
)
@click.option(
    "--mean", default="", help="A value a channel, blue first; 104,117,123 with weights, else 127.5."
)
@click.option("--scale", default=0.0, help="Factor after the mean; 1 with weights, else 1/127.5.")
@click.option("--ema", default=0.0, help="Test and keep a moving average of the weights; 0.999 is usual.")
@click.option("--mixup", default=0.0, help="Mix images of a batch, by shares of Beta(α, α); 0.2 is usual.")
@click.option("--cutmix", default=0.0, help="Put a part of another image in; α as above, 1 is usual.")
@click.option("--gpu", default="", help="The device to train on; the CPU where left out.")
@click.option("--dry_run/--nodry_run", default=False, help="Write all files, say what time training takes.")
def command(folder: str, **given: Any) -> int:
    """Train a net on FOLDER's images, a folder a class, and write a model folder with a report.

    In the folder's place may stand a list (file and label a line) or a CSV (file and label, or a 0 or 1 for each
    class). Folders with PASCAL VOC's Annotations, or a COCO file, train a detector (an SSD).

    The last layer of the model is learned anew for these classes, the others start from --weights. Everything that
    training reads is written as plain prototxts and lists, and the plain command is printed.

    \b
      caffe finetune pets/ --model=deploy.prototxt --weights=squeezenet.caffemodel
      caffe predict runs/pets photo.jpg
    """
    if given["weights"] and not given["model"]:
        raise click.UsageError("--weights need the net that they are of: give --model=deploy.prototxt, too.")
    for flag, least in (("epochs", 0), ("batch_size", 0), ("patience", 0)):
        if given[flag] < least:
            raise click.BadParameter(f"must be at least {least}; got {given[flag]}", param_hint=f"--{flag}")
    from caffe.cli import devices, train
    from caffe.cli.progress import bar
    from caffe.finetuning import annotated, images, run

    devices.use(given["gpu"])
    place = Path(folder).expanduser().resolve()
    out = (
        Path(given["out"]) if given["out"] else Path("runs") / (place.name if place.is_dir() else place.stem)
    )
    mean = tuple(float(v) for v in _images.read_mean(given["mean"])) if given["mean"] else ()
    settings = run.Settings(
        Path(folder),
        run.new_folder(out),
        given["model"],
        given["weights"],
        given["epochs"],
        given["batch_size"],
        given["lr"],
        given["test_share"],
        given["seed"],
        given["freeze"],
        given["patience"],
        given["balance"],
        given["mirror"],
        mean,
        given["scale"],
        given["labels"],
        given["root"],
        given["gpu"],
        tuple(f"--{flag}={given[flag]:g}" for flag in ("ema", "mixup", "cutmix") if given[flag]),
    )
    if annotated.is_annotated(folder):
        return _detector(settings, given["dry_run"])
    with bar("looking at images", images.find(folder, given["labels"], given["root"]).count) as shown:
        plan = run.prepare(settings, shown.advance)
    click.echo(
        f"{plan.images.count} images of {len(plan.images.classes)} classes: {len(plan.train)} to learn from, "
        f"{len(plan.test)} to test on. Files are in {settings.out}; by hand:"
    )
    click.echo("\n".join(f"  {line}" for line in plan.commands))
    if given["dry_run"]:
        return int(train.command.main([*plan.arguments, "--dry_run"], standalone_mode=False))
    train.command.main(plan.arguments, prog_name="caffe train", standalone_mode=False)
    scores = run.finish(plan)
    click.echo(
        f"Accuracy on {len(plan.test)} test images: {scores.accuracy:.1%}. Report: {settings.out}/report.html"
    )
    click.echo(f"Use it: {shlex.join(['caffe', 'predict', str(settings.out), 'photo.jpg'])}")
    return 0


def _detector(settings: Settings, dry_run: bool) -> int:
    """Train an SSD on a folder with annotated boxes."""
    from caffe.cli import train
    from caffe.cli.progress import bar
    from caffe.finetuning import annotated, detection

    found = annotated.find(settings.folder)
    with bar("writing databases", len(found.scenes)) as shown:
        plan = detection.prepare(settings, found, shown.advance)
    click.echo(
        f"{len(found.scenes)} images with boxes of {len(found.classes)} classes: {len(plan.train)} to learn from, "
        f"{len(plan.test)} to test on. Files are in {settings.out}; by hand:"
    )
    click.echo("\n".join(f"  {line}" for line in plan.commands))
    if dry_run:
        return int(train.command.main([*plan.arguments, "--dry_run"], standalone_mode=False))
    train.command.main(plan.arguments, prog_name="caffe train", standalone_mode=False)
    precision = detection.finish(plan)
    click.echo(
        f"Mean average precision on {len(plan.test)} test images: {precision:.3f}. Report: {settings.out}/report.html"
    )
    click.echo(f"Use it: {shlex.join(['caffe', 'detect', str(settings.out), 'photo.jpg'])}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
