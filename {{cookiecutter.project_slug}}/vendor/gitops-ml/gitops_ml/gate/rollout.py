"""Judges a release by what it does in production, beside the one that it is to replace, after each request if need be.

Pure: what both answered, and what evaluation promised, come in; a verdict goes out. `keep` as soon as one thing is
worse than it may be, `promote` once every thing is known to be no worse, `insufficient evidence` until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pipeline.decision import Integers
from pipeline.tasks.scores import Floats
from pydantic import BaseModel, ConfigDict

from gitops_ml.core.rollout import Margins
from gitops_ml.gate import sequential
from gitops_ml.gate.sequential import Interval

QUANTILE = 0.95
# Of evaluation's rows, so many are answered otherwise by the new release by less than what is called far.
NEAR = 0.95
# Where the scores of two releases are compared that were asked about different rows.
CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
Name = Literal["errors", "refusals", "latency", "scores", "decisions", "loss"]
Verdict = Literal["promote", "keep", "insufficient evidence"]
SAID: dict[Name, str] = {
    "errors": "of the requests failed",
    "refusals": "of the requests were refused",
    "latency": "at the 95th percentile",
    "scores": "of the scores are not as evaluation promised",
    "decisions": "of the decisions are not as evaluation promised",
    "loss": "by the labels that have come",
}
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What one release answered, in the order in which it was asked.

    `status`, shape (requests,): of HTTP, 0 if nothing came; `ms`, the same shape: how long that took. `scores`, shape
    (rows,), or (rows, classes), is NaN where there was none; `decisions`, shape (rows,), numbers the actions, and is -1
    where none was taken. `loss`, shape (rows,) and between 0 and 1, is what the label says of the answer, such as the
    squared error of a probability or what a decision fell short by; NaN where no label has come.
    """

    status: Integers
    ms: Floats
    scores: Floats
    decisions: Integers
    loss: Floats

    @classmethod
    def of_rows(cls, scores: Floats, decisions: Integers) -> Answers:
        """What a release says of rows, of which nobody asked for them."""
        rows = len(scores)
        return cls(np.full(rows, 200), np.full(rows, np.nan), scores, decisions, np.full(rows, np.nan))


class Promise(BaseModel):
    """How the two releases answered evaluation's rows.

    `far`: from which difference on two scores of a row are far apart, and `is_far`, of how many rows they were.
    `decided`: the share of rows that they decided otherwise. `cuts` and `below`: scores, and by how much larger the
    share of the new release's scores is that are below each. `chosen`: the same of the share that each action has.
    """

    far: float
    is_far: float
    decided: float
    cuts: list[float]
    below: list[float]
    chosen: list[float]

    @classmethod
    def of(cls, old: Answers, new: Answers) -> Promise:
        """What evaluation says of two releases that scored the same rows."""
        apart = _apart(old.scores, new.scores)
        far, cuts = float(np.quantile(apart, NEAR)), np.quantile(_single(old.scores), CUTS)
        actions = np.arange(max(old.decisions.max(initial=-1), new.decisions.max(initial=-1)) + 1)
        return cls(
            far=far,
            is_far=float((apart > far).mean()),
            decided=float((old.decisions != new.decisions).mean()),
            cuts=cuts.tolist(),
            below=[float((_single(new.scores) < cut).mean() - (_single(old.scores) < cut).mean()) for cut in cuts],
            chosen=[float((new.decisions == each).mean() - (old.decisions == each).mean()) for each in actions],
        )


