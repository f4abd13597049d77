"""The nets that this package writes itself, by name: their files, and where those belong in caffe_root."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from caffe.errors import FileAccessError, InputError, close_names
from caffe.formats import prototxt
from caffe.models import alexnet, cifar10, googlenet, lenet, mobilenet, resnet, squeezenet, ssd, vgg
from caffe.proto import caffe_pb2

Message = caffe_pb2.NetParameter | caffe_pb2.SolverParameter


@dataclass(frozen=True)
class Definition:
    """A net with everything around it: the files by their published names, each with what builds it.

    The first file is the net as it is used, the deploy net.
    """

    folder: str
    files: Mapping[str, Callable[[], Message]]

    def build(self, file: str) -> Message:
        """The content of a file. Raises InputError."""
        if file not in self.files:
            raise InputError(f"The file must be one of {', '.join(self.files)}; got '{file}'")
        return self.files[file]()

    @property
    def deploy(self) -> caffe_pb2.NetParameter:
        """The net as it is used."""
        net = next(iter(self.files.values()))()
        return caffe_pb2.NetParameter.FromString(net.SerializeToString())

    def write(
        self, folder: str | os.PathLike[str] | None = None, *, root: str | os.PathLike[str] = "."
    ) -> list[Path]:
        """Write all files; returns their paths.

        They go to ``folder``, by default to their place below ``root``. Solvers name nets and snapshots in the
        folder, as seen from ``root``, from where Caffe is run. Raises FileAccessError.
        """
        place = Path(root, self.folder) if folder is None else Path(folder)
        seen = self.folder if folder is None else os.path.relpath(place, root).replace(os.sep, "/")
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileAccessError(f"cannot be made: {error.strerror}", file=place) from error
        written = []
        for file, make in self.files.items():
            message = make()
            if isinstance(message, caffe_pb2.SolverParameter):
                self._move(message, seen)
            prototxt.write(place / file, message)
            written.append(place / file)
        return written

    def _move(self, solver: caffe_pb2.SolverParameter, folder: str) -> None:
        for field in ("net", "train_net", "snapshot_prefix"):
            if solver.HasField(field):
                setattr(solver, field, getattr(solver, field).replace(self.folder, folder, 1))
        solver.test_net[:] = [path.replace(self.folder, folder, 1) for path in solver.test_net]


def _trained(
    folder: str,
    deploy: Callable[[], Message],
    train_val: Callable[[], Message],
    **solvers: Callable[[], Message],
) -> Definition:
    files = {"deploy.prototxt": deploy, "train_val.prototxt": train_val}
    return Definition(folder, {**files, **{f"{name}.prototxt": make for name, make in solvers.items()}})


def _ssd(task: ssd.Task) -> Definition:
    files: dict[str, Callable[[ssd.Task], Message]] = {
        "deploy": ssd.deploy,
        "train": ssd.train,
        "test": ssd.test,
        "solver": ssd.solver,
    }
    return Definition(task.folder, {f"{name}.prototxt": partial(make, task) for name, make in files.items()})


DEFINITIONS: dict[str, Definition] = {
    "lenet": Definition(
        lenet.FOLDER,
        {
            "lenet.prototxt": lenet.deploy,
            "lenet_train_test.prototxt": lenet.train_val,
            "lenet_solver.prototxt": lenet.solver,
        },
    ),
    "cifar10_quick": Definition(
        cifar10.FOLDER,
        {
            "cifar10_quick.prototxt": cifar10.quick_deploy,
            "cifar10_quick_train_test.prototxt": cifar10.quick_train_val,
            "cifar10_quick_solver.prototxt": cifar10.quick_solver,
            "cifar10_quick_solver_lr1.prototxt": cifar10.quick_solver_lr1,
        },
    ),
    "cifar10_full": Definition(
        cifar10.FOLDER,
        {
            "cifar10_full.prototxt": cifar10.full_deploy,
            "cifar10_full_train_test.prototxt": cifar10.full_train_val,
            "cifar10_full_solver.prototxt": cifar10.full_solver,
            "cifar10_full_solver_lr1.prototxt": cifar10.full_solver_lr1,
            "cifar10_full_solver_lr2.prototxt": cifar10.full_solver_lr2,
        },
    ),
    "bvlc_alexnet": _trained(
        alexnet.ALEXNET, alexnet.alexnet_deploy, alexnet.alexnet_train_val, solver=alexnet.alexnet_solver
    ),
    "bvlc_reference_caffenet": _trained(
        alexnet.CAFFENET, alexnet.caffenet_deploy, alexnet.caffenet_train_val, solver=alexnet.caffenet_solver
    ),
    "bvlc_reference_rcnn_ilsvrc13": Definition(alexnet.RCNN, {"deploy.prototxt": alexnet.rcnn_deploy}),
    "finetune_flickr_style": _trained(
        alexnet.FLICKR, alexnet.flickr_deploy, alexnet.flickr_train_val, solver=alexnet.flickr_solver
    ),
    "bvlc_googlenet": _trained(
        googlenet.FOLDER,
        googlenet.deploy,
        googlenet.train_val,
        solver=googlenet.solver,
        quick_solver=googlenet.quick_solver,
    ),
    **{
        f"vgg{depth}": _trained(
            f"models/vgg{depth}",
            partial(vgg.deploy, depth),
            partial(vgg.train_val, depth),
            solver=partial(vgg.solver, depth),
        )
        for depth in (16, 19)
    },
    **{
        f"resnet_{depth}": _trained(
            f"models/resnet_{depth}",
            partial(resnet.deploy, depth),
            partial(resnet.train_val, depth),
            solver=partial(resnet.solver, depth),
        )
        for depth in (50, 101, 152)
    },
    **{
        f"squeezenet_v{version}": _trained(
            f"models/squeezenet_v{version}",
            partial(squeezenet.deploy, version),
            partial(squeezenet.train_val, version),
            solver=partial(squeezenet.solver, version),
        )
        for version in ("1.0", "1.1")
    },
    **{
        f"mobilenet_v{version}": _trained(
            f"models/mobilenet_v{version}",
            partial(mobilenet.deploy, version),
            partial(mobilenet.train_val, version),
            solver=partial(mobilenet.solver, version),
        )
        for version in (1, 2)
    },
    "ssd300_vgg_voc0712": _ssd(ssd.VOC),
    "ssd300_vgg_coco": _ssd(ssd.COCO),
}


def definition(name: str) -> Definition:
    """The definition of that name. Raises InputError."""
    if name not in DEFINITIONS:
        raise InputError(
            f"A definition must be one of {', '.join(DEFINITIONS)}; got '{name}'",
            fix=close_names(name, DEFINITIONS) or None,
        )
    return DEFINITIONS[name]
