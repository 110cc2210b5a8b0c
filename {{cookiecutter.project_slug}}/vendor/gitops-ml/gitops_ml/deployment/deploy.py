"""The agent's one step: have an environment serve what its branch says, or keep what serves and say why not.

Fetch, check that the branch's history goes on from what was applied, verify, start the new release beside the old one,
wait until it is ready and says that it is the right one, switch, let the old one finish, report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel

from gitops_ml.core.errors import UserError, said
from gitops_ml.core.project import Environment
from gitops_ml.deployment import rollout
from gitops_ml.host import keeper
from gitops_ml.host.host import Host, await_ready
from gitops_ml.marks import holds
from gitops_ml.promotion import health, served, verify
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions import environment

FAILED = 3
# So long whoever wants to end everything waits for a step that goes on.
STEP_SECONDS = 60


class Deployment(BaseModel):
    """What a step found and did; the JSON that other programs read."""

    version: Literal[1] = 1
    environment: str
    state: Literal["healthy", "failed", "empty", "in rollout", "kept"]
    commit: str
    release: str | None = None
    serving: str | None = None
    changed: bool = False
    dry_run: bool = False
    reason: str = ""

    @property
    def exit_code(self) -> int:
        """0 if what the branch says serves; 3 if it cannot, and the last good release, if there is one, goes on."""
        return FAILED if self.state in ("failed", "kept") else 0

    @property
    def sentence(self) -> str:
        """For the person at the command line."""
        serves = f"{self.environment} serves {self.serving or 'nothing'}"
        if self.state == "empty":
            return f"nothing was promoted to {self.environment} yet"
        if self.state == "in rollout":
            return f"{serves}; {self.release} is in rollout: {self.reason}"
        if self.state in ("failed", "kept"):
            return f"{serves}; {self.release or 'what its branch says'} cannot serve: {self.reason}"
        if self.dry_run and self.changed:
            return f"{serves}, and would serve {self.release}"
        return f"{serves}{' now' if self.changed else ' already'}"


def deploy(
    root: Path,
    name: str,
    host: Host,
    *,
    accept_rewritten: bool = False,
    known_as: str | None = None,
    dry_run: bool = False,
) -> Deployment:
    """Go one step; the agent is known by a name of its own from then on, if it is given one.

    Raises:
        UserError: Git does not answer, the system does not let us, or another agent works on the same folder; what
            serves goes on serving.
    """
    if dry_run:
        return _step(Repository.opened(root), name, host, accept_rewritten, dry_run)
    require_known(root, name, host)
    with _alone(host, 0):
        # Before anything that may fail or take long: what served before the host was restarted serves again. If it
        # cannot, what the branch says now may mend it.
        with suppress(UserError, OSError, psutil.Error):
            host.revive()
        repository = Repository.opened(root)
        if known_as:
            health.name(host.folder, repository.settings(name), known_as)
        return _step(repository, name, host, accept_rewritten, dry_run)


def require_known(root: Path, name: str, host: Host) -> None:
    """Have a place for what serves in an environment, if there is such an environment.

    Raises:
        UserError: project.yaml names no such environment, or nothing can be written there.
    """
    if not host.folder.exists():
        Repository.opened(root).settings(name)
        with _told(host):
            host.folder.mkdir(parents=True)


def stop(host: Host) -> list[str]:
    """End all that an agent started in a folder; returns what. The next step starts it again.

    Raises:
        UserError: an agent watches there, or one is at work for longer than a step is waited for.
    """
    if not host.folder.exists():
        return []
    with _told(host), keeper.watching(host), keeper.alone(host, STEP_SECONDS), _alone(host, STEP_SECONDS):
        return host.stop_all()


@contextmanager
def _alone(host: Host, seconds: float) -> Iterator[None]:
    """No other agent's step goes on in the folder meanwhile."""
    try:
        with _told(host), FileLock(host.folder / "lock").acquire(timeout=seconds):
            yield
    except Timeout as error:
        raise UserError(f"another agent is at work in {host.folder}; wait until its step is done, or end it") from error


