"""What the agents of each environment say now: which release serves since when, and what did not work.

One branch an agent. A change of state is a commit; the same state, seen again, replaces it. Why something cannot serve
is no part of the state, since programs say the same in other words each time. Nothing is lost with such a branch: what
served before stands on one of its own (see `served`).

Clocks: how long a state has lasted is measured by its host alone, on the clock since boot, which nobody sets. So no
clock that is wrong makes a soak shorter, nor one that was corrected makes it longer. Two machines' clocks are compared
for one question only, whether an agent has fallen silent, and where they are apart, that is said.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.pages.words import Tone
from gitops_ml.versions.git import Git, RejectedError

if TYPE_CHECKING:
    from gitops_ml.core.project import Environment

PREFIX = "agents/"
# One branch an environment, of which version 0.1 did not know which host wrote it.
OLD_PREFIX = "health/"
OLD_HOST = "unnamed"
FILE = "health.json"
# In an agent's folder: what it is called, if it was given a name.
NAME = "name"
CLUSTER = "cluster"
ATTEMPTS = 5
# What an agent may be called, and what only some are.
NAMED = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
RESERVED = (CLUSTER, OLD_HOST)
# How often an unchanged state is written again: well below what `silent_minutes` of an environment may be.
REFRESH = timedelta(minutes=10)
# Two hosts' clocks may differ by so much without a word.
SKEW = timedelta(minutes=5)
BOOT = Path("/proc/sys/kernel/random/boot_id")

Health = Literal["healthy", "failed", "in rollout", "not applied yet", "hosts disagree", "silent", "empty", "no branch"]
TONES: dict[Health, Tone] = {"healthy": "good", "failed": "bad", "empty": "plain", "no branch": "plain"}


class State(BaseModel):
    """What an agent found and did."""

    # In rollout: the new release is judged beside the one that serves. Kept: it was, and the other one goes on.
    state: Literal["healthy", "failed", "in rollout", "kept"]
    commit: str  # of the environment's branch, that the agent was to apply
    release: str | None  # that this commit names; None if it cannot be read
    serving: str | None  # the release that does serve
    reason: str = ""


class Report(State):
    """health.json."""

    version: Literal[1, 2] = 2
    host: str = OLD_HOST
    since: datetime
    checked: datetime
    lasted: float = 0.0  # seconds in this state, of which the agent has seen beginning and end
    boot: str = ""  # of the host, in which `uptime` counts
    uptime: float = 0.0  # seconds

    def silent(self, now: datetime, allowed: timedelta) -> bool:
        """Whether the agent has said nothing for longer than it may."""
        return now - self.checked > allowed

    def ahead(self, now: datetime) -> bool:
        """Whether this was said at a time that is still to come."""
        return self.checked - now > SKEW


@dataclass(frozen=True)
class Clock:
    """The time of day, which people and networks set, and the seconds since boot, which nobody does."""

    now: datetime
    boot: str
    uptime: float

    @classmethod
    def here(cls) -> Clock:
        """This machine's."""
        boot = BOOT.read_text().strip() if BOOT.exists() else ""
        return cls(datetime.now(UTC).replace(microsecond=0), boot, time.monotonic())


def name(folder: Path, settings: Environment, given: str) -> None:
    """Have the agent of a folder call itself so, whatever its machine is called: a container has a new name each time.

    Raises:
        UserError: the environment is a cluster, whose agents have one name.
    """
    if settings.runner == "cluster":
        raise UserError(f"{settings.name} is a cluster, and whoever asks it speaks for it: deploy without --as")
    part = folder / f"{NAME}.part"
    part.write_text(f"{given}\n")
    part.replace(folder / NAME)


def host_of(folder: Path, settings: Environment) -> str:
    """What an agent calls itself: as it was named, or its machine, and which of the agents there.

    A cluster is one whoever asks it.
    """
    if settings.runner == "cluster":
        return CLUSTER
    with suppress(FileNotFoundError):
        return (folder / NAME).read_text().strip()
    machine = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")
    return f"{machine or 'host'}-{hashlib.sha256(str(folder).encode()).hexdigest()[:4]}"


def reports(git: Git, environment: str) -> list[Report]:
    """What each agent of an environment said last, by the names of their hosts.

    Raises:
        UserError: one of their branches cannot be read.
    """
    tips = git.branches(f"{PREFIX}{environment}/")
    said = [_read(git.read(tip, FILE), branch) for branch, tip in sorted(tips.items())]
    return said or before_hosts_had_names(git, environment)[:1]


