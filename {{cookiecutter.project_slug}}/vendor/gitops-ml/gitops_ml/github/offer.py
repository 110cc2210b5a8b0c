"""Tells GitHub of the template's newer version: by a pull request where an app may push workflows, else by one issue.

GitHub refuses a push of workflow files that main does not have from a workflow's own token, and a newer template may
change them. The token of a GitHub App that has the permission may push them, and starts the pull request's checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.pages import markup
from gitops_ml.update import proposal, update, words
from gitops_ml.update.proposal import Proposal
from gitops_ml.versions import forge
from gitops_ml.versions.forge import GitHub
from gitops_ml.versions.git import Git

LABEL = "template"
# By which an issue is known for one of these: a title may be anybody's.
MARKER = "<!-- gitops-ml: a newer version of the template -->"
LENGTH = 60_000


class Offer(BaseModel):
    """What was done; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["up to date", "pull request", "issue", "declined"]
    new: str
    where: str | None = None
    sentence: str


class _Pull(BaseModel):
    html_url: str
    merged_at: str | None = None


def offer(root: Path) -> Offer:
    """Propose what `gitops-ml repo update --no-push` has kept, or say that there is nothing to propose.

    What the team has closed is not opened again for the same version.

    Raises:
        UserError: nothing was kept, `origin` is no GitHub, or GitHub does not answer, or refuses.
    """
    git = Git(root)
    made = proposal.read(root / update.KEPT)
    git.fetch()
    hub = _hub(git)
    if made.outcome.state == "up to date":
        closed = _close(hub, f"This project has version {made.outcome.new} now.")
        said = made.outcome.sentence + (f"; {closed} is closed" if closed else "")
        return Offer(state="up to date", new=made.outcome.new, where=closed, sentence=said)
    if (token := actions.app_token()) is None:
        return _in_an_issue(hub, made)
    actions.authenticate(token)
    app = _hub(git)
    if declined := _declined(app, made.outcome.branch or ""):
        said = f"{declined} was closed, so version {made.outcome.new} is not proposed again; `make update` does it"
        return Offer(state="declined", new=made.outcome.new, where=declined, sentence=said)
    done = proposal.propose(git, app, made, root / update.KEPT)
    _close(hub, f"{done.where} proposes it.")
    return Offer(state="pull request", new=done.new, where=done.where, sentence=done.sentence)


def _hub(git: Git) -> GitHub:
    hub = forge.of(git)
    if not isinstance(hub, GitHub):
        raise UserError("issues and apps are GitHub's, and origin is elsewhere; `make update` proposes the same here")
    return hub


def _declined(hub: GitHub, branch: str) -> str | None:
    """The pull request of a branch that was closed without being merged, if none of it is open."""
    params = {"head": f"{hub.owner}:{branch}", "per_page": "100"}
    if hub.held(list[_Pull], "GET", "pulls", params=params | {"state": "open"}):
        return None
    closed = hub.held(list[_Pull], "GET", "pulls", params=params | {"state": "closed"})
    return closed[0].html_url if closed and closed[0].merged_at is None else None


def _in_an_issue(hub: GitHub, made: Proposal) -> Offer:
    new, title = made.outcome.new, f"Version {made.outcome.new} of the template"
    body = _body(made)
    if known := _own(hub, "open"):
        issue, *_ = known
        if (issue["title"], issue["body"]) != (title, body):
            hub.ask("PATCH", f"issues/{issue['number']}", {"title": title, "body": body})
        done = "says so"
    elif declined := [each for each in _own(hub, "closed") if each["title"] == title]:
        where = str(declined[0]["html_url"])
        said = f"{where} was closed, so no issue is opened again for version {new}; `make update` proposes it"
        return Offer(state="declined", new=new, where=where, sentence=said)
    else:
        issue = hub.ask("POST", "issues", {"title": title, "body": body, "labels": [LABEL]})
        done = "is open"
    said = f"version {new} of the template is there, no app is set up to propose it, and {issue['html_url']} {done}"
    return Offer(state="issue", new=new, where=str(issue["html_url"]), sentence=said)


def _own(hub: GitHub, state: str) -> list[dict[str, Any]]:
    """The issues that were opened here, the newest first."""
    listed = hub.ask("GET", "issues", params={"labels": LABEL, "state": state, "per_page": "100"})
    return [each for each in listed if (each["body"] or "").startswith(MARKER) and not each.get("pull_request")]


def _close(hub: GitHub, why: str) -> str | None:
    """Close the issue that was opened here, if one is open; where it is."""
    found = None
    for issue in _own(hub, "open"):
        hub.ask("POST", f"issues/{issue['number']}/comments", {"body": why})
        hub.ask("PATCH", f"issues/{issue['number']}", {"state": "closed", "state_reason": "completed"})
        found = str(issue["html_url"])
    return found


def _body(made: Proposal) -> str:
    """What the issue says: which version there is, what it asks of the team, and the command for a person."""
    done = made.outcome
    lines = [
        MARKER,
        f"This project has version {done.old} of its template, and version {done.new} is there. In a clone of this "
        "repository, this proposes it as a pull request, checked, trained and judged:",
        "",
        "    make update",
        "",
        words.vouched(done.verified),
        "",
    ]
    if done.conflicts:
        count = len(done.conflicts)
        lines += [f"{count} {'file' if count == 1 else 'files'} will be yours to settle, changed by both sides:"]
        lines += ["", *(f"- {markup.code(path, 200)}" for path in done.conflicts), ""]
    for check in done.checks:
        lines += [] if check.holds else [f"{check.name}: {markup.code(check.sentence, 300)}", ""]
    for version, text in made.musts.items():
        lines += [f"## What you must do for {version}", "", text, ""]
    if not made.musts:
        lines += ["The changelog asks nothing of you.", ""]
    lines += [
        "This is an issue and no pull request, since GitHub lets no workflow's own token push workflow files. With a "
        "GitHub App it opens the pull request itself: `gitops-ml repo doctor` says how to set one up.",
    ]
    return "\n".join(lines)[:LENGTH]
