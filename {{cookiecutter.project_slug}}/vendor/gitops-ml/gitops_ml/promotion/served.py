"""What served in each environment, in order: a branch an environment, which is only ever appended to.

It is what a rollback goes back to, so it is kept apart from what agents say now, and nothing is taken off it.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Environment
from gitops_ml.core.record import Release
from gitops_ml.promotion import health
from gitops_ml.release import tags
from gitops_ml.versions.git import Git, RejectedError

PREFIX = "served/"
FILE = "served.jsonl"
ATTEMPTS = 5


class Entry(BaseModel):
    """One line of served.jsonl: a commit of the environment's branch that was healthy, and where first."""

    release: str
    commit: str
    host: str
    since: datetime


def read(git: Git, environment: str) -> list[Entry]:
    """All that served in an environment, the first one first.

    Raises:
        UserError: the branch holds a line that cannot be read; what served before it would be forgotten.
    """
    tip = git.tip(PREFIX + environment)
    if tip is None:
        return _before_there_was_the_branch(git, environment)
    content = git.read(tip, FILE)
    if content is None:
        raise UserError(f"{PREFIX}{environment} has no {FILE}: what served there is not known; restore it from its log")
    try:
        return [Entry.model_validate_json(line) for line in content.splitlines()]
    except ValidationError as error:
        raise UserError(f"{FILE} on {PREFIX}{environment} cannot be read: {error.errors()[0]['msg']}") from error


def releases(git: Git, environment: str) -> list[str]:
    """The releases that served in an environment, the last one first, each once."""
    return list(dict.fromkeys(entry.release for entry in reversed(read(git, environment))))


def completed(git: Git, environment: Environment, named: Release | None) -> Release | None:
    """The release that answers everybody: the one that the branch names, or until that is rolled out the last one.

    Raises:
        UserError: something cannot be read.
    """
    if named is None or environment.rollout is None:
        return named
    before = read(git, environment.name)
    if not before or before[-1].release == named.release:
        return named
    return tags.find(git, before[-1].release).release


def add(git: Git, environment: str, entry: Entry) -> None:
    """Append what serves now, unless this commit of the environment is there already.

    Raises:
        UserError: the branch does not take it, or cannot be read.
    """
    ref = PREFIX + environment
    for _ in range(ATTEMPTS):
        known = read(git, environment)
        tip = git.tip(ref)
        if tip is not None and entry.commit in {each.commit for each in known}:
            return
        if entry.commit not in {each.commit for each in known}:
            known.append(entry)
        content = "".join(f"{each.model_dump_json()}\n" for each in known).encode()
        commit = git.commit(git.write({FILE: content}), tip, f"{entry.release} serves on {entry.host}", machine=True)
        try:
            git.push(commit, f"refs/heads/{ref}")
        except RejectedError:
            # The agent of another host was quicker.
            git.fetch()
            continue
        return
    raise UserError(f"the branch {ref} does not take a change; is it protected against whoever runs this?")


def _before_there_was_the_branch(git: Git, environment: str) -> list[Entry]:
    """What agents of version 0.1 wrote down; the first entry that is added takes it over."""
    reports = health.before_hosts_had_names(git, environment)
    entries = [
        Entry(release=each.release, commit=each.commit, host=each.host, since=each.since)
        for each in reversed(reports)
        if each.release and each.state == "healthy"
    ]
    return list({entry.commit: entry for entry in entries}.values())
