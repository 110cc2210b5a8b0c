"""Applies the difference of two bakes to a checkout of main: three ways, with renames, as Git does a cherry-pick."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import finished
from gitops_ml.update import bakes, owned, packages
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import COMMAND, MACHINE

# diff3 shows between both sides what both began from. What a team put into a folder that the template moved stays.
HOW = ("merge.conflictStyle=diff3", "merge.renames=true", "merge.directoryRenames=false", "merge.renameLimit=0")
MARKED = re.compile(r"^<<<<<<< .*?^>>>>>>> [^\n]*\n?", re.MULTILINE | re.DOTALL)
REMOVED = "the template removed this file"
OURS, THEIRS = "main", "template"
# Git names the commit in the markers: the same differences give the same files.
ALWAYS = MACHINE | {"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"}
PACKAGES = "pyproject.toml"


@dataclass(frozen=True)
class Conflict:
    """A file that only its team can settle: why, and the places, each with both sides between markers."""

    path: str
    why: str
    places: str


@dataclass
class Merged:
    """What came of it, beyond what was applied.

    Attributes:
        conflicts: what people must settle.
        deleted: files that the team had deleted, and that stay so although the template changed them.
        replaced: files of the automation that the team had edited; main's history has the edits.
    """

    conflicts: list[Conflict] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def merge(checkout: Path, old: str, new: str) -> Merged:
    """Bring the files of a checkout, and its index, from one bake to another, as far as they are the template's.

    Args:
        checkout: a clone of its own, at main's tip, with nothing uncommitted.
        old: the tree of the bake that main was made from.
        new: the tree of the bake that it shall be made from.
    """
    git = Git(checkout)
    main = git.commit_of("HEAD") or ""
    done = Merged(replaced=_edited(git, main, old))
    trees = [bakes.without(git, tree, owned.NOT_MERGED) for tree in (old, new)]
    if trees[0] != trees[1]:
        base = git.said("commit-tree", trees[0], "-m", THEIRS, env=ALWAYS)
        _pick(checkout, git.said("commit-tree", trees[1], "-p", base, "-m", THEIRS, env=ALWAYS))
    for path, stages in _unmerged(git).items():
        _settle(git, path, stages, (old, new), done)
    _replace(git, main, old, new)
    return done


def marked(git: Git, commit: str) -> list[Conflict]:
    """The files of a commit in which markers are left."""
    done = finished(*COMMAND, "grep", "-lIz", "-E", "^(<<<<<<<|>>>>>>>) ", commit, cwd=git.root)
    if done.returncode not in (0, 1):
        raise UserError(f"the files of {commit} cannot be searched: {done.stderr.decode(errors='replace').strip()}")
    paths = [name.partition(":")[2] for name in done.stdout.decode().split("\0") if name]
    texts = [(git.read(commit, path) or b"").decode(errors="replace") for path in paths]
    return [Conflict(path, "markers are left", _places(text)) for path, text in zip(paths, texts, strict=True)]


def _edited(git: Git, main: str, old: str) -> list[str]:
    """The files of the automation that are not as they were baked."""
    made, has = git.objects(old), git.objects(main)
    ours = [path for path in has if path.startswith(owned.AUTOMATION)]
    # What a team put beside the copied automation of version 0.1 stays; vendor/ is the template's as a whole.
    return sorted(
        path for path in ours if made.get(path, "" if path.startswith(owned.AUTOMATION[0]) else has[path]) != has[path]
    )


def _pick(checkout: Path, commit: str) -> None:
    settings = [word for each in HOW for word in ("-c", each)]
    done = finished(
        *COMMAND, *settings, "cherry-pick", "--no-commit", commit, cwd=checkout, env={"LC_ALL": "C", **MACHINE}
    )
    if done.returncode not in (0, 1):
        raise UserError(f"Git cannot apply the difference: {done.stderr.decode(errors='replace').strip()}")


def _unmerged(git: Git) -> dict[str, dict[int, str]]:
    """The paths in conflict, with the object of each side: 1 what both began from, 2 main, 3 the template."""
    found: dict[str, dict[int, str]] = {}
    for entry in git.said("ls-files", "--unmerged", "-z").split("\0"):
        if entry:
            facts, _, path = entry.partition("\t")
            _, name, stage = facts.split(" ")
            found.setdefault(path, {})[int(stage)] = name
    return found


def _settle(git: Git, path: str, stages: dict[int, str], bakes_of: tuple[str, str], done: Merged) -> None:
    """Settle one path, or leave it with markers in it, and note which."""
    file = git.root / path
    if 2 not in stages:
        # The team has deleted or moved it, and that is its own matter.
        git.said("rm", "--quiet", "--force", "--", path)
        file.unlink(missing_ok=True)
        done.deleted.append(path)
        return
    if path == PACKAGES and (text := _packages(git, stages, bakes_of)):
        file.write_text(text)
    elif 3 not in stages:
        ours = (git.read_all([stages[2]])[0] or b"").decode(errors="replace")
        ended = ours if ours.endswith("\n") or not ours else f"{ours}\n"
        file.write_text(f"<<<<<<< {OURS}\n{ended}=======\n>>>>>>> {THEIRS}: {REMOVED}\n")
        done.conflicts.append(Conflict(path, f"main changed it, and {REMOVED}", ""))
    else:
        text = file.read_bytes().decode(errors="replace")
        places = _places(text)
        if not places:
            # No text: main's stays, and is marked beside.
            beside = file.with_name(f"{file.name}.conflict")
            beside.write_text(
                f"<<<<<<< {OURS}\n{path}\n=======\n{stages[3]}\n>>>>>>> {THEIRS}: `git show {stages[3]}`\n"
            )
            git.said("add", "--force", "--", str(beside.relative_to(git.root)))
        why = "main and the template changed the same lines" if 1 in stages else "both have added it"
        done.conflicts.append(Conflict(path, why, places))
    git.said("add", "--force", "--", path)


def _packages(git: Git, stages: dict[int, str], bakes_of: tuple[str, str]) -> str | None:
    ours = git.read_all([stages[2]])[0]
    old, new = (git.read(tree, PACKAGES) for tree in bakes_of)
    if ours is None or old is None or new is None:
        return None
    return packages.merged(old.decode(), ours.decode(), new.decode())


def _places(text: str) -> str:
    return "\n".join(match[0] for match in MARKED.finditer(text))


def _replace(git: Git, main: str, old: str, new: str) -> None:
    """Put the new bake's automation and locks in place of what is there."""
    has, made, comes = git.objects(main), git.objects(old), git.objects(new)
    places = (*owned.AUTOMATION, *owned.LOCKED)
    gone = [
        path
        for path in has
        if path not in comes and path.startswith(places) and (path in made or path.startswith(owned.AUTOMATION[0]))
    ]
    if gone:
        git.said("rm", "--quiet", "--force", "--ignore-unmatch", "--", *gone)
    if wanted := [path for path in comes if path.startswith(places)]:
        git.said("checkout", "--quiet", new, "--", *wanted)
