"""Publishes what a pull request's run found: dvc.lock on its branch, one comment, one status.

This runs main's code and none of the pull request's, and is the only job that may write. What the other jobs hand over
was made by the pull request's code, so it is data that is held to its form, and nothing of it is run or taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.github import plan, took, trust
from gitops_ml.pages import markup
from gitops_ml.report import decisive, facts, forms, render
from gitops_ml.report.content import Report
from gitops_ml.report.cost import Cost
from gitops_ml.versions import forge
from gitops_ml.versions.git import Git, RejectedError

LOCK = "dvc.lock"
REPORT = "build/report/report.json"
MARKER = "<!-- gitops-ml: the report of this pull request -->"
CONTEXT = "pull-request"
# What GitHub says of a job.
RESULTS = ("success", "failure", "cancelled", "skipped")
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
        UserError: GitHub does not answer or refuses.
    """
    git, settings = Git(root), project.read(root)
    git.fetch()
    hub = forge.of(git)
    if not isinstance(hub, forge.GitHub):
        raise UserError("pull requests are GitHub's, and this is another place")
    wanted = plan.plan(root, pull.base, pull.head)
    commit = pull.head
    trained = root / "build/trained"
    verdict = _verdict(results, wanted)
    handed = None
    if results.get("train") == "success":
        try:
            handed, content = _report(trained), _lock(trained, git, pull.head)
            if content != git.read(pull.head, LOCK):
                if settings.pull_requests.lock == "verify":
                    raise UserError(
                        "dvc.lock is not what reproducing gives; run `make repro`, commit it and `make push`"
                    )
                commit = _commit(git, pull, content)
        except UserError as error:
            verdict = str(error)
    if git.tip(pull.branch) != commit:
        return Published(
            state="outdated", sentence=f"{pull.branch} has moved on; its own run publishes", commit=pull.head
        )
    told = trust.look(root, pull.base, commit)
    own: dict[str, Any] = {"title": settings.title, "branch": pull.branch, "base": pull.base, "commit": commit}
    report = Report(**own, changed=False, decisive=told.changes)
    try:
        found = facts.read(git, *decisive.merged(git, pull.base, commit), pull.base)
    except UserError as error:
        verdict = verdict or str(error)
    else:
        # What was measured is taken as it was handed over, and everything else from Git.
        measured = dict(handed) if handed and found.changed else {}
        report = Report(**measured | dict(found) | own)
    verdict = verdict or _unfit(report, told)
    state: Literal["success", "failure"] = "success" if verdict is None else "failure"
    done = "checked, and trained" if handed else "checked"
    said = verdict or f"{done}: {report.heading}{'' if handed else f'; {wanted.reason}'}"
    # The statuses first: what is to be merged waits for them, and a comment may be refused.
    hub.tell(commit, told.state, told.sentence, trust.CONTEXT)
    hub.tell(commit, state, said, CONTEXT)
    # What became of the stages is what the change's code said of them; what its jobs took, GitHub says.
    report.cost = report.cost or Cost()
    took.add(hub, report.cost)
    title = _title(state, report, settings)
    hub.comment(pull.number, MARKER, _comment(title, said, report, commit if commit != pull.head else None))
    return Published(state=state, sentence=said, commit=commit, locked=commit != pull.head)


def _verdict(results: dict[str, str], wanted: plan.Plan) -> str | None:
    """Why the jobs' results keep the pull request from being merged; None if they do not."""
    needed = ("check", "train", "package") if wanted.train else ("check",)
    failed = [f"{name} was {results.get(name, 'skipped')}" for name in needed if results.get(name) != "success"]
    return "; ".join(failed).replace("was failure", "failed") or None


def _unfit(report: Report, told: trust.Told) -> str | None:
    """Why what changed is not to be merged; None if it may be."""
    if told.state == "failure":
        return told.sentence
    if report.stale:
        return f"`make repro` is missing: {', '.join(report.stale)} changed after dvc.lock was made"
    if report.changed and report.gate is None:
        return "dvc.lock names new results, and the report that was handed over judges none"
    if report.gate is not None and not report.gate.passes:
        return f"the gate says: {report.gate.verdict}"
    return None


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
        lock = Lock.model_validate(forms.load(_handed(trained, LOCK)))
        pipeline = forms.load(git.read(head, "dvc.yaml"))["stages"]
    except (ValueError, KeyError, TypeError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise UserError(f"the dvc.lock that was handed over has not the form of one: {said}") from error
    # `foreach` and `matrix` make several stages of one, named with an @.
    locked = {name.partition("@")[0] for name in lock.stages}
    if differing := locked ^ set(map(str, pipeline)):
        raise UserError(f"the dvc.lock that was handed over is of another pipeline: {', '.join(sorted(differing))}")
    return _handed(trained, LOCK)


def _handed(trained: Path, name: str) -> bytes:
    path = trained / name
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST[name]:
        raise UserError(f"{name} was not handed over, or is no plain file of a sensible size")
    return path.read_bytes()


def _commit(git: Git, pull: PullRequest, lock: bytes) -> str:
    """Put dvc.lock onto the branch, if it is still at `head`, and return the branch's new commit; else `head`."""
    commit = git.commit(git.with_files(pull.head, {LOCK: lock}), pull.head, MESSAGE.format(head=pull.head))
    try:
        git.push(commit, f"refs/heads/{pull.branch}", expected=pull.head)
    except RejectedError:
        git.fetch()
        tip = git.tip(pull.branch)
        # This run, started again after it was cut off, finds the commit that it had made.
        own = tip and git.parents(tip) == [pull.head] and git.tree(tip) == git.tree(commit)
        return tip if tip and own else pull.head
    return commit


def _title(state: str, report: Report, settings: project.Project) -> str:
    if state == "failure":
        return "Not to be merged"
    if report.decisive:
        asked = markup.code(trust.asks(report, settings), 300)
        return f"Not ready by itself, since it changes what decides about trust or quality, and {asked}"
    return "Ready to be merged"


def _comment(title: str, said: str, report: Report, locked: str | None) -> str:
    parts = [f"**{title}**: {markup.code(said, 300)}"]
    if locked is not None:
        parts.append(f"dvc.lock was committed to this branch as {locked[:12]}; `git pull` before you go on.")
    if report.gate is not None:
        parts.append("The figures are those that this change's own code measured; a release is judged anew by main's.")
    try:
        parts.append(render.markdown(report))
    except Exception:  # what was handed over has the form of a report, and may still make no sense
        parts.append("The report that was handed over cannot be shown.")
        parts.append(render.trust(report, render.LEAST))
    return "\n\n".join(parts)


def results_of(text: str) -> dict[str, str]:
    """The results of jobs, each as `name=result`.

    Raises:
        UserError: it is something else.
    """
    pairs = [word.partition("=") for word in text.split()]
    if not pairs or not all(name and result in RESULTS for name, _, result in pairs):
        raise UserError(f"the results of the jobs are no list of NAME=RESULT: {text[:100]!r}")
    return {name: result for name, _, result in pairs}
