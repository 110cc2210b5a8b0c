"""Finds the bake that main was made from, and holds it to what main has."""

from __future__ import annotations

from pathlib import Path

from gitops_ml.core.errors import UserError
from gitops_ml.update import bakes, owned
from gitops_ml.update.bakes import BAKED, BRANCH, Bake
from gitops_ml.update.record import FILE, Record
from gitops_ml.update.template import Template, Version
from gitops_ml.versions.git import Git

# Of a project's files, how many must once have been those of the version that it is said to be made from.
LEAST = 0.9


def recorded(git: Git, here: Template, known: Record, version: str | None, into: Path) -> Bake:
    """The bake that the record names, or that of a version that a person names instead.

    Raises:
        UserError: it cannot be had, or baking gives something else than the record says.
    """
    try:
        found = _named(here, known, version)
    except UserError:
        # A shallow clone of the template, or one whose history was written anew.
        if kept := _kept(git, known):
            return kept
        raise
    made = bakes.made(git, here, found, known, into)
    if known.bake and made.record.bake != known.bake:
        raise UserError(
            f"version {found.name} of {here.source} is not what this project was made from: its bake has another "
            f"hash than {FILE} says; name the commit that it was made from with --recorded"
        )
    return made


def stated(git: Git, main: str, here: Template, into: Path, *, version: str | None, answers: dict[str, str]) -> Bake:
    """The bake of a project without a record, by what a person says; most of it must stand in main's history.

    Raises:
        UserError: it does not, so version or answers are others; or the person says no version.
    """
    if version is None:
        raise UserError(
            f"main has no {FILE}, so it was made by a version before there was one; say which, such as "
            "--recorded 0.1.0, and where the files do not tell them, the answers, such as --answer owner=my-org"
        )
    found = bakes.made(git, here, here.named(version), Record(answers=answers), into)
    had = {line.split(" ")[0] for line in git.said("rev-list", "--objects", main).splitlines()}
    baked = {path: name for path, name in git.objects(found.tree).items() if not path.startswith(owned.OWN)}
    lacking = sorted(path for path, name in baked.items() if name not in had)
    if len(lacking) > (1 - LEAST) * len(baked):
        raise UserError(
            f"this project was not made from version {found.version.name} with these answers: main never had "
            f"{len(lacking)} of its {len(baked)} files as they would be, such as {', '.join(lacking[:3])}; another "
            "--recorded or --answer may fit"
        )
    return found


def _named(here: Template, known: Record, version: str | None) -> Version:
    if version:
        return here.named(version)
    if known.commit and (commit := here.git.commit_of(f"{known.commit}^{{commit}}")):
        return here.at(commit)
    return here.named(known.version or known.commit)


def _kept(git: Git, known: Record) -> Bake | None:
    """The bake as the branch of bakes has it."""
    tip = git.tip(BRANCH)
    for commit in git.history(tip) if tip and known.bake else ():
        if f"{BAKED}{known.bake}" in git.message(commit).splitlines():
            return Bake(Version(known.version, known.commit), known, git.tree(commit))
    return None
