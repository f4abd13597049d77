"""The known zoo: what was published where, under which licence, and which of its weights can be checked.

The facts lie in catalogue.json beside this module. Weights whose digest nobody published are listed with the page
that has them; they are not fetched, since nothing could tell whether they arrived whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caffe.data import downloads
from caffe.data.downloads import Collection, Progress, Remote
from caffe.errors import InputError, close_names
from caffe.models.definitions import DEFINITIONS


@dataclass(frozen=True)
class Entry:
    """A published model.

    ``fork`` names the Caffe that it was made with, ``page`` where it was published, ``files`` what can be
    downloaded and checked.
    """

    name: str
    task: str
    paper: str
    fork: str
    licence: str
    page: str
    note: str
    files: tuple[Remote, ...]

    @property
    def is_written(self) -> bool:
        """Whether this package writes its definition."""
        return self.name in DEFINITIONS

    @property
    def folder(self) -> str:
        """Where it belongs in caffe_root."""
        return DEFINITIONS[self.name].folder if self.is_written else f"models/{self.name}"

    def download(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        mirrors: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> list[Path]:
        """Bring its files into a folder; see :func:`caffe.data.downloads.download` for arguments and errors.

        Raises InputError where there is nothing that could be checked.
        """
        if not self.files:
            raise InputError(
                f"{self.name} has no weights with a published digest, so that they could not be checked",
                fix=f"See {self.page}" + (f" ({self.note})" if self.note else ""),
            )
        collection = Collection(self.folder, self.files)
        return downloads.download(collection, folder, source=source, mirrors=mirrors, progress=progress)


@cache
def entries() -> dict[str, Entry]:
    """All entries by name; those that this package writes come first."""
    raw = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))
    by_name = {}
    for item in raw:
        remotes = tuple(
            Remote(f["name"], tuple(f["urls"]), f["digest"], f.get("unpack", "")) for f in item.pop("files")
        )
        known = downloads.CATALOGUE.get(item["name"])
        entry = Entry(**{"note": "", **item}, files=remotes or (known.files if known else ()))
        by_name[entry.name] = entry
    return by_name


def entry(name: str) -> Entry:
    """The entry of that name. Raises InputError."""
    known = entries()
    if name not in known:
        raise InputError(
            f"There is no model '{name}' in the catalogue",
            fix=close_names(name, known) or "See: caffe models list",
        )
    return known[name]