class Finding(BaseModel):
    """One thing that was compared: by how much the new release is worse, between which bounds, and how much may be."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    name: Name
    value: float
    low: float
    high: float
    margin: float

    @property
    def is_worse(self) -> bool:
        """Whether it is worse than it may be, for certain."""
        return self.low > self.margin

    @property
    def is_equal(self) -> bool:
        """Whether it is no worse than it may be, for certain."""
        return self.high <= self.margin

    @property
    def sentence(self) -> str:
        """For a person."""
        if not np.isfinite(self.high):
            return f"{self.name}: too few answers to know anything"
        value, low, high, margin = (f"{each:+.1%}" for each in (self.value, self.low, self.high, self.margin))
        beside = "more than" if self.is_worse else "within" if self.is_equal else "which may be more than"
        return f"{self.name}: {value} {SAID[self.name]} ({low} to {high}), {beside} the {margin[1:]} that is allowed"


class Judgement(BaseModel):
    """The verdict, and what it rests on; the JSON that other programs read."""

    version: Literal[1] = 1
    verdict: Verdict
    requests: int  # that the new release was asked
    findings: list[Finding]

    @property
    def reasons(self) -> list[str]:
        """Why: what is worse, or else what is not known yet."""
        worse = [each for each in self.findings if each.is_worse]
        return [each.sentence for each in worse or [each for each in self.findings if not each.is_equal]]


def judge(
    old: Answers, new: Answers, promise: Promise, margins: Margins, confidence: float, *, paired: bool
) -> Judgement:
    """Judge a new release by what both have answered until now; it may be asked again whenever more has come.

    Over all times that it is asked, a release that is nowhere worse than by its margins is called `keep` with a
    probability of at most 1 - confidence, and so is one `promote` that is somewhere worse than that.

    Args:
        old: what the one that serves answered.
        new: what the one that is to replace it answered; with `paired`, to the same requests in the same order.
        promise: what evaluation says of the two.
        margins: what still counts as equal.
        confidence: of all intervals together, at all times.
        paired: whether each request was answered by both; otherwise the callers were split between them.
    """
    # Of labels that may come later, too: a level that changed with what is known would be no level.
    alpha = (1 - confidence) / len(SAID)
    if not paired:
        margins = margins.model_copy(update={"scores": margins.mix, "decisions": margins.mix})
    findings = [
        Finding(name=name, margin=getattr(margins, name), **found._asdict())
        for name, found in (_paired if paired else _split)(old, new, promise, alpha)
    ]
    verdict: Verdict = "insufficient evidence"
    if any(each.is_worse for each in findings):
        verdict = "keep"
    elif all(each.is_equal for each in findings):
        verdict = "promote"
    return Judgement(verdict=verdict, requests=len(new.status), findings=findings)


def _paired(old: Answers, new: Answers, promise: Promise, alpha: float) -> Iterator[tuple[Name, Interval]]:
    """What answers to the same requests say."""
    yield "errors", _discordant(_failed(old), _failed(new), alpha)
    yield "refusals", _discordant(_refused(old), _refused(new), alpha)
    yield "latency", _slower(old, new, alpha)
    apart = _apart(old.scores, new.scores)
    yield "scores", _beyond(apart[~np.isnan(apart)] > promise.far, promise.is_far, alpha)
    if len(promise.chosen):
        both = (old.decisions >= 0) & (new.decisions >= 0)
        yield "decisions", _beyond(old.decisions[both] != new.decisions[both], promise.decided, alpha)
    difference = new.loss - old.loss
    if len(known := difference[~np.isnan(difference)]):
        yield "loss", Interval(*(2 * each - 1 for each in sequential.mean((known + 1) / 2, alpha)))


def _split(old: Answers, new: Answers, promise: Promise, alpha: float) -> Iterator[tuple[Name, Interval]]:
    """What answers to different callers say."""
    yield "errors", _difference(_failed(old), _failed(new), alpha)
    yield "refusals", _difference(_refused(old), _refused(new), alpha)
    yield "latency", _slower(old, new, alpha)
    before, now = (_single(each.scores) for each in (old, new))
    before, now = before[~np.isnan(before)], now[~np.isnan(now)]
    yield "scores", _furthest([(before < cut, now < cut) for cut in promise.cuts], promise.below, alpha)
    if actions := len(promise.chosen):
        did, does = (each.decisions[each.decisions >= 0] for each in (old, new))
        yield "decisions", _furthest([(did == each, does == each) for each in range(actions)], promise.chosen, alpha)
    was, is_ = (each.loss[~np.isnan(each.loss)] for each in (old, new))
    if len(was) and len(is_):
        yield "loss", sequential.less(sequential.mean(is_, alpha / 2), sequential.mean(was, alpha / 2))


def _failed(answers: Answers) -> Booleans:
    failed: Booleans = (answers.status >= 500) | (answers.status == 0)
    return failed


def _refused(answers: Answers) -> Booleans:
    refused: Booleans = answers.status // 100 == 4
    return refused


def _discordant(old: Booleans, new: Booleans, alpha: float) -> Interval:
    """How much more often something happens to the new one, by the requests at which the two differ."""
    return sequential.less(_share(new & ~old, alpha / 2), _share(old & ~new, alpha / 2))


def _difference(old: Booleans, new: Booleans, alpha: float) -> Interval:
    return sequential.less(_share(new, alpha / 2), _share(old, alpha / 2))


def _share(happened: Booleans, alpha: float) -> Interval:
    return sequential.share(int(happened.sum()), len(happened), alpha)


def _beyond(happened: Booleans, promised: float, alpha: float) -> Interval:
    return Interval(*(each - promised for each in _share(happened, alpha)))


def _slower(old: Answers, new: Answers, alpha: float) -> Interval:
    """By which share of the old one's latency the new one's is larger, of what both answered well."""
    before, now = (
        sequential.quantile(each.ms[(each.status >= 200) & (each.status < 300)], QUANTILE, alpha / 2)
        for each in (old, new)
    )
    if not (before.low > 0 and np.isfinite(now.high)):
        return Interval(0.0, -1.0, float("inf"))
    return Interval(now.value / before.value - 1, now.low / before.high - 1, now.high / before.low - 1)


def _furthest(pairs: list[tuple[Booleans, Booleans]], promised: list[float], alpha: float) -> Interval:
    """How far the shares of two samples are from what was promised of their difference, where that is farthest."""
    found = [
        sequential.less(_share(new, alpha / 2 / len(pairs)), _share(old, alpha / 2 / len(pairs))) for old, new in pairs
    ]
    off = [Interval(*(each - much for each in one)) for one, much in zip(found, promised, strict=True)]
    return Interval(
        max(abs(each.value) for each in off),
        max(max(each.low, -each.high, 0.0) for each in off),
        max(max(abs(each.low), abs(each.high)) for each in off),
    )


def _apart(old: Floats, new: Floats) -> Floats:
    """How far two scores of each row are apart: of several classes, the share of probability that has moved."""
    difference = np.abs(new - old)
    return difference if difference.ndim == 1 else difference.sum(axis=1) / 2


def _single(scores: Floats) -> Floats:
    """One number a row: of several classes, how sure the likeliest is."""
    return scores if scores.ndim == 1 else scores.max(axis=1)
