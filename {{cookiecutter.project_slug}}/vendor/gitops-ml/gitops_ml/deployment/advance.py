"""What follows by itself: the next environment's promotion, the verdict on what waits, and the agent's word."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Environment
from gitops_ml.deployment import deploy
from gitops_ml.host.host import Host
from gitops_ml.promotion import health, promote, proposals
from gitops_ml.promotion.outcome import Outcome
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions import environment

# How often to look again at what an agent says.
LOOK_SECONDS = 5.0


def advance(repository: Repository, after: str | None = None, dry_run: bool = False) -> Outcome | None:
    """Propose for the environment that comes after one, or for the first one, what is to go there next.

    None if no environment comes after.

    Raises:
        UserError: there is no such environment, or nothing to promote.
    """
    names = [each.name for each in repository.policy.environments]
    position = 0
    if after is not None:
        repository.settings(after)
        position = names.index(after) + 1
    return promote.promote(repository, names[position], dry_run=dry_run) if position < len(names) else None


def settle(repository: Repository) -> list[Outcome]:
    """Look again at everything that is proposed: say what holds now, and merge what needs nobody's approval.

    Raises:
        UserError: two things are proposed for one environment, or something cannot be read.
    """
    done = []
    for each in repository.policy.environments:
        if back := _back(repository, each):
            done.append(back)
            continue
        proposals.withdraw_merged(repository, each.name, dry_run=False)
        if not proposals.find(repository, each.name):
            continue
        before = repository.before(each.name)
        if before is not None and before.runner == "cluster":
            # Nobody else says how it stands there, and its soak is what was said.
            root = repository.git.root
            deploy.deploy(root, before.name, Host(root, root / ".deploy" / before.name))
        done.append(promote.merge(repository, each.name, settling=True))
    return done


def _back(repository: Repository, settings: Environment) -> Outcome | None:
    """Propose to go back where a rollout ended without the new release, which is held; None if there is no such."""
    tip = repository.git.tip(environment.branch(settings.name)) if settings.rollout else None
    said = health.reports(repository.git, settings.name) if tip else []
    kept = next((each for each in said if each.state == "kept" and each.commit == tip), None)
    return promote.rollback(repository, settings.name, reason=kept.reason) if kept else None


def await_agent(root: Path, name: str, minutes: float, tell: Callable[[str], None]) -> deploy.Deployment:
    """Wait until an environment's agent has dealt with the tip of its branch; `tell` gets each new thing it says.

    Argo CD and Flux say nothing themselves, so what a cluster serves is asked and reported here.

    Raises:
        UserError: there is no such environment, or its agent says nothing about the tip in time.
    """
    give_up = time.monotonic() + minutes * 60
    said = ""
    while True:
        repository = Repository.opened(root)
        tip = repository.tip(name)
        if environment.is_empty(repository.git, tip):
            return deploy.Deployment(environment=name, state="empty", commit=tip)
        if repository.settings(name).runner == "cluster":
            done = deploy.deploy(root, name, Host(root, root / ".deploy" / name))
            if done.state == "healthy" or time.monotonic() > give_up:
                return done
        else:
            now, allowed = datetime.now(UTC), timedelta(minutes=repository.settings(name).silent_minutes)
            heard = [each for each in health.reports(repository.git, name) if not each.silent(now, allowed)]
            dealt = [each for each in heard if each.commit == tip]
            failed = [each for each in dealt if each.state in ("failed", "kept")]
            # A rollout takes as long as its rows; whoever waits for it need not stand here.
            failed += [each for each in dealt if each.state == "in rollout"]
            if failed or (dealt and dealt == heard):
                return _of(name, (failed or dealt)[0])
        if (waits := f"waiting for the agent of {name} to deal with {tip[:12]}") != said:
            tell(waits)
            said = waits
        if time.monotonic() > give_up:
            raise UserError(
                f"the agent of {name} says nothing about {tip[:12]} after {minutes:g} minutes; is it running there? "
                f"`gitops-ml host deploy {name}` on its host is one step of it"
            )
        time.sleep(LOOK_SECONDS)


def _of(name: str, report: health.Report) -> deploy.Deployment:
    return deploy.Deployment(
        environment=name,
        state=report.state,
        commit=report.commit,
        release=report.release,
        serving=report.serving,
        reason=report.reason,
    )
