"""Public data and weights by name: where they are, how to tell that they arrived whole, how they are fetched.

What is fetched is checked against a known digest before it takes its place; a download that breaks off goes
on where it stopped. Nothing that was fetched is ever run or unpickled.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from caffe.errors import CorruptDataError, FileAccessError, InputError, MissingFileError, close_names

_PIECE = 1 << 20
_TIMEOUT = 30
_LARGEST = 16 << 30
"""Bytes of a file: an answer without end must not fill the disk."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch.

    ``digest`` is ``algorithm:hex`` of the file, or with ``unpack="gzip"`` of what is inside it;
    ``unpack="tar"`` puts the members of an archive into the folder, without their own folders.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    unpack: str = ""

    @property
    def result(self) -> str:
        """The name that is left in the folder."""
        return self.name.removesuffix(".gz") if self.unpack == "gzip" else self.name


@dataclass(frozen=True)
class Collection:
    """Files that belong together, and the folder they go to by default, as in the original's tree."""

    folder: str
    files: tuple[Remote, ...]


_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_BVLC = "http://dl.caffe.berkeleyvision.org/"
_VGG = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"
_SQUEEZENET = (
    "https://raw.githubusercontent.com/DeepScale/SqueezeNet/b5c3f1a23713c8b3fd7b801d229f6b04c64374a5/"
)


def _mnist(name: str, sha256: str) -> Remote:
    return Remote(name + ".gz", tuple(m + name + ".gz" for m in _MNIST_MIRRORS), "sha256:" + sha256, "gzip")


def _model(name: str, sha1: str, *urls: str, file: str = "") -> Collection:
    file = file or f"{name}.caffemodel"
    return Collection(f"models/{name}", (Remote(file, urls or (_BVLC + file,), "sha1:" + sha1),))


CATALOGUE: dict[str, Collection] = {
    "mnist": Collection(
        "data/mnist",
        (
            _mnist(
                "train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
            ),
            _mnist(
                "train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
            ),
            _mnist(
                "t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
            ),
            _mnist(
                "t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
            ),
        ),
    ),
    "cifar10": Collection(
        "data/cifar10",
        (
            Remote(
                "cifar-10-binary.tar.gz",
                (
                    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                    "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
                ),
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
                "tar",
            ),
        ),
    ),
    "ilsvrc_aux": Collection(
        "data/ilsvrc12",
        (
            Remote(
                "caffe_ilsvrc12.tar.gz",
                (
                    _BVLC + "caffe_ilsvrc12.tar.gz",
                    "https://download.openmmlab.com/mmclassification/datasets/imagenet/meta/caffe_ilsvrc12.tar.gz",
                ),
                "sha256:e35c0c1994a21f7d8ed49d01881ce17ab766743d3b0372cdc0183ff4d0dfc491",
                "tar",
            ),
        ),
    ),
    "bvlc_alexnet": _model("bvlc_alexnet", "9116a64c0fbe4459d18f4bb6b56d647b63920377"),
    "bvlc_googlenet": _model("bvlc_googlenet", "405fc5acd08a3bb12de8ee5e23a96bec22f08204"),
    "bvlc_reference_caffenet": _model("bvlc_reference_caffenet", "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"),
    "bvlc_reference_rcnn_ilsvrc13": _model(
        "bvlc_reference_rcnn_ilsvrc13", "bdd8abb885819cba5e2fe1eb36235f2319477e64"
    ),
    "finetune_flickr_style": _model("finetune_flickr_style", "b61b5cef7d771b53b0c488e78d35ccadc073e9cf"),
    "vgg16": _model(
        "vgg16",
        "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
        _VGG + "VGG_ILSVRC_16_layers.caffemodel",
        file="VGG_ILSVRC_16_layers.caffemodel",
    ),
    "vgg19": _model(
        "vgg19",
        "239785e7862442717d831f682bb824055e51e9ba",
        _VGG + "VGG_ILSVRC_19_layers.caffemodel",
        file="VGG_ILSVRC_19_layers.caffemodel",
    ),
    "squeezenet_v1.1": _model(
        "squeezenet_v1.1",
        "3397f026368a45ae236403ccc81cfcbe8ebe1bd0",
        _SQUEEZENET + "SqueezeNet_v1.1/squeezenet_v1.1.caffemodel",
    ),
}


