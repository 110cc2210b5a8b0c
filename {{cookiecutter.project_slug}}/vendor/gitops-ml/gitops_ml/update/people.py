"""Whether people have worked on the branch of an update, which then is theirs."""

from __future__ import annotations

from gitops_ml.update.bakes import BAKED
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import MACHINE

SUBJECT = "Update the template to "


def of(git: Git, branch: str) -> str | None:
    """The tip of an update's branch if people have worked on it; None if there is none, or only machines did."""
    tip = git.tip(branch)
    if tip is None:
        return None
    made = git.message(tip).startswith(SUBJECT) and BAKED in git.message(tip)
    committer = git.said("show", "--no-patch", "--format=%cn", tip)
    machine = made and committer == MACHINE["GIT_COMMITTER_NAME"] and _on_main(git, tip)
    return None if machine else tip


def _on_main(git: Git, commit: str) -> bool:
    parents = git.parents(commit)
    return len(parents) == 1 and git.is_ancestor(parents[0], git.tip(MAIN) or "")
