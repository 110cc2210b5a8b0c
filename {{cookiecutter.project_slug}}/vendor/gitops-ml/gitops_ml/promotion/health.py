"""What the agent of each environment says: which release serves since when, and what did not work.

One branch an environment, written by its agent. A change of state is a commit; the same state, seen again, replaces it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.core.git import Git

PREFIX = "health/"
FILE = "health.json"
# How often an unchanged state is written again: well below what `silent_minutes` of an environment may be.
REFRESH = timedelta(minutes=10)


class Report(BaseModel):
    """health.json."""

    version: Literal[1] = 1
    state: Literal["healthy", "failed"]
    commit: str  # of the environment's branch, that the agent was to apply
    release: str | None  # that this commit names; None if it cannot be read
    serving: str | None  # the release that does serve
    since: datetime
    checked: datetime
    reason: str = ""


def latest(git: Git, environment: str) -> Report | None:
    """What the agent said last; None if it never did."""
    tip = git.tip(PREFIX + environment)
    return _read(git.read(tip, FILE), environment) if tip else None


def served(git: Git, environment: str) -> list[str]:
    """All releases that were healthy in an environment at some time, the newest first, each once."""
    tip = git.tip(PREFIX + environment)
    if tip is None:
        return []
    reports = [_read(content, environment) for content in git.read_all(f"{c}:{FILE}" for c in git.history(tip))]
    return list(dict.fromkeys(each.release for each in reports if each.release and each.state == "healthy"))


def write(git: Git, environment: str, report: Report) -> Report:
    """Say how it stands; returns what is now on the branch, with the time since when the state is the same."""
    tip, before = git.tip(PREFIX + environment), latest(git, environment)
    same = before is not None and _facts(before) == _facts(report)
    if same and before is not None:
        report = report.model_copy(update={"since": before.since})
        if report.checked - before.checked < REFRESH:
            return before
    tree = git.write({FILE: report.model_dump_json(indent=2).encode() + b"\n"})
    parents = git.parents(tip) if tip and same else [tip]
    what = f"{report.release} is healthy" if report.state == "healthy" else f"{report.release} failed: {report.reason}"
    commit = git.commit(tree, parents[0] if parents else None, what)
    git.push(commit, f"refs/heads/{PREFIX}{environment}", expected=tip)
    return report


def _facts(report: Report) -> tuple[str | None, ...]:
    return (report.state, report.commit, report.release, report.serving, report.reason)


def _read(content: bytes | None, environment: str) -> Report:
    try:
        return Report.model_validate_json(content or b"")
    except ValidationError as error:
        raise UserError(f"{FILE} on {PREFIX}{environment} cannot be read: {error.errors()[0]['msg']}") from error
