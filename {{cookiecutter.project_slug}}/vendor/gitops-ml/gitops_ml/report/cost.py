"""What a run cost: what its jobs and stages took, what was restored instead of computed, rows and bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from gitops_ml.core import actions
from gitops_ml.pages import words
from gitops_ml.versions import lock

# So many runs say where others lie; of fewer, the next one is often outside.
ENOUGH = 5
# Far above what anything here takes.
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=0, le=10**18)]
STATES = {"computed": "computed", "restored": "restored", "unchanged": "nothing to do"}


class Moved(BaseModel):
    """So many files, and so many bytes."""

    files: Count
    octets: Count

    @property
    def words(self) -> str:
        """As people say it."""
        return f"{words.size(self.octets)} in {words.counted(self.files, 'file')}" if self.files else "nothing"


class Ran(BaseModel):
    """What was done about a stage; `restored` is what was computed before, here or elsewhere."""

    state: Literal["computed", "restored", "unchanged"]
    seconds: Seconds | None = None

    @property
    def words(self) -> str:
        """As people say it."""
        return STATES[self.state]

    @property
    def sentence(self) -> str:
        """With what it took."""
        return self.words if self.seconds is None else f"{self.words} in {words.took(self.seconds)}"


class Repro(BaseModel):
    """What `make repro` did until dvc.lock was what it is, with this SHA-256."""

    lock: str
    stages: dict[str, Ran]
    computed: Moved
    brought: Moved

    @property
    def heading(self) -> str:
        """How much of it was computed."""
        seconds = [each.seconds or 0 for each in self.stages.values() if each.state == "computed"]
        took = f" in {words.took(sum(seconds))}" if seconds else ""
        return f"{len(seconds)} of {words.counted(len(self.stages), 'stage')} computed{took}"


class Rows(BaseModel):
    """How many rows were read, have trained, and judged."""

    read: Count
    trained: Count
    judged: Count

    @property
    def sentence(self) -> str:
        """In words."""
        return f"{self.read:,} read, {self.trained:,} trained, {self.judged:,} judged"


class Usual(BaseModel):
    """What a job took in so many earlier runs: the median, and from where to where."""

    runs: Count
    median: Seconds
    low: Seconds
    high: Seconds


class Job(BaseModel):
    """A job of the run: what GitHub says of its end, what it took, and what it took in earlier runs."""

    name: str
    conclusion: str
    seconds: Seconds
    usual: Usual | None = None

    @property
    def remark(self) -> str:
        """What is to be said of it: that it has not succeeded, or lies outside of what it took in earlier runs."""
        if self.conclusion != "success":
            return self.conclusion.replace("_", " ")
        if self.usual is None or self.usual.runs < ENOUGH:
            return ""
        if self.seconds > self.usual.high:
            return f"longer than in any, {words.took(self.usual.high)} at most"
        if self.seconds < self.usual.low:
            return f"shorter than in any, {words.took(self.usual.low)} at least"
        return ""


class Cost(BaseModel):
    """What a run cost, as far as that is known; `jobs_unknown` and `stages_unknown` say of what is not, why."""

    repro: Repro | None = None
    rows: Rows | None = None
    jobs: list[Job] = []
    stages_unknown: str = ""
    jobs_unknown: str = ""

    @property
    def heading(self) -> str:
        """The whole of it."""
        jobs = f"jobs took {words.took(sum(each.seconds for each in self.jobs))} together" if self.jobs else ""
        return "; ".join(filter(None, [jobs, self.repro.heading if self.repro else ""])) or "not known"

    @property
    def slowest(self) -> list[Job]:
        """The jobs, the one that took longest first."""
        return sorted(self.jobs, key=lambda each: each.seconds, reverse=True)

    @property
    def earlier(self) -> int:
        """With how many earlier runs the jobs are compared, at most."""
        return max((each.usual.runs for each in self.jobs if each.usual), default=0)

    @property
    def compared(self) -> str:
        """With what the jobs are compared."""
        if not self.earlier:
            return "There is no earlier run to compare the jobs with."
        runs = "run" if self.earlier == 1 else f"{self.earlier} runs"
        few = f" From {ENOUGH} on, a job outside of them all is remarked on." if self.earlier < ENOUGH else ""
        return f"Medians of the last {runs} of this workflow that succeeded.{few}"

    @property
    def unknown(self) -> list[str]:
        """What is not known, and why."""
        return [said for said in (self.jobs_unknown, self.stages_unknown) if said]


def read(root: Path) -> Cost:
    """What is known in the working tree: what `make repro` did last, if that made its dvc.lock."""
    when = (
        "once they are done, and the comment of the workflow pull-request says it"
        if actions.running()
        else "where they run, and none ran here"
    )
    cost = Cost(jobs_unknown=f"What jobs take is known {when}")
    unknown = "Which stages were computed or restored is not known: make repro"
    try:
        found = Repro.model_validate_json((root / lock.REPRO).read_bytes())
    except FileNotFoundError:
        cost.stages_unknown = f"{unknown} has not run here, or has failed"
        return cost
    except ValidationError:
        cost.stages_unknown = f"{unknown} has written {lock.REPRO}, and it is damaged"
        return cost
    if found.lock != hashlib.sha256((root / lock.FILE).read_bytes()).hexdigest():
        cost.stages_unknown = f"{unknown} has not made the dvc.lock that is here now"
        return cost
    if silent := [name for name in lock.read(root) if name not in found.stages]:
        cost.stages_unknown = f"What became of {', '.join(silent)} is not known: DVC did not say it"
    cost.repro = found if found.stages else None
    return cost
