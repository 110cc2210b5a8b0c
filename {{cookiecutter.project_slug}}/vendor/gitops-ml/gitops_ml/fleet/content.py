"""The form of what a fleet's repositories say; the JSON that other programs read."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, computed_field

from gitops_ml.marks.freezes import Freeze
from gitops_ml.marks.holds import Hold
from gitops_ml.notify.branch import Finding
from gitops_ml.pages import words
from gitops_ml.pages.verdicts import Says
from gitops_ml.pages.words import Tone
from gitops_ml.promotion import proposals
from gitops_ml.promotion.health import TONES, Health

# What asks for somebody, the most urgent first; the page lists models in this order, and each can be searched for.
Mark = Literal[
    "not read",
    "alarm",
    "on hold",
    "failed",
    "silent",
    "not watched",
    "frozen",
    "watch",
    "proposed",
    "template behind",
]
# Who says who owns a model.
Owned = Literal["", "card", "CODEOWNERS", "project.yaml"]
URGENT: tuple[Mark, ...] = ("not read", "alarm", "on hold", "failed")
WAITING: tuple[Mark, ...] = ("silent", "not watched", "frozen", "watch", "proposed")
ORDER: tuple[Mark, ...] = (*URGENT, *WAITING, "template behind")
UNREAD = 3


class Environment(BaseModel):
    """What serves in one environment; of what cannot be read, `problem` says why, and the rest is empty."""

    name: str
    problem: str = ""
    release: str | None = None  # that its branch names
    named: datetime | None = None  # since when it does
    serving: str | None = None  # as its agents say; None too if they disagree
    since: datetime | None = None  # since when they say what they say now
    created: datetime | None = None  # the release that the branch names
    verdict: str | None = None  # on which that release was made
    judged: Says | None = None
    health: Health = "no branch"
    state: str = "no branch"  # the same as a sentence
    hosts: dict[str, datetime] = {}  # when each agent was last heard
    silent: list[str] = []  # those that have said nothing for longer than they may
    hold: Hold | None = None  # on what serves, or on what the branch names
    frozen: Freeze | None = None
    proposed: list[str] = []  # branches
    finding: Finding | None = None  # of the monitor
    unwatched: str = ""  # why that says nothing of what serves now

    @property
    def says(self) -> Says:
        """How it stands, in the tone in which all pages say it."""
        if self.problem:
            return Says(text="not read", tone="bad")
        return Says(text=self.health, tone=TONES.get(self.health, "wait"))

    @property
    def heard(self) -> datetime | None:
        """When the agent was heard that is silent for the longest time."""
        return min(self.hosts.values(), default=None)

    @property
    def awaited(self) -> list[str]:
        """What is proposed, in words."""
        return [proposals.named(branch) for branch in self.proposed]

    @property
    def marks(self) -> set[Mark]:
        """What asks for somebody here."""
        verdict = self.finding.verdict if self.finding and not self.unwatched else ""
        found: dict[Mark, bool] = {
            "not read": bool(self.problem),
            "alarm": verdict == "alarm",
            "watch": verdict == "watch",
            "not watched": bool(self.unwatched),
            "on hold": self.hold is not None,
            "failed": self.health in ("failed", "hosts disagree"),
            "silent": bool(self.silent) or self.health == "not applied yet",
            "frozen": self.frozen is not None,
            "proposed": bool(self.proposed),
        }
        return {mark for mark, holds in found.items() if holds}


class Made(BaseModel):
    """The template's version that a project was made from, and how far that is behind the newest one.

    None: nobody knows; `unknown` says why.
    """

    version: str = ""
    commit: str = ""
    newest: str = ""
    versions: int | None = None  # releases of the template that are newer
    commits: int | None = None
    unknown: str = ""

    @property
    def name(self) -> str:
        """The version, or the commit of what has none."""
        return self.version or self.commit[:12]

    @property
    def is_behind(self) -> bool:
        """Whether there is something newer."""
        return bool(self.versions or self.commits)

    @property
    def sentence(self) -> str:
        """By how much."""
        if self.unknown:
            return self.unknown
        if self.versions:
            return f"{words.counted(self.versions, 'version')} behind {self.newest}"
        if self.commits:
            return f"{words.counted(self.commits, 'commit')} behind {self.newest}"
        return "the newest"


class Model(BaseModel):
    """One repository. If it cannot be read, `problem` says why, and nothing else is known."""

    source: str
    problem: str = ""
    fetched: datetime | None = None  # a clone, from its origin: what is newer there is not known here
    name: str = ""
    title: str = ""
    owner: str = ""
    owner_from: Owned = ""
    environments: list[Environment] = []
    held: list[Hold] = []
    template: Made = Made(unknown="not known")

    @property
    def called(self) -> str:
        """What stands at the beginning of its row."""
        return self.title or self.name or self.source

    @property
    def last(self) -> Environment | None:
        """The environment that the others are there for."""
        return self.environments[-1] if self.environments else None

    @property
    def created(self) -> datetime | None:
        """When the release of the last environment that has one was made."""
        return next((each.created for each in reversed(self.environments) if each.created), None)

    @property
    def heard(self) -> datetime | None:
        """When the agent was heard that is silent for the longest time."""
        return min((each.heard for each in self.environments if each.heard), default=None)

    @property
    def finding(self) -> Finding | None:
        """What the monitor said of the last environment that it looks at."""
        return next((each.finding for each in reversed(self.environments) if each.finding), None)

    @property
    def problems(self) -> list[str]:
        """All that could not be read."""
        found = [f"{each.name}: {each.problem}" for each in self.environments if each.problem]
        return [self.problem, *found] if self.problem else found

    @computed_field  # type: ignore[prop-decorator]
    @property
    def marks(self) -> list[Mark]:
        """What asks for somebody, the most urgent first."""
        found = set[Mark]().union(*(each.marks for each in self.environments))
        found |= {"not read"} if self.problem else set()
        found |= {"template behind"} if self.template.is_behind else set()
        return [mark for mark in ORDER if mark in found]

    @property
    def tone(self) -> Tone:
        """How its row is shown."""
        marks = self.marks
        if any(mark in URGENT for mark in marks):
            return "bad"
        return "wait" if any(mark in WAITING for mark in marks) else "plain"


class Fleet(BaseModel):
    """All of it, in the order of the list. `template` is the newest version that there is, if anybody said where."""

    version: Literal[1] = 1
    moment: datetime
    template: str = ""
    template_problem: str = ""
    models: list[Model]

    def marked(self, mark: Mark) -> int:
        """How many models have a mark."""
        return sum(mark in each.marks for each in self.models)

    @property
    def problems(self) -> list[str]:
        """All that could not be read, with where."""
        found = [f"{each.source}: {problem}" for each in self.models for problem in each.problems]
        return [f"the template: {self.template_problem}", *found] if self.template_problem else found

    @property
    def exit_code(self) -> int:
        """3 if something could not be read."""
        return UNREAD if self.problems else 0
