"""How far the template's version that a project was made from is behind the newest one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gitops_ml.core.errors import UserError
from gitops_ml.fleet.clone import LISTED, Clone, asking
from gitops_ml.fleet.content import Made
from gitops_ml.fleet.listing import Source
from gitops_ml.update import record
from gitops_ml.update.record import Record
from gitops_ml.update.template import Template, Version

HASH = re.compile("[0-9a-f]{7,64}")


class Templates:
    """The versions of the template, as far as somebody said where they are."""

    def __init__(self, here: Template | None) -> None:
        """Find the newest one."""
        self.here = here
        self.newest = here.newest() if here else None
        # Many projects are of the same few.
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def made(self, git: Clone, main: str) -> Made:
        """What a project was made from, and how far that is behind."""
        try:
            found = record.read(git, main)
        except UserError as error:
            return Made(unknown=str(error))
        if found is None:
            return Made(unknown=f"not known: main has no {record.FILE}")
        made = Made(version=found.version, commit=found.commit)
        if self.here is None or self.newest is None:
            return made.model_copy(update={"unknown": "how far behind is not known: no template was named"})
        key = (found.version, found.commit)
        if key not in self._known:
            self._known[key] = _behind(self.here, self.newest, found)
        return made.model_copy(update=self._known[key])


def opened(source: Source | None, cache: Path, folder: Path, deadline: float) -> Template | None:
    """The template with all of its history, from which it is told how much there is between two versions.

    Raises:
        UserError: it cannot be read, or is no template.
    """
    if source is None:
        return None
    named = asking(source, cache, deadline)
    git = Clone(folder / "fetched.git", named.deadline, named.env)
    named.said("init", "--quiet", "--bare", str(git.root))
    what = ("+HEAD:refs/heads/newest", "+refs/tags/v*:refs/tags/v*")
    git.said("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", LISTED, *what)
    git.said("symbolic-ref", "HEAD", "refs/heads/newest")
    return Template(str(git.root), folder / "template.git")


def _behind(here: Template, newest: Version, found: Record) -> dict[str, Any]:
    is_hash = HASH.fullmatch(found.commit)
    commit = here.git.commit_of(f"{found.commit}^{{commit}}") if is_hash else None
    try:
        old = here.named(found.version) if found.version else here.at(commit or "")
    except UserError:
        old = Version(found.version, commit or "")
    if not old.number:
        return {"unknown": "how far behind is not known: the template has no such version"}
    commits = int(here.git.said("rev-list", "--count", f"{commit}..{newest.commit}")) if commit else None
    return {
        "version": old.name,
        "newest": newest.name,
        "versions": len(here.changes(old, newest)),
        "commits": commits,
    }
