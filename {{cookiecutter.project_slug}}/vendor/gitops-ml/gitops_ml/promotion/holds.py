"""Holds: releases that must not be promoted any more, on a branch of their own, with who, when and why in its log."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.core.git import Git, RejectedError
from gitops_ml.core.record import Release

BRANCH = "holds"
ATTEMPTS = 5
PUT = re.compile(r"Hold (\S+): (.*)", re.DOTALL)
README = b"# Holds\n\nEach file names a release that is not promoted. Machines write this branch.\n"


class Hold(BaseModel):
    """One file of the branch."""

    release: str
    reason: str
    since: datetime


def read(git: Git) -> dict[str, Hold]:
    """The releases on hold.

    Raises:
        UserError: the branch holds a file that cannot be read; it would be wrong to take it for no hold.
    """
    tip = git.tip(BRANCH)
    if tip is None:
        return {}
    paths = [path for path in git.paths(tip) if path.endswith(".json")]
    held: dict[str, Hold] = {}
    for path, content in zip(paths, git.read_all(f"{tip}:{path}" for path in paths), strict=True):
        try:
            hold = Hold.model_validate_json(content or b"")
        except ValidationError as error:
            raise UserError(f"{path} on {BRANCH} cannot be read, so nothing is promoted: {error}") from error
        held[hold.release] = hold
    return held


def history(git: Git) -> list[Hold]:
    """Every hold that there ever was, also those that were released, the newest first."""
    tip = git.tip(BRANCH)
    found = git.said("log", "--first-parent", "--format=%cI%x00%B%x00", tip).split("\0")[:-1] if tip else []
    told = ((when.strip(), PUT.match(message)) for when, message in zip(found[::2], found[1::2], strict=True))
    return [
        Hold(release=put[1], reason=" ".join(put[2].split()), since=datetime.fromisoformat(when))
        for when, put in told
        if put
    ]


def add(git: Git, release: Release, reason: str, now: datetime) -> bool:
    """Put a release on hold; False if it was already."""
    return _pushed(git, lambda: added(git, release, reason, now))


def remove(git: Git, release: Release) -> bool:
    """Let a release be promoted again; False if it was not on hold."""

    def change(files: dict[str, bytes]) -> bool:
        return files.pop(_path(release), None) is not None

    return _pushed(git, lambda: _changed(git, change, f"Release the hold on {release.release}"))


def added(git: Git, release: Release, reason: str, now: datetime) -> str | None:
    """A commit for the branch's tip that puts a release on hold; None if it is already. Nothing is pushed."""
    hold = Hold(release=release.release, reason=reason, since=now)
    content = hold.model_dump_json(indent=2).encode() + b"\n"

    def change(files: dict[str, bytes]) -> bool:
        return files.setdefault(_path(release), content) is content

    return _changed(git, change, f"Hold {release.release}: {reason}")


def _changed(git: Git, change: Callable[[dict[str, bytes]], bool], message: str) -> str | None:
    tip = git.tip(BRANCH)
    paths = git.paths(tip) if tip else []
    contents = git.read_all(f"{tip}:{path}" for path in paths)
    files = {path: content for path, content in zip(paths, contents, strict=True) if content is not None}
    if not change(files):
        return None
    return git.commit(git.write(files | {"README.md": README}), tip, message)


def _pushed(git: Git, make: Callable[[], str | None]) -> bool:
    """Push a change, made anew each time that somebody else's came first; False if nothing is to be changed."""
    for _ in range(ATTEMPTS):
        commit = make()
        if commit is None:
            return False
        try:
            git.push(commit, f"refs/heads/{BRANCH}")
        except RejectedError:
            git.fetch()
            continue
        return True
    raise UserError(f"the branch {BRANCH} does not take a change; is it protected against whoever runs this?")


def _path(release: Release) -> str:
    return f"{release.short}.json"
