"""What serves where, what is pending, what is held, and how far the environments are apart."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import httpx
from pydantic import BaseModel

from gitops_ml.core import environment
from gitops_ml.core.git import MAIN, REMOTE
from gitops_ml.promotion import health, holds, promote
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags

SECONDS = 5.0


class EnvironmentStatus(BaseModel):
    """One environment."""

    name: str
    release: str | None  # that the branch names
    state: str  # as its agent says
    serving: str | None  # as its agent says
    since: datetime | None
    answers: str | None  # the release that its url says, if it has a url
    proposed: list[str]
    behind: int | None  # commits of main since the source commit of what serves


class Status(BaseModel):
    """The JSON that other programs read."""

    version: Literal[1] = 1
    newest: str | None
    environments: list[EnvironmentStatus]
    held: list[holds.Hold]


def read(repository: Repository) -> Status:
    """Ask Git, and each environment that has a url.

    Raises:
        UserError: a branch holds something that cannot be read.
    """
    releases = tags.listed(repository.git)
    return Status(
        newest=releases[0].release if releases else None,
        environments=[_environment(repository, each.name, each.url) for each in repository.policy.environments],
        held=list(holds.read(repository.git).values()),
    )


def _environment(repository: Repository, name: str, url: str | None) -> EnvironmentStatus:
    git = repository.git
    tip = git.tip(environment.branch(name))
    serving = environment.serving(git, tip) if tip else None
    report = health.latest(git, name)
    return EnvironmentStatus(
        name=name,
        release=serving.release if serving else None,
        state=_state(tip, report) if serving else "no branch" if tip is None else "empty",
        serving=report.serving if report else None,
        since=report.since if report else None,
        answers=answered(url) if url else None,
        proposed=sorted(promote.proposals(repository, name)),
        behind=int(git.said("rev-list", "--count", f"{serving.commit}..refs/remotes/{REMOTE}/{MAIN}"))
        if serving
        else None,
    )


def _state(tip: str | None, report: health.Report | None) -> str:
    if report is None or report.commit != tip:
        return "not applied yet"
    return report.state if report.state == "healthy" else f"failed: {report.reason}"


def answered(url: str) -> str:
    """The release that a running service says it is, or why it does not say."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/version", timeout=SECONDS, follow_redirects=True)
        return str(answer.raise_for_status().json()["release"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return f"no answer: {error or type(error).__name__}"
