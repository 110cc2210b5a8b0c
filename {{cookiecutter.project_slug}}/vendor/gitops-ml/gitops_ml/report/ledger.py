"""The ledger: who put which release where, when, on which verdict; Git alone is asked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from gitops_ml.core import record
from gitops_ml.core.environment import PREFIX
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import Git

FIELD = "\x1f"


class Entry(BaseModel):
    """One commit on an environment's branch."""

    environment: str
    when: datetime
    who: str
    action: str
    release: str
    model: str
    verdict: str
    commit: str

    @classmethod
    def unreadable(cls, environment: str, when: datetime, who: str, commit: str, reason: str) -> Entry:
        """A commit whose record cannot be read."""
        facts = {"release": "unreadable", "model": "", "verdict": reason, "action": "edit by hand"}
        return cls(environment=environment, when=when, who=who, commit=commit, **facts)


def read(root: Path) -> list[Entry]:
    """All entries of all environments, the newest first."""
    entries = [entry for branch in _branches(root) for entry in reversed(_entries(root, *branch))]
    # A stable order: two commits of one second stay in the order of their branch.
    return sorted(entries, key=lambda entry: entry.when, reverse=True)


def _branches(root: Path) -> list[tuple[str, str]]:
    """Environments and the tips of their branches; where both exist, what `origin` has counts."""
    git = Git(root)
    found = git.refs("refs/heads/", PREFIX) | git.branches(PREFIX)
    return sorted((branch.removeprefix(PREFIX), commit) for branch, commit in found.items())


def _entries(root: Path, environment: str, ref: str) -> list[Entry]:
    git = Git(root)
    log = git.said("log", "--first-parent", "--reverse", f"--format=%H{FIELD}%cI{FIELD}%an", ref)
    entries: list[Entry] = []
    for line in log.splitlines():
        commit, when, who = line.split(FIELD)
        content = git.read(commit, record.FILE)
        if content is None:
            continue
        moment = datetime.fromisoformat(when)
        try:
            release = record.read(content, commit[:12])
        except UserError as error:
            # What somebody did to the branch by hand belongs into the ledger as much as what machines did.
            entries.append(Entry.unreadable(environment, moment, who, commit, str(error)))
            continue
        entries.append(
            Entry(
                environment=environment,
                when=moment,
                who=who,
                action=_action(release.release, entries),
                release=release.release,
                model=release.model,
                verdict=release.verdict,
                commit=commit,
            )
        )
    return entries


def _action(release: str, before: list[Entry]) -> str:
    if before and before[-1].release == release:
        return "write again"
    return "roll back" if release in {entry.release for entry in before} else "promote"
