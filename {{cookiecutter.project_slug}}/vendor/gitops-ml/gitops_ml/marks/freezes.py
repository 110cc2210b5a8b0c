"""Freezes: environments to which nothing is promoted for now, on a branch of their own, with who, when and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gitops_ml.marks.branch import Mark, Marks
from gitops_ml.versions.git import Git

BRANCH = "freezes"
DONE = re.compile(r"(Freeze|Unfreeze) ([a-z0-9-]+): (.*)", re.DOTALL)


class Freeze(Mark):
    """One file of the branch."""

    environment: str


@dataclass(frozen=True)
class Step:
    """A commit of the branch."""

    environment: str
    action: Literal["freeze", "unfreeze"]
    when: datetime
    who: str
    why: str
    commit: str


MARKS = Marks(
    BRANCH,
    Freeze,
    b"# Freezes\n\nEach file names an environment to which nothing is promoted. Machines write this branch.\n",
)


def read(git: Git) -> dict[str, Freeze]:
    """The environments that are frozen.

    Raises:
        UserError: the branch holds a file that cannot be read; it would be wrong to take it for no freeze.
    """
    return {freeze.environment: freeze for freeze in MARKS.read(git)}


def add(git: Git, environment: str, reason: str, now: datetime) -> bool:
    """Freeze an environment; False if it was already, for the reason that it was then given."""
    freeze, said = Freeze(environment=environment, reason=reason, since=now), f"Freeze {environment}: {reason}"
    return MARKS.pushed(git, lambda: MARKS.added(git, _path(environment), freeze, said))


def remove(git: Git, environment: str, reason: str) -> bool:
    """Let an environment be promoted to again; False if it was not frozen."""
    said = f"Unfreeze {environment}: {reason}"
    return MARKS.pushed(git, lambda: MARKS.removed(git, _path(environment), said))


def history(git: Git) -> list[Step]:
    """Who froze what, and let it go again, the newest first."""
    tip = git.tip(BRANCH)
    form = "--format=%H%x00%cI%x00%an%x00%B%x00"
    fields = git.said("log", "--first-parent", form, tip).split("\0")[:-1] if tip else []
    steps = []
    for commit, when, who, message in zip(*[iter(fields)] * 4, strict=True):
        if done := DONE.match(message):
            action: Literal["freeze", "unfreeze"] = "freeze" if done[1] == "Freeze" else "unfreeze"
            why = " ".join(done[3].split())
            steps.append(Step(done[2], action, datetime.fromisoformat(when), who, why, commit.strip()))
    return steps


def _path(environment: str) -> str:
    return f"{environment}.json"
