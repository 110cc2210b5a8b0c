"""The DVC storage: the archives of the releases beside the data, and whether everything is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError

FOLDER = "releases"
# What is put there is there as a whole or not at all; and who may add objects may not always delete any.
BUCKETS = {"s3", "gs", "azure", "abfs"}


@dataclass(frozen=True)
class Stored:
    """One file of the storage: where, how many bytes, and since when, if the storage says so."""

    path: str
    bytes: int
    since: datetime | None


class Storage:
    """The default remote of the project.

    Archives are named by their content and stand outside of the folder that `dvc gc` looks at.
    """

    def __init__(self, root: Path) -> None:
        with _asked("opened"):
            remote = Repo(str(root)).cloud.get_remote()
        self._files: Any = remote.fs
        self._objects: Any = remote.odb
        self._root: str = remote.path

    @staticmethod
    def url(root: Path) -> str:
        """Where the default remote is, as .dvc/config says; nothing is asked there.

        Raises:
            UserError: there is no default remote.
        """
        with _asked("found"):
            config = Repo(str(root)).config
            return str(config["remote"][config["core"]["remote"]]["url"])

    @progress.doing("storing the release")
    def put(self, content: bytes) -> str:
        """Store an archive, if it is not there yet, and return its digest."""
        digest = digest_of(content)
        if not self.has(digest):
            with _asked("written to"):
                whole, is_bucket = self._path(digest), self._files.protocol in BUCKETS
                # A bucket has no folders, and would itself be made if it is not there.
                if not is_bucket:
                    self._files.makedirs(self._files.join(self._root, FOLDER), exist_ok=True)
                # Nobody must ever see half of it under its name.
                part = whole if is_bucket else f"{whole}.part"
                self._files.pipe_file(part, content)
                if part != whole:
                    self._files.move(part, whole)
        return digest

    def has(self, digest: str) -> bool:
        """Whether an archive is there.

        Raises:
            UserError: the storage cannot be asked.
        """
        with _asked("asked"):
            self._require_root()
            return bool(self._files.exists(self._path(digest)))

    @progress.doing("getting the release from the storage")
    def get(self, digest: str) -> bytes:
        """An archive, byte by byte what its digest says.

        Raises:
            UserError: it is not there, it is another one, or the storage cannot be read.
        """
        if not self.has(digest):
            raise UserError(f"the storage has no release archive {digest}")
        with _asked("read"):
            content: bytes = self._files.cat_file(self._path(digest))
        if digest_of(content) != digest:
            raise UserError(f"the storage's release archive {digest} was changed: its content has another digest")
        return content

    @progress.doing("asking the storage for what dvc.lock names")
    def missing(self, lock: bytes) -> list[str]:
        """The inputs and outputs in a dvc.lock that the storage has not, or not whole.

        Raises:
            UserError: the storage cannot be asked.
        """
        with _asked("asked"):
            self._require_root()
            return sorted({path for path, name in tracked(lock) if not self._has_object(name)})

    def listed(self, folder: str) -> list[Stored]:
        """All files of a folder of the storage.

        Raises:
            UserError: the storage cannot be asked.
        """
        with _asked("asked"):
            self._require_root()
            top = self._files.join(self._root, folder)
            paths = sorted(self._files.find(top)) if self._files.exists(top) else []
            about = self._files.info(paths) if paths else []
        return [Stored(path, int(each.get("size") or 0), _since(each)) for path, each in zip(paths, about, strict=True)]

    def read(self, path: str) -> bytes:
        """One of the files that are listed.

        Raises:
            UserError: the storage cannot be read.
        """
        with _asked("read"):
            content: bytes = self._files.cat_file(path)
        return content

    def remove(self, path: str) -> None:
        """Remove one of the files that are listed, for ever.

        Raises:
            UserError: the storage does not let us.
        """
        with _asked("cleaned"):
            self._files.rm_file(path)

    def _has_object(self, name: str) -> bool:
        if not self._objects.exists(name):
            return False
        if not name.endswith(".dir"):
            return True
        listed = json.loads(self._objects.fs.cat_file(self._objects.oid_to_path(name)))
        return all(self._objects.exists(entry["md5"]) for entry in listed)

    def _path(self, digest: str) -> str:
        return str(self._files.join(self._root, FOLDER, digest.replace(":", "-") + ".tar"))

    def _require_root(self) -> None:
        """A folder that is gone, or a bucket that lets nobody in, must not look like an empty storage."""
        if self._files.protocol == "local":
            if not self._files.exists(self._root):
                raise UserError(f"the storage {self._root} does not exist or cannot be reached")
            return
        # Asked whether a single object is there, a cloud's client says no where it may not look.
        with suppress(FileNotFoundError):
            self._files.ls(self._root, detail=False)


def _since(about: dict[str, Any]) -> datetime | None:
    """When a file was written, in whatever form a storage's plug-in says it."""
    for name in ("mtime", "LastModified", "last_modified", "updated"):
        found = about.get(name)
        if isinstance(found, int | float):
            return datetime.fromtimestamp(found, UTC)
        if isinstance(found, str):
            found = datetime.fromisoformat(found)
        if isinstance(found, datetime):
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def tracked(lock: bytes) -> Iterator[tuple[str, str]]:
    """What DVC, and not Git, holds of a dvc.lock: path and hash of each output, and of data/raw."""
    for stage in yaml.safe_load(lock)["stages"].values():
        for entry in stage.get("outs", []):
            yield entry["path"], entry["md5"]
        for entry in stage.get("deps", []):
            if entry["path"].startswith("data/"):
                yield entry["path"], entry["md5"]


def digest_of(content: bytes) -> str:
    """The digest that names a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def _asked(how: str) -> Iterator[None]:
    """Whatever a storage's plug-in raises becomes one sentence."""
    try:
        yield
    except UserError:
        raise
    except (DvcException, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the storage cannot be {how}: {reason}") from error
    except Exception as error:  # each cloud's client has errors of its own
        reason = " ".join(str(error).split())
        raise UserError(f"the storage cannot be {how}: {type(error).__name__}: {reason}") from error
