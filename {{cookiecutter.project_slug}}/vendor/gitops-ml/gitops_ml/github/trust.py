"""The status `trust`: what in a change decides about trust or quality, and whom that asks for.

A change can edit the workflow that judges it. This is computed from Git's objects alone, by main's code, in a workflow
that GitHub takes from main, and so says the same whatever the change does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.report import decisive, render
from gitops_ml.report.content import Decisive, Report
from gitops_ml.versions import forge
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import REMOTE

CONTEXT = "trust"


class Told(BaseModel):
    """What is said of a change; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["success", "failure"]
    sentence: str
    commit: str
    changes: list[Decisive]
    markdown: str


def look(root: Path, base: str, head: str) -> Told:
    """What merging a commit into another one changes of what decides. Nothing is told to anybody.

    Raises:
        UserError: one of the two is not here.
    """
    git, settings = Git(root), project.read(root)
    # What would be merged is what is here; what it would be merged into, what everybody has.
    main, commit = git.tip(base) or git.commit_of(base), git.commit_of(head) or git.tip(head)
    if main is None or commit is None:
        raise UserError(f"there is no commit or branch {head if main else base!r} here")
    found = decisive.changes(git, *decisive.merged(git, main, commit), main)
    report = Report(title=settings.title, branch=head, base=main, commit=commit, changed=False, decisive=found)
    unreadable = [f"{each.path} is {each.after}" for each in found if not each.readable]
    if unreadable:
        sentence = "; ".join(unreadable)
    elif not found:
        sentence = "nothing that decides about trust or quality changes"
    else:
        sentence = f"{asks(report, settings)}: {', '.join(dict.fromkeys(each.what for each in found))}"
    return Told(
        state="failure" if unreadable else "success",
        sentence=sentence,
        commit=commit,
        changes=found,
        markdown=render.trust(report) if found else f"{sentence[0].upper()}{sentence[1:]}.\n",
    )


def asks(report: Report, settings: project.Project) -> str:
    """Whom a change of what decides asks for."""
    if settings.pull_requests.approvals == 0:
        return "asks for nobody else, since pull_requests.approvals is 0"
    return f"asks for {', '.join(report.asked)}" if report.asked else "asks for nobody whom CODEOWNERS of main names"


def publish(root: Path, number: int, base: str, head: str) -> Told | None:
    """Fetch the objects of a pull request's commit, without checking it out, and set its status.

    None if the pull request has moved on in the meantime: the run of its newer commit says it.

    Raises:
        UserError: GitHub does not answer or refuses.
    """
    git = Git(root)
    hub = forge.of(git)
    git.said("fetch", "--quiet", "--no-tags", REMOTE, f"refs/pull/{number}/head")
    if git.commit_of(head) is None:
        return None
    told = look(root, base, head)
    hub.tell(told.commit, told.state, told.sentence, CONTEXT)
    return told
