"""The code that tasks run, as one archive: it is the same on every worker, whatever a worker has installed."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from gitops_ml.versions import requirements

OWN = Path(__file__).resolve().parents[2]
PACKAGES = (OWN / "gitops_ml", OWN / "gitops_serving")
# What a worker needs to train with others.
TOGETHER = ("cloudpickle", "dask", "distributed", "numpy", "pandas", "scipy", "xgboost", "xgboost-cpu")
# Of each file when it was written no word, so that the same code is the same archive.
WHEN = (1980, 1, 1, 0, 0, 0)
PYTHON = "{}.{}".format(*sys.version_info)


@dataclass(frozen=True)
class Code:
    """What is unpacked where a task runs, and is its working directory; what has to be installed there, by version.

    `python` runs the tasks on this machine.
    """

    files: Mapping[str, bytes]
    packages: Mapping[str, str]
    version: str = PYTHON
    python: Path = Path(sys.executable)

    @cached_property
    def archive(self) -> bytes:
        """The files, zipped."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(self.files.items()):
                archive.writestr(zipfile.ZipInfo(name, WHEN), data, zipfile.ZIP_DEFLATED)
        return content.getvalue()

    @property
    def expected(self) -> dict[str, str]:
        """The versions of packages that a worker needs, and of Python."""
        return {"Python": self.version, **self.packages}

    @property
    def digest(self) -> str:
        """The SHA-256 of the archive."""
        return hashlib.sha256(self.archive).hexdigest()


def here(root: Path, files: Mapping[str, bytes] | None = None) -> Code:
    """The code of a working tree: the automation, the pipeline and the given files, and the packages that train.

    Args:
        root: the project's folder.
        files: what tasks read besides, by its path in their working directory.
    """
    sources = packed([*PACKAGES, root / "pipeline"])
    return Code(files=sources | dict(files or {}), packages=installed(locked(root)))


def packed(packages: Iterable[Path]) -> dict[str, bytes]:
    """The source files of import packages, by their path below the folder that holds the package."""
    return {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for package in packages
        for path in sorted(package.rglob("*.py"))
    }


def locked(root: Path) -> dict[str, str]:
    """The packages that train, in the versions that uv.lock has of them for this machine."""
    return pinned((root / requirements.TRAIN).read_text(encoding="utf-8"))


def pinned(exported: str) -> dict[str, str]:
    """The versions that an export of uv.lock names for this machine."""
    lines = (line.split("--hash")[0].strip(" \\") for line in exported.splitlines())
    found = [Requirement(line) for line in lines if "==" in line]
    return {
        each.name: next(iter(each.specifier)).version for each in found if each.marker is None or each.marker.evaluate()
    }


def installed(wanted: Iterable[str]) -> dict[str, str]:
    """The versions that are installed here of packages, those that are not here left out."""
    found = {}
    for name in wanted:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