def find(name: str) -> Collection:
    """A collection by name, or the model whose folder with a ``readme.md`` is named. Raises InputError."""
    known = CATALOGUE.get(name) or CATALOGUE.get(name.replace("-", "_"))
    if known is not None:
        return known
    if Path(name, "readme.md").is_file():
        return _from_readme(Path(name))
    raise InputError(
        f"There is no download '{name}': it must be one of {', '.join(CATALOGUE)}, "
        "or the folder of a model with its readme.md",
        fix=close_names(name, CATALOGUE) or None,
    )


def _from_readme(folder: Path) -> Collection:
    """What the head of a model's readme.md names: caffemodel, caffemodel_url, sha1."""
    fields = {}
    for line in (folder / "readme.md").read_text(encoding="utf-8").split("---")[1:2]:
        for entry in line.splitlines():
            key, colon, value = entry.partition(":")
            if colon:
                fields[key.strip()] = value.strip()
    missing = [k for k in ("caffemodel", "caffemodel_url", "sha1") if not fields.get(k)]
    if missing:
        raise InputError(f"The head of '{folder / 'readme.md'}' must name {', '.join(missing)}")
    name = Path(fields["caffemodel"]).name
    if name in ("", "..") or "\0" in name:
        raise InputError(f"The head of '{folder / 'readme.md'}' must name a file; got {name!r}")
    return Collection(str(folder), (Remote(name, (fields["caffemodel_url"],), "sha1:" + fields["sha1"]),))


Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, how many bytes more there are, and how many there will be."""


def download(
    collection: Collection,
    folder: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Bring the files of a collection into a folder; returns what lies there now.

    ``source`` is a folder that has the files already: no network then. ``mirrors`` are tried first. Raises
    FileAccessError when no mirror answers, MissingFileError, CorruptDataError.
    """
    place = Path(folder if folder is not None else collection.folder)
    place.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for remote in collection.files:
        target = place / remote.result
        if target.exists() and remote.unpack != "tar" and _digest_of(target, remote.digest) == remote.digest:
            files.append(target)
            continue
        if source is not None:
            files += _install(_local(remote, Path(source)), remote, place)
        else:
            part = _fetch(remote, place, mirrors, progress)
            files += _install(part, remote, place)
            part.unlink(missing_ok=True)
    return files


def _local(remote: Remote, source: Path) -> Path:
    for name in (remote.name, remote.result):
        if (source / name).is_file():
            return source / name
    there = ", ".join(sorted(p.name for p in source.iterdir())[:8]) if source.is_dir() else "no such folder"
    raise MissingFileError(f"'{source}' must have the file {remote.name}; got {there or 'an empty folder'}")


