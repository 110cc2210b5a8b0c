"""Withdraws keys: those that signed nothing which an environment serves, is to serve, or would go back to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.marks import holds
from gitops_ml.promotion import proposals, served
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags


class Withdrawal(BaseModel):
    """What became of the keys but the newest one; the JSON that other programs read."""

    version: Literal[1] = 1
    withdrawn: list[str]
    needed: dict[str, list[str]]  # by key, each with the release and the environment that need it
    lost: list[str]  # releases that nobody can roll back to any more
    unverified: list[str]  # releases that are needed, and that no key of the file signed


def withdraw(repository: Repository, root: Path, *, dry_run: bool = False) -> Withdrawal:
    """Take the keys out of the project's file that are needed no more; the newest one stays.

    Raises:
        UserError: there is only one key, or something cannot be read.
    """
    path = root / signing.PUBLIC
    if not path.is_file():
        raise UserError(f"{signing.PUBLIC} is missing; `gitops-ml release key` makes the first key")
    known = signing.keys(path.read_bytes())
    if len(known) < 2:
        raise UserError(
            f"{signing.PUBLIC} has one key; `gitops-ml release key --rotate` makes the one that replaces it"
        )
    newest, *older = known
    needed: dict[str, list[str]] = {}
    past: dict[str, str | None] = {}
    unverified: list[str] = []
    for each in repository.policy.environments:
        for release, why in _needed(repository, each.name).items():
            signer = _signer(repository, release, path.read_bytes())
            if signer is None:
                unverified.append(f"{release}, {why}")
            else:
                needed.setdefault(signer, []).append(f"{release}, {why}")
        for release in served.releases(repository.git, each.name):
            past[release] = _signer(repository, release, path.read_bytes())
    gone = [name for name in older if name not in needed]
    if gone and not dry_run:
        path.write_bytes(b"".join(pem for name, pem in known.items() if name not in gone))
    return Withdrawal(
        withdrawn=gone,
        needed={name: whys for name, whys in needed.items() if name != newest},
        lost=sorted(release for release, name in past.items() if name in gone),
        unverified=unverified,
    )


def _needed(repository: Repository, name: str) -> dict[str, str]:
    """The releases that an environment must be able to verify, and why."""
    serving = repository.serving(name)
    found = {serving.release: f"which {name} serves"} if serving else {}
    for branch, commit in proposals.find(repository, name).items():
        found.setdefault(tags.candidate_of(repository.git, commit).release.release, f"which {branch} proposes")
    held = holds.read(repository.git)
    others = [each for each in served.releases(repository.git, name) if each not in found and each not in held]
    if others:
        found[others[0]] = f"which {name} would go back to"
    return found


def _signer(repository: Repository, release: str, trusted: bytes) -> str | None:
    try:
        files = tags.find(repository.git, release).files
        return signing.signer(files[record.FILE], files.get(record.SIGNATURE), trusted)
    except UserError:
        return None
