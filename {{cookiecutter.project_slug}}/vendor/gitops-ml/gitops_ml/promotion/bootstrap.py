"""Creates the branches of environments, once; what comes onto them afterwards is promoted."""

from __future__ import annotations

from gitops_ml.core.errors import UserError
from gitops_ml.promotion import served
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.git import RejectedError


def bootstrap(repository: Repository, dry_run: bool = False) -> list[str]:
    """Create the branch of each environment that has none; returns their names.

    Raises:
        UserError: a branch is gone that had releases; a new one would make its history, and its champion, forgotten.
    """
    git = repository.git
    tags.trusted_keys(git)
    missing = [each.name for each in repository.policy.environments if git.tip(environment.branch(each.name)) is None]
    for name in missing:
        if history := served.read(git, name):
            last = history[-1]
            raise UserError(
                f"{environment.branch(name)} is gone from origin, and {last.release} served there; "
                f"restore it: `git push origin {last.commit}:refs/heads/{environment.branch(name)}`"
            )
    for name in missing if not dry_run else ():
        commit = git.commit(git.write(environment.empty(name)), None, f"Create environment {name}")
        try:
            git.push(commit, f"refs/heads/{environment.branch(name)}")
        except RejectedError:
            # Somebody else created it in the meantime.
            git.fetch()
            repository.tip(name)
    return missing
