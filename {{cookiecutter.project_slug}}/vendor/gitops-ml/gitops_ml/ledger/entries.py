"""The ledger: who put which release where, when, on which verdict and why; Git alone is asked.

What an entry says was so at that moment: it stands in the commit and in the records of the releases, and how things are
today changes nothing of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import yaml
from pipeline.tasks import MEASURES
from pydantic import BaseModel, ValidationError

from gitops_ml.core import project, record
from gitops_ml.core.errors import UserError
from gitops_ml.ledger import status, steps
from gitops_ml.marks import freezes, holds
from gitops_ml.pages import verdicts, words
from gitops_ml.pages.verdicts import Says
from gitops_ml.pages.words import Tone
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git

Action = Literal[steps.Action, "freeze", "unfreeze"]
SIGNS: dict[Action, tuple[Tone, str]] = {
    "promote": ("good", "↑"),
    "roll back": ("wait", "↩"),
    "edit by hand": ("bad", "✎"),
    "freeze": ("wait", "‖"),
    "unfreeze": ("plain", "▷"),
}
REASON = re.compile(r"^Reason: (.+)$", re.MULTILINE)
LOWER_IS_BETTER = frozenset[str]().union(*(each.LOWER_IS_BETTER for each in MEASURES.values()))


class Metric(BaseModel):
    """The metric that decided about a release; `difference` to the one before, if both were judged on the same rows."""

    name: str
    value: float
    difference: float | None
    better: bool | None
    other_rows: bool  # than the one before was judged on

    @property
    def sentence(self) -> str:
        """For a person."""
        name = words.metric(self.name)
        if self.difference is None:
            return f"{name} {words.number(self.value)}{', on other rows than before' if self.other_rows else ''}"
        if self.better is None:
            return f"{name} as before"
        return f"{name} {words.number(self.difference, '+')}, {words.better(self.name in LOWER_IS_BETTER)}"


class Entry(BaseModel):
    """One commit on an environment's branch, or of somebody who froze it or let it go again."""

    environment: str
    when: datetime
    who: str
    action: Action
    by_hand: bool  # the commit does not say what it does, or is not as a machine wrote it
    release: str | None  # that the branch names since then; None if that cannot be read
    replaces: str | None
    model: str | None
    # Of the release when it was made; nothing of an edit, which nobody judged.
    verdict: str | None
    judged: Says | None
    metric: Metric | None
    why: str
    commit: str

    @property
    def nameless(self) -> str:
        """What stands where no release is named."""
        return "" if self.action in ("freeze", "unfreeze") else "unreadable"

    @property
    def tone(self) -> Tone:
        """How the action is shown."""
        return SIGNS[self.action][0]

    @property
    def sign(self) -> str:
        """What stands before the action."""
        return SIGNS[self.action][1]


class Ledger(BaseModel):
    """The JSON that other programs read: how environments stand, and all that was put there, the newest first."""

    version: Literal[1] = 1
    title: str
    now: status.Status | None
    unknown: str  # why `now` is not known
    entries: list[Entry]

    @property
    def advice(self) -> str:
        """What to do next where nothing was promoted yet."""
        if self.now is None:
            return "`gitops-ml env promote ENV` puts the newest release on an environment"
        if any(each.health == "no branch" for each in self.now.environments):
            return "`gitops-ml env bootstrap` creates the branches of the environments"
        if self.now.newest is None:
            return "`gitops-ml release make` makes the first release"
        first = self.now.environments[0].name
        return f"`gitops-ml env promote {first}` puts {self.now.newest} on {first}"


class _Gate(BaseModel):
    metric: str


class _Project(BaseModel):
    """What is needed of project.yaml, which may have had another form in an old commit."""

    gate: _Gate


@dataclass(frozen=True)
class _Source:
    """The commit that a release was made of: what it says of itself, and which metric decided there."""

    subject: str = ""
    metric: str | None = None


def build(root: Path) -> Ledger:
    """All that there is to tell; without `origin`, what this clone knows of the past.

    Raises:
        UserError: project.yaml is wrong, or this clone cannot read a commit that a branch has.
    """
    now, unknown = None, ""
    try:
        now = status.read(Repository.opened(root))
    except UserError as error:
        unknown = str(error)
    return Ledger(title=project.read(root).title, now=now, unknown=unknown, entries=read(root))