def _fetch(remote: Remote, place: Path, mirrors: Sequence[str], progress: Progress | None) -> Path:
    """Download to ``<name>.part``; whole and right when this returns."""
    part = place / (remote.name + ".part")
    reasons = []
    for url in [*(m.rstrip("/") + "/" + remote.name for m in mirrors), *remote.urls]:
        try:
            _get(url, part, remote.name, progress)
            _check(part, remote)
            return part
        except CorruptDataError as error:
            part.unlink(missing_ok=True)
            reasons.append(f"{url}: {error.message}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
    raise FileAccessError(
        f"{remote.name} could not be downloaded:\n  " + "\n  ".join(reasons),
        fix=f"Bring the file yourself and say --from FOLDER, or name another --mirror for {remote.name}",
    )


class _StaysSafe(urllib.request.HTTPRedirectHandler):
    """Follows no redirect from https to anything else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        schemes = [urllib.parse.urlsplit(url).scheme.lower() for url in (req.full_url, newurl)]
        if schemes[1] not in ("http", "https") or schemes == ["https", "http"]:
            raise OSError(f"it leads from {schemes[0]} to {newurl[:200]!r}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opened(request: urllib.request.Request) -> http.client.HTTPResponse:
    """An answer by http or https. Raises OSError, ValueError for other addresses (file:, ftp:, data:)."""
    scheme = urllib.parse.urlsplit(request.full_url).scheme.lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"must be an address of http or https; got {scheme!r}")
    answer: http.client.HTTPResponse = urllib.request.build_opener(_StaysSafe).open(request, timeout=_TIMEOUT)
    return answer


def _get(url: str, part: Path, name: str, progress: Progress | None) -> None:
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "caffe-download"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = _opened(request)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing
            return
        raise
    with answer:
        resumed = answer.status == 206
        length = answer.headers.get("Content-Length")
        total = None if length is None else int(length) + (start if resumed else 0)
        if progress is not None:
            progress(name, start if resumed else 0, total)
        with open(part, "ab" if resumed else "wb") as file:
            while piece := answer.read(_PIECE):
                file.write(piece)
                if file.tell() > _LARGEST:
                    raise CorruptDataError(f"it has more than {_LARGEST >> 30} GiB")
                if progress is not None:
                    progress(name, len(piece), total)
    size = part.stat().st_size
    if total is not None and size < total:
        raise OSError(f"the connection broke off after {size:,} of {total:,} bytes")


def _check(path: Path, remote: Remote) -> None:
    """Raise CorruptDataError unless the file (or what its gzip holds) has the known digest."""
    if remote.unpack == "gzip":
        _unzip(path, None, remote)
        return
    digest = _digest_of(path, remote.digest)
    if digest != remote.digest:
        raise CorruptDataError(f"The file '{path}' must have the digest {remote.digest}; got {digest}")


def _digest_of(path: Path, like: str) -> str:
    algorithm = like.partition(":")[0]
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return f"{algorithm}:{digest.hexdigest()}"


def _install(path: Path, remote: Remote, place: Path) -> list[Path]:
    """Check a file at hand and put it, or what it holds, into ``place``."""
    target = place / remote.result
    if remote.unpack == "gzip":
        return [_unzip(path, target, remote)]
    _check(path, remote)
    if remote.unpack == "tar":
        return _untar(path, place)
    if path.resolve() != target.resolve():
        temporary = target.with_name(target.name + ".new")
        shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    return [target]


def _unzip(path: Path, target: Path | None, remote: Remote) -> Path:
    """Decompress (or copy what is no gzip) to ``target``, if there is one, and check the digest of the
    content.
    """
    algorithm = remote.digest.partition(":")[0]
    digest = hashlib.new(algorithm)
    with open(path, "rb") as head:
        zipped = head.read(2) == b"\x1f\x8b"
    temporary = None if target is None else target.with_name(target.name + ".new")
    try:
        with (
            gzip.open(path) if zipped else open(path, "rb") as file,
            open(temporary or os.devnull, "wb") as out,
        ):
            while piece := file.read(_PIECE):
                digest.update(piece)
                out.write(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise CorruptDataError(f"The file '{path}' is a damaged gzip file: {error}") from error
    content = f"{algorithm}:{digest.hexdigest()}"
    if content != remote.digest:
        if temporary is not None:
            temporary.unlink()
        raise CorruptDataError(f"The content of '{path}' must have the digest {remote.digest}; got {content}")
    if temporary is None or target is None:
        return path
    os.replace(temporary, target)
    return target


def _untar(path: Path, place: Path) -> list[Path]:
    files = []
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            name = Path(member.name).name
            if content is None or name.startswith("."):
                continue
            temporary = place / (name + ".new")
            with open(temporary, "wb") as out:
                shutil.copyfileobj(content, out)
            os.replace(temporary, place / name)
            files.append(place / name)
    return files
