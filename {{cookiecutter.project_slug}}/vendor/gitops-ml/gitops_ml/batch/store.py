"""Folders and buckets: what is there, reading it, and writing files that are whole as soon as they have their name."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from gitops_ml.core.errors import UserError

Found = TypeVar("Found")
# A bucket refuses now and then; each time it is asked again twice as late.
TRIES, FIRST_SECONDS = 6, 0.1
# What asking again does not change.
FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, UserError)
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def again(what: str, ask: Callable[[], Found]) -> Found:
    """The answer of a folder or a bucket, which may refuse for a moment.

    Raises:
        UserError: it refuses for good; `what` is what could not be done.
    """
    for attempt in range(TRIES):
        try:
            return ask()
        except Exception as error:  # each cloud's client has errors of its own
            last = isinstance(error, FINAL) or getattr(error, "errno", None) in FULL or attempt == TRIES - 1
            if isinstance(error, UserError):
                raise
            if last:
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                raise UserError(f"{what}: {reason}") from error
            time.sleep(FIRST_SECONDS * 2**attempt)
    raise AssertionError


class Store:
    """A folder or a bucket; `url` is absolute, so that every worker finds it."""

    def __init__(self, place: str) -> None:
        """Open it.

        Raises:
            UserError: there is no way to such a place.
        """
        self.url = place.rstrip("/") if "://" in place else os.path.abspath(place)
        try:
            self._system, self._root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(f"{place} cannot be opened: {' '.join(str(error).split())}") from error
        self._is_local = self._system.protocol in ("file", ("file", "local"))

    def path(self, name: str = "") -> str:
        """The path of a file below, as its file system has it."""
        return f"{self._root}/{name}" if name else str(self._root)

    def find(self) -> dict[str, dict[str, Any]]:
        """Every file below, by its name there, with size and whatever else is known of it; none if there is nothing.

        Folder by folder, since a file system's own search passes over what it cannot list.
        """
        self._system.invalidate_cache()
        found, folders = dict[str, dict[str, Any]](), [self._root]
        while folders:
            folder = folders.pop()
            for each in again(f"{self.url} cannot be listed", partial(self._list, folder)):
                path = each["name"].rstrip("/")
                if each["type"] != "directory":
                    found[path.removeprefix(self._root).strip("/")] = each
                elif path != folder.rstrip("/"):
                    folders.append(path)
        return found

    def _list(self, folder: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._system.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        return found

    def open(self, name: str = "") -> Any:
        """A file to read."""
        return again(f"{self._said(name)} cannot be read", lambda: self._system.open(self.path(name), "rb"))

    def part(self, name: str, start: int, end: int) -> bytes:
        """A part of a file."""

        def ask() -> bytes:
            found: bytes = self._system.cat_file(self.path(name), start=start, end=end)
            return found

        return again(f"{self._said(name)} cannot be read", ask)

    def version(self, name: str = "") -> str:
        """What changes when a file does."""

        def ask() -> str:
            self._system.invalidate_cache()
            info = self._system.info(self.path(name))
            return ":".join(str(info.get(key)) for key in ("size", "mtime", "ETag", "etag", "md5Hash"))

        return again(f"{self._said(name)} cannot be read", ask)

    def put(self, name: str, content: bytes) -> None:
        """Write a file; it has its name once it is whole.

        Raises:
            UserError: the place does not take it.
        """

        def ask() -> None:
            path = self.path(name)
            self._make_folder(path.rpartition("/")[0])
            if not self._is_local:
                self._system.pipe_file(path, content)
                return
            part = Path(f"{path}.{uuid.uuid4().hex[:8]}.part")
            try:
                part.write_bytes(content)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

        again(f"{self._said(name)} cannot be written", ask)

    def move_in(self, local: Path, name: str) -> None:
        """Have a file of this machine be one below; it has its name once it is whole."""

        def ask() -> None:
            path = self.path(name)
            self._make_folder(path.rpartition("/")[0])
            if not self._is_local:
                self._system.put_file(str(local), path)
                return
            part = Path(f"{path}.{uuid.uuid4().hex[:8]}.part")
            try:
                self._system.put_file(str(local), str(part))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

        again(f"{self._said(name)} cannot be written", ask)

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""

        def ask() -> None:
            with suppress(FileNotFoundError):
                self._system.rm(self.path(name), recursive=True)

        again(f"{self._said(name)} cannot be removed", ask)

    def _make_folder(self, path: str) -> None:
        # A path without a root begins with a bucket, which has no folders, and is not ours to make.
        if path.startswith("/"):
            self._system.makedirs(path, exist_ok=True)

    def _said(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url
