"""What happened to an environment's branch, commit by commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gitops_ml.core import record
from gitops_ml.core.errors import UserError
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git

Action = Literal["promote", "roll back", "edit by hand"]
# NUL stands in no name and no message.
FORM = "%H%x00%T%x00%P%x00%cI%x00%an%x00%B%x00"


@dataclass(frozen=True)
class Commit:
    name: str
    tree: str
    parents: list[str]
    when: datetime
    who: str
    message: str


@dataclass(frozen=True)
class Step:
    """A commit on an environment's branch beside what the branch had before it."""

    commit: Commit
    found: record.Release | str  # or why there is none
    whole: bool
    stated: environment.Action | None
    before: record.Release | None
    earlier: frozenset[str]  # releases

    @property
    def release(self) -> record.Release | None:
        return self.found if isinstance(self.found, record.Release) else None

    @property
    def action(self) -> Action:
        """What was done; who merges a promotion in words of their own, or reverts it, does not say it."""
        same = self.before is not None and self.release == self.before
        if self.release is None or not self.whole or (same and not self.stated):
            return "edit by hand"
        return self.stated or ("roll back" if self.release.release in self.earlier else "promote")


def read(git: Git, tip: str) -> list[Step]:
    """What happened to a branch, the first thing first; that it was created is none."""
    commits = log(git, "--first-parent", "--reverse", tip)
    contents = git.read_all(f"{each.name}:{record.FILE}" for each in commits)
    whole = environment.whole(git, [each.tree for each in commits])
    steps: list[Step] = []
    for commit, content in zip(commits, contents, strict=True):
        if content is None and not steps and commit.tree in whole:
            continue
        steps.append(
            Step(
                commit=commit,
                found=_found(commit, content),
                whole=commit.tree in whole,
                stated=_stated(git, commit),
                before=steps[-1].release if steps else None,
                earlier=frozenset(each.release.release for each in steps if each.release),
            )
        )
    return steps


def _found(commit: Commit, content: bytes | None) -> record.Release | str:
    if content is None:
        return f"{record.FILE} is gone"
    try:
        return record.read(content, commit.name[:12])
    except UserError as error:
        return str(error)


def _stated(git: Git, commit: Commit) -> environment.Action | None:
    is_merge = len(commit.parents) > 1
    return environment.action(git, commit.name) if is_merge else environment.stated(commit.message)


def log(git: Git, *which: str) -> list[Commit]:
    fields = git.said("log", f"--format={FORM}", *which).split("\0")[:-1]
    return [
        Commit(name.strip(), tree, parents.split(), datetime.fromisoformat(when), who, message.strip())
        for name, tree, parents, when, who, message in zip(*[iter(fields)] * 6, strict=True)
    ]
