"""Proposals: branches that machines make for an environment, of one commit that never changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitops_ml.core import record
from gitops_ml.core.errors import UserError
from gitops_ml.marks import holds
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git, RejectedError

if TYPE_CHECKING:
    from gitops_ml.promotion import verify
    from gitops_ml.promotion.repository import Repository

KINDS: tuple[verify.Kind, ...] = ("promote", "rollback")
# What machines propose is called so; branches of other names are somebody's own.
PROPOSAL = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
ATTEMPTS = 5


@dataclass(frozen=True)
class Holding:
    """A release that is to be held as soon as another one is proposed in its place."""

    release: record.Release
    reason: str


def find(repository: Repository, name: str) -> dict[str, str]:
    """The open branches that shall be merged into an environment's, and their commits."""
    return awaited(repository.git, name)


def awaited(git: Git, name: str) -> dict[str, str]:
    """The same, of a repository that is only read."""
    tip = git.tip(environment.branch(name))
    has = git.tree(tip) if tip else None
    return {branch: commit for branch, commit in _branches(git, name).items() if git.tree(commit) != has}


def _branches(git: Git, name: str) -> dict[str, str]:
    """The branches that machines made for an environment, merged or not, and their commits."""
    found: dict[str, str] = {}
    for kind in KINDS:
        place = f"{kind}/{name}/"
        known = git.branches(place)
        found |= {branch: tip for branch, tip in known.items() if PROPOSAL.fullmatch(branch.removeprefix(place))}
    return found


def foreign(repository: Repository) -> list[str]:
    """Branches where those of machines are, of names that no machine gives; they are left alone."""
    ours = {branch for each in repository.policy.environments for branch in _branches(repository.git, each.name)}
    return sorted(branch for kind in KINDS for branch in repository.git.branches(f"{kind}/") if branch not in ours)


def withdraw_merged(repository: Repository, name: str, dry_run: bool) -> list[str]:
    """Close what the environment has already: somebody merged it with Git, by whatever way, and the branch was left."""
    left = sorted(set(_branches(repository.git, name)) - set(find(repository, name)))
    for branch in left if not dry_run else ():
        repository.forge.withdraw(branch, f"{environment.branch(name)} has what this proposes; nothing is left to do.")
    return left


def only(repository: Repository, name: str) -> tuple[str, str]:
    """The one branch that is proposed for an environment, and its commit.

    Raises:
        UserError: nothing is proposed, or more than one thing.
    """
    repository.tip(name)
    proposed = find(repository, name)
    if not proposed:
        raise UserError(f"nothing is proposed for {name}; `gitops-ml env promote {name}` proposes")
    if len(proposed) > 1:
        raise UserError(f"{len(proposed)} branches are proposed for {name}: {', '.join(proposed)}; promote again")
    return next(iter(proposed.items()))


def kind_of(branch: str) -> verify.Kind:
    """Whether a branch proposes a promotion or a rollback."""
    return "rollback" if branch.startswith("rollback/") else "promote"


def named(branch: str) -> str:
    """What a branch proposes, in words."""
    release = branch.rpartition("/")[2].partition("-")[0]
    return f"{'promote' if kind_of(branch) == 'promote' else 'roll back to'} {release}"


def propose(repository: Repository, branch: str, commit: str, hold: Holding | None) -> str:
    """Push a proposal's branch, and what is to be held with it, in one step.

    A branch that is there already with the same content on the same base is taken as it is.
    """
    git = repository.git
    for _ in range(ATTEMPTS):
        found = git.tip(branch)
        if found is not None and (git.tree(found), git.parents(found)) != (git.tree(commit), git.parents(commit)):
            raise UserError(
                f"origin has a branch {branch} with another content; look who made it, remove it, and try again"
            )
        wanted = {f"refs/heads/{branch}": commit} if found is None else {}
        if hold and (held := holds.added(git, hold.release, hold.reason, datetime.now(UTC))):
            wanted[f"refs/heads/{holds.BRANCH}"] = held
        try:
            if wanted:
                git.push_together(wanted)
        except RejectedError:
            # Somebody proposed the same, or held something, at the same time.
            git.fetch()
            continue
        return found or commit
    raise UserError(f"origin takes neither {branch} nor a hold: both changed each time that they were pushed")


def merge(repository: Repository, name: str, branch: str, commit: str) -> None:
    """Merge a proposal, if the environment is still what it follows.

    Raises:
        UserError: it has moved on, or the forge refuses.
    """
    try:
        repository.forge.merge(branch, environment.branch(name), commit)
    except RejectedError as error:
        raise UserError(
            f"{environment.branch(name)} has moved on while this was checked, so it was not merged; promote again"
        ) from error


def tell(repository: Repository, checked: verify.Verification) -> None:
    """Say on the forge what the checks of a proposal say."""
    state = "success" if checked.passes else "pending" if checked.waits else "failure"
    said = "; ".join(f"{check.name}: {check.sentence}" for check in checked.failures) or "every check holds"
    repository.forge.tell(checked.commit, state, said)
