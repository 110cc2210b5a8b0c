"""What an update proposes, kept in a folder between working it out and pushing it.

Whoever works it out runs the template's own code, its hooks, and need not be whoever may push: a workflow has a job for
each.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.update import people
from gitops_ml.update.bakes import BRANCH
from gitops_ml.update.checks import Check
from gitops_ml.update.record import numbered
from gitops_ml.update.signed import UNKNOWN, Verified
from gitops_ml.versions.forge import Forge
from gitops_ml.versions.git import MAIN, Git

FILE, COMMITS = "proposal.json", "commits.bundle"
MADE = {"update": "refs/update/made", "bakes": f"refs/{BRANCH}/made"}
BRANCHES = "update/v"


class Updating(BaseModel):
    """What came of it; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["up to date", "conflicts", "failed", "open"]
    old: str
    new: str
    branch: str | None = None
    commit: str | None = None
    where: str | None = None
    verified: Verified = UNKNOWN
    conflicts: list[str] = []
    deleted: list[str] = []
    replaced: list[str] = []
    checks: list[Check] = []

    @property
    def sentence(self) -> str:
        """For the person at the command line."""
        match self.state:
            case "up to date":
                return f"this project is up to date: it has version {self.new} of the template"
            case "conflicts":
                return (
                    f"{self.where}: {len(self.conflicts)} files are yours to settle: {', '.join(self.conflicts)}; "
                    f"`git fetch`, `git switch {self.branch}`, settle what stands between the markers, commit, push, "
                    "then run this again"
                )
            case "failed":
                failed = ", ".join(check.name for check in self.checks if not check.holds)
                return (
                    f"{self.where} is open, and does not pass: {failed}; mend it on {self.branch}, push, run this again"
                )
            case _:
                return f"{self.where} is open: from {self.old} to {self.new}"

    @property
    def kept(self) -> str:
        """The same where nothing was pushed."""
        if self.state == "up to date":
            return self.sentence
        settled = f"; {len(self.conflicts)} files would be yours to settle" if self.conflicts else ""
        return f"nothing was pushed: {self.branch}, from {self.old} to {self.new}, is kept{settled}"


class Proposal(BaseModel):
    """A branch to be pushed, and what is to be said of it.

    Attributes:
        outcome: what came of it; where it is open is known afterwards.
        title: of the pull request.
        body: of the pull request, Markdown.
        musts: what each version asks of the team, in the changelog's words.
        baked: the commit of the branch of bakes.
        before: what the branch was when this was worked out; None if there was none.
    """

    outcome: Updating
    title: str = ""
    body: str = ""
    musts: dict[str, str] = {}
    baked: str = ""
    before: str | None = None


def keep(copy: Git, made: Proposal, main: str, folder: Path) -> Proposal:
    """Write a proposal and its commits into a folder, which is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    if made.outcome.commit:
        for ref, commit in zip(MADE.values(), (made.outcome.commit, made.baked), strict=True):
            copy.said("update-ref", ref, commit)
        copy.said("bundle", "create", "--quiet", str(folder / COMMITS), *MADE.values(), f"^{main}")
    (folder / FILE).write_text(made.model_dump_json(indent=2) + "\n")
    return made


def read(folder: Path) -> Proposal:
    """What was kept in a folder.

    Raises:
        UserError: there is nothing, or it is damaged.
    """
    try:
        return Proposal.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError as error:
        raise UserError("no update is worked out here: `gitops-ml repo update --no-check --no-push`") from error
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise UserError(f"{folder / FILE} is damaged ({said}); run `gitops-ml repo update --no-push` again") from error


def push(git: Git, made: Proposal, folder: Path) -> str:
    """Bring the commits here and to `origin`, from where the credentials are; the commit that the branch has then.

    Raises:
        UserError: the branch has another name or content than an update's, or moved on meanwhile.
    """
    branch, commit = made.outcome.branch or "", made.outcome.commit or ""
    if not re.fullmatch(rf"{BRANCHES}[\w.-]+", branch):
        raise UserError(f"{folder / FILE} names the branch {branch!r}, which is no update's")
    git.said("fetch", "--quiet", "--no-tags", str((folder / COMMITS).resolve()), *MADE.values())
    git.push(made.baked, f"refs/heads/{BRANCH}")
    if made.before and (git.tree(made.before), git.parents(made.before)) == (git.tree(commit), git.parents(commit)):
        return made.before
    git.push(commit, f"refs/heads/{branch}", expected=made.before)
    return commit


def propose(git: Git, hub: Forge, made: Proposal, folder: Path) -> Updating:
    """Push what was worked out, and open its pull request or bring it up to date; older ones of machines are closed."""
    commit = push(git, made, folder)
    branch = made.outcome.branch or ""
    where = hub.propose(branch, MAIN, made.title, made.body)
    for each in git.branches(BRANCHES):
        older = numbered(each.removeprefix(BRANCHES)) < numbered(made.outcome.new)
        tip = git.tip(each) or ""
        if older and people.of(git, each) is None and not git.is_ancestor(tip, git.tip(MAIN) or ""):
            hub.withdraw(each, f"{where} brings a newer version of the template.")
    return made.outcome.model_copy(update={"commit": commit, "where": where})
