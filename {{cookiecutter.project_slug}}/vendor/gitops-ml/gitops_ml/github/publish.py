"""Publishes what a pull request's run found: dvc.lock on its branch, one comment, one status.

This runs main's code and none of the pull request's, and is the only job that may write. What the other jobs hand over
was made by the pull request's code, so it is data that is held to its form, and nothing of it is run or taken as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gitops_ml.core import forge, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import Git, RejectedError
from gitops_ml.github import plan
from gitops_ml.report import render
from gitops_ml.report.content import Report

LOCK = "dvc.lock"
REPORT = "build/report/report.json"
MARKER = "<!-- gitops-ml: the report of this pull request -->"
CONTEXT = "pull-request"
# Far above what any project needs.
LARGEST = {LOCK: 1_000_000, REPORT: 20_000_000}
MESSAGE = "Lock what was trained\n\nA workflow reproduced the pipeline of {head}."


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or not path.isprintable():
        raise ValueError(f"{path!r} is no path inside of the project")
    return path


class Entry(_Block):
    """A file or folder in dvc.lock."""

    path: Annotated[str, AfterValidator(_inside)]
    hash: Literal["md5"] = "md5"
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
    size: int = Field(ge=0)
    nfiles: int | None = None
    isexec: bool | None = None


class Stage(_Block):
    """A stage in dvc.lock."""

    cmd: str
    deps: list[Entry] = []
    params: dict[str, dict[str, Any]] = {}
    outs: list[Entry] = []


class Lock(_Block):
    """dvc.lock."""

    schema_: Literal["2.0"] = Field(alias="schema")
    stages: dict[str, Stage]


class Published(BaseModel):
    """What was published; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["success", "failure", "outdated"]
    sentence: str
    commit: str
    locked: bool = False


@dataclass(frozen=True)
class PullRequest:
    """A pull request of this repository: its number, the commit it would be merged into, its own, and its branch."""

    number: int
    base: str
    head: str
    branch: str


def publish(root: Path, pull: PullRequest, results: dict[str, str]) -> Published:
    """Publish the results of a pull request's jobs, by their names, and what they left in build/trained.

    If the branch has moved on in the meantime, nothing is published: the run of its newer commit does that.

    Raises:
        UserError: GitHub does not answer or refuses, or what was handed over has not its form.
    """
    git = Git(root)
    git.fetch()
    hub = forge.of(git)
    if not isinstance(hub, forge.GitHub):
        raise UserError("pull requests are GitHub's, and this is another place")
    wanted = plan.plan(root, pull.base, pull.head)
    commit = pull.head
    trained = root / "build/trained"
    verdict = _verdict(results, wanted)
    report = None
    if results.get("train") == "success":
        try:
            report, content = _report(trained), _lock(trained, git, pull.head)
        except UserError as error:
            verdict = str(error)
        else:
            if content != git.read(pull.head, LOCK):
                if project.read(root).pull_requests.lock == "verify":
                    verdict = "dvc.lock is not what reproducing gives; run `make repro`, commit it and `make push`"
                else:
                    commit = _commit(git, pull, content)
    if git.tip(pull.branch) != commit:
        return Published(
            state="outdated", sentence=f"{pull.branch} has moved on; its own run publishes", commit=pull.head
        )
    if verdict is None and report is not None and report.gate is not None and not report.gate.passes:
        verdict = f"the gate says: {report.gate.verdict}"
    state: Literal["success", "failure"] = "success" if verdict is None else "failure"
    said = verdict or (f"checked, and trained: {_found(report)}" if report else f"checked; {wanted.reason}")
    hub.comment(pull.number, MARKER, _comment(state, said, report, commit if commit != pull.head else None))
    hub.tell(commit, state, said, CONTEXT)
    return Published(state=state, sentence=said, commit=commit, locked=commit != pull.head)


def _verdict(results: dict[str, str], wanted: plan.Plan) -> str | None:
    """Why the jobs' results keep the pull request from being merged; None if they do not."""
    needed = ("check", "train", "package") if wanted.train else ("check",)
    failed = [f"{name} was {results.get(name, 'skipped')}" for name in needed if results.get(name) != "success"]
    return "; ".join(failed).replace("was failure", "failed") or None


def _found(report: Report) -> str:
    return report.gate.verdict if report.gate else "nothing changed"


def _report(trained: Path) -> Report:
    try:
        return Report.model_validate_json(_handed(trained, REPORT))
    except ValidationError as error:
        raise UserError(f"the report that was handed over is damaged: {error.errors()[0]['msg']}") from error


def _lock(trained: Path, git: Git, head: str) -> bytes:
    """The dvc.lock that was handed over, once its form is known to be right.

    Raises:
        UserError: it is no dvc.lock, or not one of the pipeline of this commit.
    """
    try:
        lock = Lock.model_validate(yaml.safe_load(_handed(trained, LOCK)))
        pipeline = yaml.safe_load(git.read(head, "dvc.yaml") or b"")["stages"]
    except (ValidationError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise UserError(f"the dvc.lock that was handed over has not the form of one: {said}") from error
    # `foreach` and `matrix` make several stages of one, named with an @.
    locked = {name.partition("@")[0] for name in lock.stages}
    if differing := locked ^ set(pipeline):
        raise UserError(f"the dvc.lock that was handed over is of another pipeline: {', '.join(sorted(differing))}")
    return _handed(trained, LOCK)


def _handed(trained: Path, name: str) -> bytes:
    path = trained / name
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST[name]:
        raise UserError(f"{name} was not handed over, or is no plain file of a sensible size")
    return path.read_bytes()


def _commit(git: Git, pull: PullRequest, lock: bytes) -> str:
    """Put dvc.lock onto the branch, if it is still at `head`, and return the branch's new commit; else `head`."""
    commit = git.commit(git.with_file(pull.head, LOCK, lock), pull.head, MESSAGE.format(head=pull.head))
    try:
        git.push(commit, f"refs/heads/{pull.branch}", expected=pull.head)
    except RejectedError:
        git.fetch()
        tip = git.tip(pull.branch)
        # This run, started again after it was cut off, finds the commit that it had made.
        own = tip and git.parents(tip) == [pull.head] and git.tree(tip) == git.tree(commit)
        return tip if tip and own else pull.head
    return commit


def _comment(state: str, said: str, report: Report | None, locked: str | None) -> str:
    parts = [f"**{'Ready to be merged' if state == 'success' else 'Not to be merged'}**: {render.code(said, 300)}"]
    if locked is not None:
        parts.append(f"dvc.lock was committed to this branch as {locked[:12]}; `git pull` before you go on.")
    if report is not None:
        parts.append(render.markdown(report))
    return "\n\n".join(parts)


def results_of(text: str) -> dict[str, str]:
    """The results of jobs, from what GitHub's `toJSON(needs)` gives.

    Raises:
        UserError: it is something else.
    """
    try:
        found = {name: str(job["result"]) for name, job in json.loads(text).items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError("the results of the jobs are not what `toJSON(needs)` gives") from error
    return found
