"""What serves where, what is pending, what is held, and how far the environments are apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx
from pydantic import BaseModel

from gitops_ml.core import windows
from gitops_ml.core.project import Environment
from gitops_ml.marks import freezes, holds
from gitops_ml.pages.verdicts import Says
from gitops_ml.promotion import health, proposals
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.git import MAIN
from gitops_ml.versions.objects import REMOTE

SECONDS = 5.0


class HostStatus(BaseModel):
    """What the agent of one host said last."""

    host: str
    state: str
    serving: str | None
    since: datetime
    heard: datetime


class EnvironmentStatus(BaseModel):
    """One environment."""

    name: str
    release: str | None  # that the branch names
    health: health.Health
    state: str  # the same as a sentence, as its agents say
    serving: str | None  # as its agents say; None too if they disagree
    since: datetime | None
    hosts: list[HostStatus]
    answers: str | None  # the release that its url says, if it has a url
    proposed: list[str]
    behind: int | None  # commits of main since the source commit of what serves
    frozen: freezes.Freeze | None = None
    opens: datetime | None = None  # when machines may promote here again; None if they may now

    @property
    def says(self) -> Says:
        """How it stands, in the tone in which all pages say it."""
        return Says(text=self.state, tone=health.TONES.get(self.health, "wait"))

    @property
    def awaited(self) -> list[str]:
        """What is proposed, in words: to promote 1a2b3c4d5e6f7a8b."""
        return [proposals.named(branch) for branch in self.proposed]


class Status(BaseModel):
    """The JSON that other programs read."""

    version: Literal[1] = 1
    newest: str | None
    environments: list[EnvironmentStatus]
    held: list[holds.Hold]
    foreign: list[str]  # tags and branches that look like ours, with why they are none

    def hold(self, release: str | None) -> holds.Hold | None:
        """The hold on a release, if there is one."""
        return next((each for each in self.held if each.release == release), None)


def read(repository: Repository) -> Status:
    """Ask Git, and each environment that has a url.

    Raises:
        UserError: a branch holds something that cannot be read.
    """
    releases, frozen = tags.listed(repository.git), freezes.read(repository.git)
    foreign = [f"{tag}: {why}" for tag, why in tags.foreign(repository.git).items()]
    foreign += [f"{branch}: no machine names a proposal so" for branch in proposals.foreign(repository)]
    return Status(
        newest=releases[0].release if releases else None,
        environments=[_environment(repository, each, frozen.get(each.name)) for each in repository.policy.environments],
        held=list(holds.read(repository.git).values()),
        foreign=foreign,
    )


def _environment(repository: Repository, settings: Environment, frozen: freezes.Freeze | None) -> EnvironmentStatus:
    git, name = repository.git, settings.name
    tip = git.tip(environment.branch(name))
    serving = environment.serving(git, tip) if tip else None
    said = health.reports(git, name)
    served = {report.serving for report in said}
    now, allowed = datetime.now(UTC), timedelta(minutes=settings.silent_minutes)
    found = health.standing(tip, said, now, allowed) if serving else _without_release(tip)
    return EnvironmentStatus(
        name=name,
        release=serving.release if serving else None,
        health=found[0],
        state=found[1],
        serving=served.pop() if len(served) == 1 else None,
        since=max((report.since for report in said), default=None),
        hosts=[
            HostStatus(
                host=report.host,
                state=health.standing(tip, [report], now, allowed)[1],
                serving=report.serving,
                since=report.since,
                heard=report.checked,
            )
            for report in said
        ],
        answers=answered(settings.url) if settings.url else None,
        proposed=sorted(proposals.find(repository, name)),
        behind=int(git.said("rev-list", "--count", f"{serving.commit}..refs/remotes/{REMOTE}/{MAIN}"))
        if serving
        else None,
        frozen=frozen,
        opens=_opens(settings, now),
    )


def _opens(settings: Environment, now: datetime) -> datetime | None:
    if not settings.windows or windows.is_open(settings.windows, now):
        return None
    return windows.next_opening(settings.windows, now)


def _without_release(tip: str | None) -> tuple[health.Health, str]:
    return ("no branch", "no branch") if tip is None else ("empty", "empty")


def answered(url: str) -> str:
    """The release that a running service says it is, or why it does not say."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/version", timeout=SECONDS, follow_redirects=True)
        return str(answer.raise_for_status().json()["release"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return f"no answer: {error or type(error).__name__}"
