"""The form of what the monitor found; the JSON that other programs read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.gate.result import Measured, Worth
from gitops_ml.monitor.estimate import Estimate, Record
from gitops_ml.monitor.signals import Kind, Signal
from gitops_ml.pages import words

FOUND = Path("build/monitor/monitor.json")
ALARM = 3
Form = TypeVar("Form", bound=BaseModel)
Verdict = Literal["alarm", "watch", "all is well", "not known"]


class Window(BaseModel):
    """A stretch of time, its end not included. One with too few rows says nothing of drift.

    Every window has the same signals in the same order, the most harmful first.
    """

    since: datetime
    until: datetime
    rows: int
    labelled: int
    requests: int
    enough: bool
    signals: list[Signal]
    worth: Worth | None = None
    # Before labels come; none of a regression, nor of too few rows.
    estimates: list[Estimate] = []


class Finding(BaseModel):
    """What is wrong, or may become so: in how many of the windows it was proven, in a sentence, and what to do next."""

    kind: Kind
    name: str
    windows: int
    sentence: str
    next: str = ""


class Unknown(BaseModel):
    """What was not tested in the newest window, by the reason."""

    reason: str
    names: list[str]


class Bins(BaseModel):
    """The shares of a column's bins in the newest window, beside those of the reference."""

    name: str
    labels: list[str]
    before: list[float]
    now: list[float]


class Monitoring(BaseModel):
    """What was found. The oldest window comes first, of everything else the most harmful.

    `tested` and `untested` count the signals of the newest window. `importance` is what shuffling a column costs, in
    what `importance_is` says. `by_chance` names what is beyond its limit, and no more than chance often has it.
    """

    version: Literal[2] = 2
    title: str
    environment: str
    release: str
    created: datetime | None
    model: str
    moment: datetime
    verdict: Verdict
    tested: int
    untested: int
    alarms: list[Finding]
    watch: list[Finding]
    by_chance: list[str]
    unknown: list[Unknown]
    windows: list[Window]
    promised: dict[str, Measured]
    importance: dict[str, float]
    importance_is: str
    pictures: list[Bins]
    # How often the estimates were right; what there are none of.
    records: list[Record] = []
    unestimated: str = ""
    settings: project.Monitor

    @property
    def counted(self) -> str:
        """How many signals the verdict is about."""
        whole = words.counted(self.tested + self.untested, "signal")
        if self.verdict == "alarm":
            return f"{len(self.alarms)} of {whole}{f', {len(self.watch)} to watch' if self.watch else ''}"
        if self.verdict == "watch":
            return f"{len(self.watch)} of {whole}"
        return f"{self.tested} of {whole} tested"

    @property
    def heading(self) -> str:
        """The verdict, and how many signals it is about."""
        return f"{self.verdict} ({self.counted})"

    @property
    def exit_code(self) -> int:
        """3 if there is an alarm, else 0, whether anything was tested or not: then nobody has to be woken."""
        return ALARM if self.verdict == "alarm" else 0


class Cause(BaseModel):
    """What a retraining tells of the alarms that may have led to it; of any version."""

    environment: str
    moment: datetime
    alarms: list[Finding]


def read(root: Path) -> Monitoring:
    """What `gitops-ml watch monitor` found last.

    Raises:
        UserError: it found nothing, or what it left is damaged or of another version.
    """
    return _read(root, Monitoring)


def cause(root: Path) -> Cause | None:
    """The alarms that `gitops-ml watch monitor` found last; None if it never looked.

    Raises:
        UserError: what it left is damaged.
    """
    return _read(root, Cause) if (root / FOUND).exists() else None


def _read(root: Path, form: type[Form]) -> Form:
    try:
        return form.model_validate_json((root / FOUND).read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {FOUND}; `gitops-ml watch monitor` writes it, and says why it could not"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(
            f"{FOUND} is damaged or of another version ({place}: {first['msg']}); `gitops-ml watch monitor` writes it "
            "anew"
        ) from error
