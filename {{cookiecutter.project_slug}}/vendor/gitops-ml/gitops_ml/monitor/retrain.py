"""Retrains on new data and proposes what came of it: one branch, one pull request, which people and the gate judge.

It works in a clone of its own, on what main says, so nobody's working tree is touched, and it never merges.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import fsspec
import yaml
from pydantic import BaseModel

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.github import publish, trust
from gitops_ml.monitor import content
from gitops_ml.pages import markup
from gitops_ml.predictions import stored
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions import checkout
from gitops_ml.versions.git import MAIN, Git

BRANCH = "retrain/data"
PLACE = Path("build") / "retrain"
TITLE = "Retrain on new data"
BODY_LENGTH = 60_000


class Retraining(BaseModel):
    """What came of it; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["nothing new", "open", "open already"]
    files: list[str] = []
    verdict: str | None = None
    passes: bool | None = None
    branch: str | None = None
    commit: str | None = None
    where: str | None = None

    @property
    def sentence(self) -> str:
        """For the person at the command line."""
        if self.state == "nothing new":
            return "there is no new data, so nothing was trained"
        blocked = "" if self.passes else ", blocked"
        return f"{self.where} is {self.state}; the gate says: {self.verdict}{blocked}"


def retrain(root: Path, files: list[Path], told: Callable[[str], object] = lambda step: None) -> Retraining:
    """Add files, and what arrived where `monitor.batches` of project.yaml says, to the data of main; train; propose.

    Args:
        root: a clone; only what main says counts.
        files: batches, in any form that `make data` takes.
        told: is told of each step.

    Raises:
        UserError: a batch does not fit the schema, a stage failed, or something cannot be read; nothing is proposed.
    """
    cause = content.cause(root)
    repository = Repository.opened(root)
    git, main = repository.git, repository.git.tip(MAIN) or ""
    clone = _cloned(root, main)
    batches = [path.resolve() for path in files]
    if repository.policy.monitor.batches:
        batches += _arrived(stored.place(root, repository.policy.monitor.batches), clone.parent / "batches")
    told("new data")
    added = [name for path in batches for name in _add(clone, path)] + _updated(clone)
    if not added:
        return Retraining(state="nothing new")
    told("training")
    _python(clone, "-m", "gitops_ml", "model", "repro")
    told("report")
    _python(clone, "-m", "gitops_ml", "model", "report", "--base", MAIN)
    report = json.loads((clone / "build/report/report.json").read_text())
    if report["gate"] is None:
        return Retraining(state="nothing new")
    told("package")
    _python(clone, "-m", "gitops_ml", "model", "package", "--test")
    told("storage")
    run(*DVC, "push", "--quiet", "--run-cache", cwd=clone)
    verdict, passes = report["gate"]["verdict"], report["gate"]["passes"]
    blocked = "" if passes else ", blocked"
    message = f"{TITLE}: {', '.join(added)}\n\nThe gate says: {verdict}{blocked}."
    commit, state = _proposed(git, clone, main, message)
    body = _body(cause, clone, added, f"{verdict}{blocked}")
    where = repository.forge.propose(BRANCH, MAIN, f"{TITLE}: {verdict}{blocked}", body)
    # What a workflow's token pushes starts no checks. The code is main's, so nothing but the model is to be judged.
    said = f"retrained by main's own code; the gate says: {verdict}"
    repository.forge.tell(commit, "success" if passes else "failure", said, publish.CONTEXT)
    decides = trust.look(root, MAIN, commit)
    repository.forge.tell(commit, decides.state, decides.sentence, trust.CONTEXT)
    return Retraining(
        state=state, files=added, verdict=verdict, passes=passes, branch=BRANCH, commit=commit, where=where
    )


def _cloned(root: Path, commit: str) -> Path:
    """A checkout of a commit on the branch of retrainings, that shares cache and credentials with the working tree."""
    clone = checkout.beside(root, PLACE, commit)
    Git(clone).said("checkout", "--quiet", "-B", BRANCH)
    run(*DVC, "config", "--local", "cache.dir", run(*DVC, "cache", "dir", cwd=root), cwd=clone)
    run(*DVC, "pull", "--quiet", *map(str, _pointers(clone)), cwd=clone)
    return clone


def _pointers(clone: Path) -> list[Path]:
    return sorted(path.relative_to(clone) for path in (clone / "data").glob("*.dvc"))


def _arrived(place: str, into: Path) -> list[Path]:
    """The files of a folder or bucket, brought here."""
    try:
        system, root = fsspec.core.url_to_fs(place)
        names = sorted(system.ls(root, detail=False)) if system.exists(root) else []
        into.mkdir(parents=True)
        for name in names:
            system.get(name, str(into / Path(name).name))
    except Exception as error:  # each cloud's client has errors of its own
        raise UserError(f"{place} cannot be read: {' '.join(str(error).split())[:300]}") from error
    return sorted(path for path in into.iterdir() if path.is_file())


def _add(clone: Path, file: Path) -> list[str]:
    """Add a batch; its name, or nothing if it is known."""
    outcome = json.loads(_python(clone, "-m", "gitops_ml", "data", "add", "--json", str(file)))
    return [Path(name).name for name in outcome["written"]]


def _updated(clone: Path) -> list[str]:
    """Bring imports of other repositories and of URLs up to date; the names of those that changed."""
    imported = [path for path in _pointers(clone) if "deps" in (yaml.safe_load((clone / path).read_text()) or {})]
    for path in imported:
        run(*DVC, "update", "--quiet", str(path), cwd=clone)
    changed = Git(clone).said("status", "--porcelain", "--", *map(str, imported)) if imported else ""
    return [line[3:] for line in changed.splitlines()]


def _proposed(git: Git, clone: Path, main: str, message: str) -> tuple[str, Literal["open", "open already"]]:
    """Put what changed onto the branch, in place of what an earlier retraining put there."""
    copy = Git(clone)
    copy.said("add", "--update")
    copy.said("add", "dvc.lock")
    tree = copy.said("write-tree")
    before = git.tip(BRANCH)
    if before and git.tree(before) == tree and git.parents(before) == [main]:
        return before, "open already"
    # Pushed from here, where the credentials are.
    commit = copy.commit(tree, main, message, machine=True)
    copy.said("update-ref", f"refs/heads/{BRANCH}", commit)
    git.said("fetch", "--quiet", str(clone), BRANCH)
    git.push(commit, f"refs/heads/{BRANCH}", expected=before)
    return commit, "open"


def _body(cause: content.Cause | None, clone: Path, added: list[str], verdict: str) -> str:
    """What the pull request says: why, what is new, the verdict and the report."""
    lines = [f"New data: {', '.join(markup.code(name) for name in added)}. The gate says: **{verdict}**.", ""]
    if cause and cause.alarms:
        lines += [f"The monitor of {cause.environment} raised an alarm on {cause.moment:%Y-%m-%d}:", ""]
        lines += [f"- {alarm.kind}: {markup.code(alarm.sentence, 300)}" for alarm in cause.alarms] + [""]
    lines.append((clone / "build/report/report.md").read_text())
    return "\n".join(lines)[:BODY_LENGTH]


def _python(clone: Path, *command: str) -> str:
    """Run main's own code with the packages that are installed here."""
    return run(sys.executable, *command, cwd=clone)