def read(root: Path) -> list[Entry]:
    """All entries of all environments, the newest first.

    Raises:
        UserError: this clone cannot read a commit that a branch has.
    """
    git = Git(root)
    held = holds.history(git)
    found = {name: steps.read(git, tip) for name, tip in _branches(git).items()}
    sources = _sources(git, {each.release.commit for many in found.values() for each in many if each.release})
    told = [_entry(name, each, sources, held) for name, many in found.items() for each in reversed(many)]
    told += [_frozen(each) for each in freezes.history(git)]
    # A stable order: two commits of one second stay in the order of their branch.
    return sorted(told, key=lambda entry: entry.when, reverse=True)


def _branches(git: Git) -> dict[str, str]:
    """Environments and the tips of their branches; where both exist, what `origin` has counts."""
    found = git.refs("refs/heads/", environment.PREFIX) | git.branches(environment.PREFIX)
    return {branch.removeprefix(environment.PREFIX): commit for branch, commit in sorted(found.items())}


def _entry(name: str, step: steps.Step, sources: dict[str, _Source], held: list[holds.Hold]) -> Entry:
    release, judged = step.release, step.release if step.action != "edit by hand" else None
    source = sources.get(release.commit, _Source()) if release else _Source()
    return Entry(
        environment=name,
        when=step.commit.when,
        who=step.commit.who,
        action=step.action,
        by_hand=step.stated is None or step.action == "edit by hand",
        release=release.release if release else None,
        replaces=step.before.release if step.before else None,
        model=release.model if release else None,
        verdict=judged.verdict if judged else None,
        judged=verdicts.of(judged) if judged else None,
        metric=_metric(source.metric, judged, step.before) if judged else None,
        why=_why(step, source, held),
        commit=step.commit.name,
    )


def _frozen(step: freezes.Step) -> Entry:
    return Entry(
        environment=step.environment,
        when=step.when,
        who=step.who,
        action=step.action,
        by_hand=False,
        release=None,
        replaces=None,
        model=None,
        verdict=None,
        judged=None,
        metric=None,
        why=step.why,
        commit=step.commit,
    )


def _metric(name: str | None, release: record.Release, before: record.Release | None) -> Metric | None:
    if name is None or name not in release.metrics:
        return None
    value, earlier = release.metrics[name], before.metrics.get(name) if before else None
    same = before is not None and before.evaluation == release.evaluation
    difference = value - earlier if earlier is not None and same else None
    better = (difference < 0) == (name in LOWER_IS_BETTER) if difference else None
    return Metric(
        name=name, value=value, difference=difference, better=better, other_rows=before is not None and not same
    )


def _why(step: steps.Step, source: _Source, held: list[holds.Hold]) -> str:
    """What whoever did it said; of a promotion, what the change on main is called."""
    subject = step.commit.message.partition("\n")[0]
    if isinstance(step.found, str):
        return f"{subject}: {step.found}"
    if step.stated is None or step.action == "edit by hand":
        return subject
    if step.action == "promote":
        return source.subject
    if said := REASON.search(step.commit.message):
        return said[1]
    # Before rollbacks gave their reason themselves, it stood in the hold alone, which was put at the same time.
    reasons = [each for each in held if step.before and each.release == step.before.release]
    nearest = min(reasons, key=lambda each: abs(each.since - step.commit.when), default=None)
    return nearest.reason if nearest else ""


def _sources(git: Git, commits: set[str]) -> dict[str, _Source]:
    """The commits that releases were made of, as far as this clone has them."""
    found = steps.log(git, "--no-walk", "--ignore-missing", *sorted(commits)) if commits else []
    settings = git.read_all(f"{each.name}:project.yaml" for each in found)
    return {
        each.name: _Source(each.message.partition("\n")[0], _deciding(content))
        for each, content in zip(found, settings, strict=True)
    }


def _deciding(settings: bytes | None) -> str | None:
    try:
        return _Project.model_validate(yaml.safe_load(settings or b"")).gate.metric
    except (yaml.YAMLError, ValidationError):
        return None
