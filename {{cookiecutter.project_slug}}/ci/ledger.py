"""The ledger: who put which release where, when, on which verdict; Git alone is asked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ci import record
from ci.errors import UserError
from ci.revision import Revision
from ci.run import run

PREFIX = "env/"
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


def read(root: Path) -> list[Entry]:
    """All entries of all environments, the newest first.

    Raises:
        UserError: an environment's branch holds a record that cannot be read.
    """
    entries = [entry for branch in _branches(root) for entry in _entries(root, *branch)]
    return sorted(entries, key=lambda entry: entry.when, reverse=True)


def _branches(root: Path) -> list[tuple[str, str]]:
    """Environments and the refs that hold them; where both exist, what `origin` has counts."""
    found: dict[str, str] = {}
    for place in ("refs/heads/", "refs/remotes/origin/"):
        listed = run("git", "for-each-ref", "--format=%(refname)", f"{place}{PREFIX}", cwd=root)
        found |= {ref.removeprefix(place + PREFIX): ref for ref in listed.splitlines()}
    return sorted(found.items())


def _entries(root: Path, environment: str, ref: str) -> list[Entry]:
    log = run("git", "log", "--first-parent", "--reverse", f"--format=%H{FIELD}%cI{FIELD}%an", ref, cwd=root)
    entries: list[Entry] = []
    for line in log.splitlines():
        commit, when, who = line.split(FIELD)
        text = Revision(root, commit).text(record.FILE)
        if text is None:
            continue
        try:
            release = record.Release.model_validate_json(text)
        except ValidationError as error:
            raise UserError(
                f"{record.FILE} of {commit[:12]} on {PREFIX}{environment} cannot be read: {error}"
            ) from error
        served = {entry.release for entry in entries}
        entries.append(
            Entry(
                environment=environment,
                when=datetime.fromisoformat(when),
                who=who,
                action="roll back" if release.release in served else "promote",
                release=release.release,
                model=release.model,
                verdict=release.verdict,
                commit=commit,
            )
        )
    return entries