@contextmanager
def _told(host: Host) -> Iterator[None]:
    """What the system refuses becomes a sentence."""
    try:
        yield
    except Timeout:
        raise
    except (OSError, psutil.Error) as error:
        raise UserError(f"the agent cannot work in {host.folder}: {said(error)}") from error


def _step(repository: Repository, name: str, host: Host, accept_rewritten: bool, dry_run: bool) -> Deployment:
    settings, tip = repository.settings(name), repository.tip(name)
    active = host.active
    found = Deployment(
        environment=name,
        state="failed",
        commit=tip,
        serving=active.release.release if active else None,
        dry_run=dry_run,
    )
    try:
        done = _applied(repository, settings, host, found, None if accept_rewritten or not active else active.commit)
    except (UserError, OSError, psutil.Error) as error:
        named = _named(repository, tip)
        done = found.model_copy(update={"release": named, "reason": said(error)})
    if not dry_run:
        _report(repository, settings, host, done)
    return done


def _applied(
    repository: Repository, settings: Environment, host: Host, found: Deployment, applied: str | None
) -> Deployment:
    """Apply the branch's tip, which must follow what was applied.

    Raises:
        UserError: it must not be applied, or cannot; nothing has changed then.
    """
    git, name, tip = repository.git, settings.name, found.commit
    if applied and not git.is_ancestor(applied, tip):
        raise UserError(
            f"the history of {environment.branch(name)} was rewritten: it does not hold {applied[:12]}, which was "
            "applied last; find out by whom, then deploy with --accept-rewritten"
        )
    named = environment.serving(git, tip)
    if named is None:
        return found.model_copy(update={"state": "empty", "reason": "nothing was promoted yet"})
    candidate = verify.require_applicable(repository, name, tip)
    release, changed = named.release, named.release != found.serving
    hold = holds.read(git).get(release)
    # What serves there is not refused to one more host because of a hold that came later.
    serves = served.releases(git, name)[:1] == [release]
    if hold and changed and not serves and settings.runner != "cluster":
        if not found.dry_run:
            host.end_rollout()
        raise UserError(f"{release} is on hold: {hold.reason}")
    if found.dry_run:
        return found.model_copy(update={"state": "healthy", "release": release, "changed": changed})
    if settings.runner == "cluster":
        # Argo CD or Flux apply the branch; what is to be done here is to wait for it.
        await_ready(settings.url or "", candidate.release, lambda: None, settings.ready_seconds)
    elif settings.rollout and rollout.is_due(repository, name, host, candidate.release, tip):
        state, reason = rollout.step(repository, settings, host, candidate, tip)
        if state != "complete":
            return found.model_copy(update={"state": state, "release": release, "reason": reason})
    if settings.runner != "cluster":
        host.serve(candidate.release, tip, settings, environment.render(git, candidate, name))
    return found.model_copy(update={"state": "healthy", "release": release, "serving": release, "changed": changed})


def _named(repository: Repository, tip: str) -> str | None:
    try:
        named = environment.serving(repository.git, tip)
    except UserError:
        return None
    return named.release if named else None


def _report(repository: Repository, settings: Environment, host: Host, done: Deployment) -> None:
    if done.state == "empty":
        return
    git, name, clock = repository.git, health.host_of(host.folder, settings), health.Clock.here()
    try:
        if done.state == "healthy" and done.release is not None:
            entry = served.Entry(release=done.release, commit=done.commit, host=name, since=clock.now)
            served.add(git, done.environment, entry)
        facts = done.model_dump(include=set(health.State.model_fields))
        health.write(git, settings, name, health.State(**facts), clock)
    except UserError as error:
        raise UserError(
            f"{done.serving or 'nothing'} serves in {done.environment}, but this cannot be reported: {error}"
        ) from error