def standing(tip: str | None, said: list[Report], now: datetime, allowed: timedelta) -> tuple[Health, str]:
    """What agents say of the tip, the worst first, and which of them say nothing any more; in a word and a sentence."""
    found: Health
    if all(report.commit != tip for report in said):
        found = state = "not applied yet"
    elif failed := [report for report in said if report.commit == tip and report.state in ("failed", "kept")]:
        found, state = "failed", f"failed: {failed[0].reason}"
    elif rolling := [report for report in said if report.commit == tip and report.state == "in rollout"]:
        found, state = "in rollout", f"{rolling[0].release} is in rollout: {' '.join(rolling[0].reason.split())}"
    elif late := [report for report in said if report.commit != tip]:
        found = "hosts disagree"
        state = f"hosts disagree: {', '.join(f'{each.host} serves {each.serving}' for each in late)}"
    else:
        found = state = "healthy"
    silent = [report for report in said if report.silent(now, allowed)]
    heard = ", ".join(f"{each.host} was last heard {each.checked:%Y-%m-%d %H:%M}" for each in silent)
    if not silent:
        return found, state
    return "silent" if found == "healthy" else found, f"{state}; {heard}"


def latest(git: Git, environment: str, host: str) -> Report | None:
    """What one agent said last; None if it never did."""
    branch = f"{PREFIX}{environment}/{host}"
    tip = git.tip(branch)
    return _read(git.read(tip, FILE), branch) if tip else None


def before_hosts_had_names(git: Git, environment: str) -> list[Report]:
    """All that agents of version 0.1 said, the newest first."""
    branch = OLD_PREFIX + environment
    tip = git.tip(branch)
    if tip is None:
        return []
    said = [_read(content, branch) for content in git.read_all(f"{each}:{FILE}" for each in git.history(tip))]
    return [each.model_copy(update={"lasted": (each.checked - each.since).total_seconds()}) for each in said]


def write(git: Git, settings: Environment, host: str, state: State, clock: Clock | None = None) -> Report:
    """Say how it stands on a host; returns what is now on its branch.

    Raises:
        UserError: the branch does not take it, or cannot be read.
    """
    clock, branch = clock or Clock.here(), f"{PREFIX}{settings.name}/{host}"
    for _ in range(ATTEMPTS):
        tip, before = git.tip(branch), latest(git, settings.name, host)
        same = before is not None and _facts(before) == _facts(state)
        report = _next(settings, host, state, clock, before if same else None)
        if report == before:
            return report
        tree = git.write({FILE: report.model_dump_json(indent=2).encode() + b"\n"})
        parents = git.parents(tip) if tip and same else [tip]
        found = f"is {report.state}" if report.state in ("healthy", "in rollout") else f"failed: {report.reason}"
        commit = git.commit(tree, parents[0] if parents else None, f"{report.release} {found}", machine=True)
        try:
            git.push(commit, f"refs/heads/{branch}", expected=tip)
        except RejectedError:
            # Two jobs that ask the same cluster.
            git.fetch()
            continue
        return report
    raise UserError(f"the branch {branch} does not take a change; is it protected against whoever runs this?")


def _next(settings: Environment, host: str, state: State, clock: Clock, before: Report | None) -> Report:
    """What is to be said after a report of the same state, or the first of a new one; that report, if nothing is."""
    report = Report(
        **state.model_dump(), host=host, since=clock.now, checked=clock.now, boot=clock.boot, uptime=clock.uptime
    )
    if before is None:
        return report
    passed, silent = _passed(before, clock), timedelta(minutes=settings.silent_minutes)
    # Nobody knows how it stood while the agent was silent for too long. A cluster goes on by itself meanwhile, and is
    # asked by whoever comes along.
    known = min(passed, silent) if host == CLUSTER else passed if passed <= silent else timedelta()
    lasted = before.lasted + known.total_seconds()
    soaked = before.lasted < settings.soak_minutes * 60 <= lasted
    steady = abs((clock.now - before.checked) - passed) < SKEW and before.boot == clock.boot
    told = before.reason.partition("\n")[0] == state.reason.partition("\n")[0]
    if told and passed < REFRESH and steady and not soaked:
        return before
    return report.model_copy(update={"since": before.since, "lasted": lasted})


def forget(git: Git, environment: str, host: str) -> bool:
    """Wait no more for what a host says; False if it never said anything."""
    branch = f"{PREFIX}{environment}/{host}"
    known = git.tip(branch) is not None
    if known:
        git.delete(f"refs/heads/{branch}")
    return known


def _facts(state: State) -> dict[str, str | None]:
    return state.model_dump(include=set(State.model_fields) - {"reason"})


def _passed(before: Report, clock: Clock) -> timedelta:
    """The time since a report, as far as it can be known; after a boot it is not, but for a cluster, which has none."""
    if before.boot == clock.boot:
        return timedelta(seconds=max(clock.uptime - before.uptime, 0))
    return max(clock.now - before.checked, timedelta()) if before.host == CLUSTER else timedelta()


def _read(content: bytes | None, branch: str) -> Report:
    try:
        return Report.model_validate_json(content or b"")
    except ValidationError as error:
        raise UserError(f"{FILE} on {branch} cannot be read: {error.errors()[0]['msg']}") from error
