"""What the monitor found last, on a branch of its own for each environment, where whoever has Git can read it.

The branch holds one commit, which the next finding replaces: what is looked back upon are reports and issues.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.pages import verdicts
from gitops_ml.pages.words import Tone
from gitops_ml.versions.git import Git, RejectedError

if TYPE_CHECKING:
    from gitops_ml.monitor.content import Monitoring

PREFIX = "monitor/"
FILE = "finding.json"
FORM = 1
ATTEMPTS = 5


class Worth(BaseModel):
    """What decisions turned out to be worth per 1,000 rows, and how much of that is due to the model."""

    unit: str
    worth: float
    gain: float
    sentence: str


class Finding(BaseModel):
    """finding.json: the verdict on the newest window, from `since` to `until`, and its alarms in words."""

    version: Literal[1] = 1
    environment: str
    release: str
    moment: datetime
    since: datetime
    until: datetime
    verdict: Literal["alarm", "watch", "all is well", "not known"]
    untested: int = 0  # signals of the window
    sentence: str
    alarms: list[str]
    watch: list[str]
    worth: Worth | None  # None if nothing is decided, or no labels have arrived

    @property
    def tone(self) -> Tone:
        """How the verdict is shown."""
        return verdicts.watched(self.verdict, self.untested)


def of(found: Monitoring) -> Finding:
    """What is told of all that was found."""
    newest, worth = found.windows[-1], found.windows[-1].worth
    return Finding(
        environment=found.environment,
        release=found.release,
        moment=found.moment,
        since=newest.since,
        until=newest.until,
        verdict=found.verdict,
        untested=found.untested,
        sentence=found.heading,
        alarms=[f"{each.kind}: {each.sentence}" for each in found.alarms],
        watch=[f"{each.kind}: {each.sentence}" for each in found.watch],
        worth=Worth(unit=worth.unit, worth=worth.worth.value, gain=worth.gain.value, sentence=worth.sentence)
        if worth
        else None,
    )


def read(git: Git, environment: str) -> Finding | None:
    """What was found last in an environment; None if nobody said.

    Raises:
        UserError: the branch cannot be read, or is of a newer version.
    """
    branch = PREFIX + environment
    tip = git.tip(branch)
    if tip is None:
        return None
    content = git.read(tip, FILE) or b""
    try:
        return Finding.model_validate_json(content)
    except ValidationError as error:
        if (form := _form(content)) > FORM:
            raise UserError(
                f"{FILE} on {branch} has form {form}, and this version of gitops-ml reads up to {FORM}"
            ) from error
        raise UserError(f"{FILE} on {branch} cannot be read: {error.errors()[0]['msg']}") from error


def write(git: Git, finding: Finding) -> bool:
    """Have the branch say what was found; False if it says something newer already.

    Raises:
        UserError: the branch does not take it.
    """
    branch = PREFIX + finding.environment
    for _ in range(ATTEMPTS):
        tip = git.tip(branch)
        if tip is not None and _moment(git.read(tip, FILE) or b"", finding.moment) > finding.moment:
            return False
        tree = git.write({FILE: finding.model_dump_json(indent=2).encode() + b"\n"})
        commit = git.commit(tree, None, f"{finding.environment}: {finding.sentence}", machine=True)
        try:
            git.push(commit, f"refs/heads/{branch}", expected=tip)
        except RejectedError:
            # Somebody else looked at the same time.
            git.fetch()
            continue
        return True
    raise UserError(f"the branch {branch} does not take a change; is it protected against whoever runs this?")


def _form(content: bytes) -> int:
    try:
        form = json.loads(content)["version"]
    except (ValueError, KeyError, TypeError):
        return 0
    return form if isinstance(form, int) else 0


def _moment(content: bytes, otherwise: datetime) -> datetime:
    """When something was found, in whatever form; what cannot be read is replaced."""
    try:
        found = datetime.fromisoformat(json.loads(content)["moment"])
    except (ValueError, KeyError, TypeError):
        return otherwise
    return found if found.tzinfo else otherwise
