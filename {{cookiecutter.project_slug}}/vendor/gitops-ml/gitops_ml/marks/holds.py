"""Holds: releases that must not be promoted any more, on a branch of their own, with who, when and why in its log."""

from __future__ import annotations

import re
from datetime import datetime

from gitops_ml.core.record import Release
from gitops_ml.marks.branch import Mark, Marks
from gitops_ml.versions.git import Git

BRANCH = "holds"
PUT = re.compile(r"Hold (\S+): (.*)", re.DOTALL)


class Hold(Mark):
    """One file of the branch."""

    release: str


MARKS = Marks(BRANCH, Hold, b"# Holds\n\nEach file names a release that is not promoted. Machines write this branch.\n")


def read(git: Git) -> dict[str, Hold]:
    """The releases on hold.

    Raises:
        UserError: the branch holds a file that cannot be read; it would be wrong to take it for no hold.
    """
    return {hold.release: hold for hold in MARKS.read(git)}


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
    return MARKS.pushed(git, lambda: added(git, release, reason, now))


def remove(git: Git, release: Release) -> bool:
    """Let a release be promoted again; False if it was not on hold."""
    return MARKS.pushed(git, lambda: MARKS.removed(git, _path(release), f"Release the hold on {release.release}"))


def added(git: Git, release: Release, reason: str, now: datetime) -> str | None:
    """A commit for the branch's tip that puts a release on hold; None if it is already. Nothing is pushed."""
    hold = Hold(release=release.release, reason=reason, since=now)
    return MARKS.added(git, _path(release), hold, f"Hold {release.release}: {reason}")


def _path(release: Release) -> str:
    return f"{release.short}.json"
