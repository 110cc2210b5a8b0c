"""What the gate says: build/report/gate.json and the exit code."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gitops_ml.core.project import Gate

Verdict = Literal["promote", "keep", "insufficient evidence", "no champion"]
# What a caller may act on; 1 is an error, in which nothing was judged.
EXIT_CODES: dict[str, int] = {"promote": 0, "no champion": 0, "keep": 3, "insufficient evidence": 4}
BLOCKED = 5


class Rule(BaseModel):
    """One rule: what was measured, what is allowed, and whether it holds."""

    name: str
    holds: bool
    value: float | None
    limit: float
    sentence: str


class Measured(BaseModel):
    """A metric with its interval."""

    value: float
    low: float
    high: float


def amount(value: float, sign: str = "") -> str:
    """What decisions are worth: whole units, or three digits of what is less than a hundred."""
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign}.3g}"


class Worth(BaseModel):
    """What decisions are worth, per 1,000 rows.

    `always` is the action that would be worth most if it were taken for every row; `gain` is what the decisions are
    worth beyond that, which is what the model is for.
    """

    unit: str
    worth: Measured
    always: str
    always_worth: float
    gain: Measured

    @property
    def sentence(self) -> str:
        """For a person."""
        value, low, high = (amount(each, "+") for each in (self.gain.value, self.gain.low, self.gain.high))
        return (
            f"1,000 decisions are worth {amount(self.worth.value)} {self.unit}, which is {value} ({low} to {high}) "
            f"against always {self.always!r}"
        )


class Difference(BaseModel):
    """Challenger minus champion, positive where the challenger is better, with its interval."""

    metric: str
    champion: float
    challenger: float
    difference: float
    low: float
    high: float


class SliceDifference(Difference):
    """The difference on one slice."""

    column: str
    value: str
    rows: int


class Result(BaseModel):
    """What the gate found; the JSON that other programs read."""

    version: Literal[1] = 1
    verdict: Verdict
    passes: bool
    reasons: list[str]
    rules: list[Rule]
    difference: Difference | None
    slices: list[SliceDifference]
    settings: Gate
    rows: int
    evaluation: str
    challenger: str
    champion: str | None
    challenger_metrics: dict[str, Measured]
    champion_metrics: dict[str, Measured] | None
    latency_ms: float
    model_bytes: int
    # By `decision` of project.yaml, if there is one.
    thresholds: list[tuple[float, str]] = []
    worth: Worth | None = None
    champion_worth: Worth | None = None
    worth_difference: Measured | None = None

    @property
    def exit_code(self) -> int:
        """0 if the model may replace the champion; 3, 4 or 5 say why not."""
        if not self.passes and self.verdict in ("promote", "no champion"):
            return BLOCKED
        return EXIT_CODES[self.verdict]
