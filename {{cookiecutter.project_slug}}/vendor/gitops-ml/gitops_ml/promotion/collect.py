"""Finds what nothing needs any more in the storage: archives of releases, objects of DVC, and runs that it remembers.

Needed is whatever an environment serves, served lately, is to serve or may go back to; what a hold, an open branch or
main's younger history names; and everything that is young itself, since a branch that uses it may not be pushed yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

import yaml
from pydantic import BaseModel

from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import FOLDER, Stored, tracked
from gitops_ml.marks import holds
from gitops_ml.promotion import proposals, served
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions.git import MAIN, Git

# Of each environment, the releases that it may go back to.
KEPT = 5
OBJECTS = "files/md5"
Kind = Literal["archive", "object", "run"]
FOLDERS: dict[Kind, str] = {"archive": FOLDER, "object": OBJECTS, "run": "runs"}
WORDS: dict[Kind, str] = {"archive": "archives of releases", "object": "objects of DVC", "run": "remembered runs"}


class Unneeded(BaseModel):
    """One file of the storage that nothing needs."""

    kind: Kind
    path: str
    bytes: int


class Collection(BaseModel):
    """What nothing needs; the JSON that other programs read."""

    version: Literal[1] = 1
    removed: bool
    days: int
    kept: int  # files that something needs, or that are young
    found: list[Unneeded]

    def total(self, kind: Kind) -> tuple[int, int]:
        """How many files of a kind, and how many bytes."""
        own = [each.bytes for each in self.found if each.kind == kind]
        return len(own), sum(own)


def collect(repository: Repository, days: int, *, apply: bool, now: datetime | None = None) -> Collection:
    """Find what nothing needs, and remove it if that is to be applied.

    Raises:
        UserError: something cannot be read; nothing is removed then, since it may be needed.
    """
    storage, young = repository.storage, (now or datetime.now(UTC)) - timedelta(days=days)
    archives, commits = _needed(repository, young)
    objects = _objects(repository, commits)
    found: list[tuple[Kind, Stored]] = []
    kept = 0
    for kind, folder in FOLDERS.items():
        for each in storage.listed(folder):
            # A storage that does not say how old something is keeps it.
            if each.since is None or each.since > young or _is_needed(repository, kind, each, archives, objects):
                kept += 1
            else:
                found.append((kind, each))
    for _, each in found if apply else ():
        storage.remove(each.path)
    listed = [Unneeded(kind=kind, path=each.path, bytes=each.bytes) for kind, each in found]
    return Collection(removed=apply, days=days, kept=kept, found=listed)


def _needed(repository: Repository, young: datetime) -> tuple[set[str], set[str]]:
    """The digests of the archives, and the commits, that something needs."""
    git = repository.git
    if unread := [f"{tag}: {why}" for tag, why in tags.foreign(git).items() if tags.OURS.fullmatch(tag)]:
        raise UserError(f"what {'; '.join(unread)} needs is not known here, so nothing is looked for")
    names = set(holds.read(git))
    for each in repository.policy.environments:
        names |= set(served.releases(git, each.name)[:KEPT])
        if serving := repository.serving(each.name):
            names.add(serving.release)
        names |= {tags.candidate_of(git, tip).release.release for tip in proposals.find(repository, each.name).values()}
    known = tags.listed(git)
    releases = [each for each in known if each.release in names or each.created > young or each == known[0]]
    commits = {each.commit for each in releases} | set(git.branches("").values())
    main = git.tip(MAIN)
    since = f"--since={young.isoformat()}"
    commits |= set(git.said("rev-list", since, main).splitlines()) if main else set()
    return {each.bento.digest for each in releases}, commits


def _objects(repository: Repository, commits: set[str]) -> set[str]:
    """The objects of DVC that commits name, with those of folders."""
    named = {name for commit in commits for name in _named(repository.git, commit)}
    folders = {name for name in named if name.endswith(".dir")}
    for each in repository.storage.listed(OBJECTS):
        if _object(each.path) in folders:
            with _readable(each.path):
                named |= {entry["md5"] for entry in json.loads(repository.storage.read(each.path))}
    return named


def _named(git: Git, commit: str) -> Iterator[str]:
    for path in (path for path in git.paths(commit) if path.endswith(".dvc") or path == "dvc.lock"):
        content = git.read(commit, path) or b""
        with _readable(f"{path} of {commit[:12]}"):
            if path == "dvc.lock":
                yield from (name for _, name in tracked(content))
            else:
                yield from (entry["md5"] for entry in (yaml.safe_load(content) or {}).get("outs", []) if "md5" in entry)


def _is_needed(repository: Repository, kind: Kind, each: Stored, archives: set[str], objects: set[str]) -> bool:
    if kind == "archive":
        found = re.search(r"sha256-([0-9a-f]{64})\.tar$", each.path)
        return found is None or f"sha256:{found[1]}" in archives
    if kind == "object":
        return _object(each.path) in objects
    with _readable(each.path):
        outs = (yaml.safe_load(repository.storage.read(each.path)) or {}).get("outs", [])
        return all(entry.get("md5") in objects for entry in outs)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """What cannot be read may need anything."""
    try:
        yield
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{what} cannot be read, so what it needs is not known, and nothing was removed: {said}"
        ) from error


def _object(path: str) -> str:
    """The name of an object by its path: the first two digits are a folder."""
    return "".join(path.rsplit("/", 2)[-2:])
