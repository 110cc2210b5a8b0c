"""What the gate says: build/report/gate.json and the exit code."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

from gitops_ml.core.project import Gate
from gitops_ml.pages import words
from gitops_ml.pages.verdicts import Says, meaning

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
        value, low, high = (words.amount(each, "+") for each in (self.gain.value, self.gain.low, self.gain.high))
        return (
            f"1,000 decisions are worth {words.amount(self.worth.value)} {self.unit}, "
            f"which is {value} ({low} to {high}) against always {self.always!r}"
        )


class Difference(BaseModel):
    """How much better the challenger is than the champion, with a bound to each side; negative where it is worse."""

    metric: str
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    lower_is_better: bool = False

    @property
    def change(self) -> Measured:
        """How the metric itself changed: negative where it fell, whether that is good or not."""
        if self.lower_is_better:
            return Measured(value=-self.difference, low=-self.high, high=-self.low)
        return Measured(value=self.difference, low=self.low, high=self.high)

    @property
    def sentence(self) -> str:
        """The change of the metric, with its bounds."""
        value, between = (
            words.number(self.change.value, "+"),
            words.interval(self.change.low, self.change.high, "+"),
        )
        return f"{words.metric(self.metric)} {value} ({between})"


class SliceDifference(Difference):
    """The difference on one slice."""

    column: str
    value: str
    rows: int


class GroupDifference(BaseModel):
    """How much more often something happens to a group than to the others of its column, as shares, with an interval.

    `rows` are those of the group that it may happen to; `against` is the only other group, if there is one alone.
    """

    column: str
    value: str
    against: str = ""
    what: str
    rows: int
    here: float
    others: float
    difference: float
    low: float
    high: float
    # The difference that the champion makes.
    champion: float | None = None
    limit: float | None

    @property
    def fails(self) -> bool:
        """Whether it is beyond its limit, and beyond chance."""
        return self.limit is not None and abs(self.difference) > self.limit and (self.low > 0 or self.high < 0)

    @property
    def name(self) -> str:
        """Which group, and compared with which if that is one."""
        return f"{self.column} = {self.value}{f' against {self.against}' if self.against else ''}"

    @property
    def says(self) -> Says:
        """What the interval says."""
        if self.fails:
            return Says(text="apart", tone="bad")
        if self.limit is None:
            return Says(text="no limit", tone="plain")
        if max(abs(self.low), abs(self.high)) > self.limit:
            return Says(text="not known", tone="wait")
        return Says(text="within", tone="good")

    @property
    def sentence(self) -> str:
        """For a person."""
        rates = f"{words.share(self.here)} of {words.counted(self.rows, 'row')} against {words.share(self.others)}"
        between = f"{words.points(self.low)} to {words.points(self.high)}"
        limit = "" if self.limit is None else f", with a limit of {self.limit * 100:g}"
        return f"{self.name}: {self.what}: {words.points(self.difference)} points ({between}){limit}; {rates}"


class Fairness(BaseModel):
    """How groups are treated: differences of their rates, what was not judged and why, and what must not be.

    `errors` and `selection` are the limits of project.yaml; `allowed` names sensitive columns that the model may see.
    """

    errors: float | None
    selection: float | None
    confidence: float
    groups: list[GroupDifference] = []
    unjudged: list[str] = []
    refused: list[str] = []
    allowed: list[str] = []

    @property
    def worst(self) -> list[GroupDifference]:
        """The differences, the largest first."""
        return sorted(self.groups, key=lambda each: (not each.fails, -abs(each.difference)))

    @property
    def summary(self) -> str:
        """In a few words."""
        apart = sum(each.fails for each in self.groups) + len(self.refused)
        judged = words.counted(len(self.groups), "difference")
        return f"{judged} between groups, {apart} against the rules" if apart else f"{judged} between groups"


class Result(BaseModel):
    """What the gate found; the JSON that other programs read."""

    version: Literal[1] = 1
    verdict: Verdict
    passes: bool
    reasons: list[str]
    rules: list[Rule]
    difference: Difference | None
    # Of every metric, the deciding one first.
    differences: list[Difference] = []
    slices: list[SliceDifference]
    settings: Gate
    rows: int
    evaluation: str
    challenger: str
    champion: str | None
    challenger_metrics: dict[str, Measured]
    champion_metrics: dict[str, Measured] | None
    latency_ms: float
    # By which way the service scores rows; empty where nobody asked.
    tier: str = ""
    model_bytes: int
    # By `decision` of project.yaml, if there is one.
    thresholds: list[tuple[float, str]] = []
    worth: Worth | None = None
    champion_worth: Worth | None = None
    worth_difference: Measured | None = None
    # Where project.yaml names sensitive columns; else the JSON is as it would be without them.
    fairness: Fairness | None = None

    @model_serializer(mode="wrap")
    def _without_what_nobody_asked(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = serialize(self)
        if self.fairness is None:
            found.pop("fairness", None)
        return found

    @property
    def same(self) -> bool:
        """Whether this is the very model that serves."""
        return self.champion == self.challenger

    @property
    def held(self) -> str:
        """How many of the rules hold."""
        return f"{sum(rule.holds for rule in self.rules)} of {words.counted(len(self.rules), 'rule')} hold"

    @property
    def says(self) -> Says:
        """What follows for the model."""
        fails = not all(rule.holds for rule in self.rules)
        return meaning(self.verdict, passes=self.passes, same=self.same, fails=fails)

    @property
    def exit_code(self) -> int:
        """0 if the model may replace the champion; 3, 4 or 5 say why not."""
        if not self.passes and self.verdict in ("promote", "no champion"):
            return BLOCKED
        return EXIT_CODES[self.verdict]
