"""What labels will probably say, before they come: the metric and the worth that the scores themselves lead to expect.

Confidence-based performance estimation (Kivimäki et al. 2024, arXiv:2407.08649; Białek et al. 2024, arXiv:2401.08348):
if of all rows with the score p a share of p turns out to be positive, every metric has an expected value without any
label. That is exact for means over rows, such as log loss, accuracy or worth, and the ratio of expected values for
others, such as ROC AUC. The scores of two classes are first brought to what the release's evaluation says of them, by a
logistic curve through its calibration (Platt 1999); those of more classes are taken as they are.

It holds as long as labels follow from inputs as they did (covariate shift). Where they do not (concept drift), nothing
of that is in the scores, and the estimate goes on as if all were well. So it keeps a record of what was measured
afterwards, and has no alarm before that record is good.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pipeline.decision import Integers
from pipeline.tasks import MEASURES
from pipeline.tasks.scores import Floats, one_thread
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression

from gitops_ml.gate.result import Measured
from gitops_ml.gate.worth import ROWS
from gitops_ml.monitor import signals
from gitops_ml.monitor.reference import Reference
from gitops_ml.pages import words

WORTH = "worth"
# Of so many rows of each class, expected ones included, a metric can be told.
FEWEST = 10
# Of more rows each draw looks at some, evenly; the interval is then wider than it need be.
DRAWN_ROWS = 50_000
# Trusted is what was right in so many windows with labels, in such a share of them, and in the newest.
TRUSTED_WINDOWS, TRUSTED_SHARE = 3, 0.75
NO_LABELS_OF_ITS_OWN = "not estimated: the answers of a regression do not say how far off they may be"


class Estimate(BaseModel):
    """What is expected of one metric, or of the worth of 1,000 decisions beyond the best single action.

    `expected` is of all rows of the window, `of_labelled` of those with a label, of which `measured` is what it was.
    """

    name: str
    expected: Measured
    of_labelled: Measured | None = None
    measured: float | None = None

    @property
    def inside(self) -> bool | None:
        """Whether what was measured lies in the interval that was expected of the same rows; None without labels."""
        if self.of_labelled is None or self.measured is None:
            return None
        return self.of_labelled.low <= self.measured <= self.of_labelled.high


class Record(BaseModel):
    """How often an estimate was right: in so many of the `windows` that have labels; trusted, it has an alarm."""

    name: str
    windows: int
    inside: int
    trusted: bool

    @property
    def sentence(self) -> str:
        """For a person."""
        said = f"measured within its interval in {self.inside} of {words.counted(self.windows, 'window')} with labels"
        if self.trusted:
            return f"{said}, so it has an alarm"
        needed = f"its alarm is off until {TRUSTED_WINDOWS} were, {words.share(TRUSTED_SHARE)} of all, and the newest"
        return f"{said if self.windows else 'no window has labels yet'}; {needed}"


def of_window(
    answers: pd.DataFrame, labelled: pd.DataFrame, reference: Reference, metric: str, measured: dict[str, float]
) -> list[Estimate]:
    """What is expected in a window.

    Args:
        answers: those of the reference's model.
        labelled: those of them whose label is known; none of them if too few are.
        reference: what serves.
        metric: the one that decides.
        measured: what labels said, by metric, and of `WORTH` the gain.
    """
    if reference.schema.task == "regression":
        return []
    everything = expected(answers, reference, metric)
    known = everything
    if len(labelled) < len(answers):
        known = expected(labelled, reference, metric) if len(labelled) else {}
    return [
        Estimate(
            name=name,
            expected=found,
            of_labelled=known.get(name) if name in measured else None,
            measured=measured.get(name) if name in known else None,
        )
        for name, found in everything.items()
    ]


def expected(answers: pd.DataFrame, reference: Reference, metric: str) -> dict[str, Measured]:
    """What is expected of rows, as intervals in which their labels should lie; nothing where a class is too rare."""
    found: dict[str, Measured] = {}
    scores = signals.scores(answers)
    chances = calibrated(scores, reference)
    if np.sort(chances.sum(axis=0))[-2:].min() < FEWEST:
        return found
    measures, count = MEASURES[reference.schema.task], chances.shape[1]
    # Each row once with each label, weighing as much as that label is likely.
    labels, rows = np.tile(np.arange(count), len(scores)), np.repeat(scores, count, axis=0)
    value = float(measures.resampled(labels, rows, [chances.ravel()])[metric][0])
    some = _some(len(scores))
    weights = _draws(chances[some], signals.by_day(answers.iloc[some]), reference.evaluate.seed)
    pieces = (np.tile(np.arange(count), len(some)), np.repeat(scores[some], count, axis=0))
    drawn, promised = measures.resampled(*pieces, weights)[metric], reference.metrics[metric]
    own_width = _around(value, drawn, reference.evaluate.confidence)
    unsure = (promised["high"] - promised["low"]) / 2
    found[metric] = _around(value, drawn, reference.evaluate.confidence, unsure=unsure)
    # Nobody promised a worth; the rows of a day share as much of their luck in it as in the metric.
    wider = (found[metric].high - found[metric].low) / ((own_width.high - own_width.low) or 1)
    if gain := _gain(answers, chances, reference):
        earned, own = gain
        places = some[own[some]]
        again = _draws(chances[places], signals.by_day(answers.iloc[places]), reference.evaluate.seed)
        flat = earned[places].ravel()
        with one_thread():
            worth = np.array([weights @ flat / weights.sum() for weights in again]) * ROWS
        mean = float((chances[own] * earned[own]).sum() / own.sum()) * ROWS
        found[WORTH] = _around(mean, worth, reference.evaluate.confidence, wider=wider)
    return found


def calibrated(scores: Floats, reference: Reference) -> Floats:
    """The chance of each class, shape (rows, classes), as the release's evaluation lets scores be read."""
    if scores.ndim > 1:
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype="float64")
    known = np.array(reference.calibration, dtype="float64").reshape(-1, 2)
    if len(np.unique(known[:, 0])) > 1:
        at, rate = _logit(known[:, 0])[:, None], known[:, 1]
        curve = LogisticRegression(C=1e3).fit(
            np.concatenate([at, at]), np.repeat([1, 0], len(at)), np.concatenate([rate, 1 - rate]) + 1e-9
        )
        # One that falls says that scores are of no use, and then nothing can be expected by them.
        if curve.coef_[0, 0] > 0:
            scores = curve.predict_proba(_logit(scores)[:, None])[:, 1]
    return np.column_stack([1 - scores, scores])


def record(name: str, estimates: list[Estimate]) -> Record:
    """How often the estimates of one name were right, the oldest window first."""
    known = [each.inside for each in estimates if each.name == name and each.inside is not None]
    right = sum(known)
    trusted = right >= TRUSTED_WINDOWS and right >= TRUSTED_SHARE * len(known) and known[-1]
    return Record(name=name, windows=len(known), inside=right, trusted=trusted)


def signal(found: Estimate, reference: Reference, margin: float) -> signals.Signal:
    """Whether what is expected is worse than promised, beyond its interval; of worth, than the best single action."""
    value, low, high = found.expected.value, found.expected.low, found.expected.high
    if found.name == WORTH:
        unit = reference.policy.unit if reference.policy else ""
        bounds = f"{words.amount(low, '+')} to {words.amount(high, '+')}"
        return signals.Signal(
            kind="expected worth",
            name="decisions",
            state=signals.state_of(value < 0, proven=high < 0),
            sentence=f"1,000 decisions are expected to be worth {words.amount(value, '+')} {unit} ({bounds}) against "
            "the best single action, by the scores alone",
            value=value,
            limit=0,
            bound="at least",
            low=low,
            high=high,
        )
    promised = reference.metrics[found.name]["value"]
    sign = 1 if found.name in MEASURES[reference.schema.task].LOWER_IS_BETTER else -1
    limit = promised + sign * margin
    beyond, best = (value - limit) * sign > 0, low if sign > 0 else high
    return signals.Signal(
        kind="expected",
        name=found.name,
        state=signals.state_of(beyond, proven=(best - limit) * sign > 0),
        sentence=f"{words.metric(found.name)} is expected to be {words.number(value)} ({words.interval(low, high)}) by "
        f"the scores alone, and {words.number(promised)} was promised",
        value=value,
        limit=limit,
        bound="at most" if sign > 0 else "at least",
        low=low,
        high=high,
    )


def _gain(answers: pd.DataFrame, chances: Floats, reference: Reference) -> tuple[Floats, np.ndarray] | None:
    """What each row pays by each label beyond the best single action, shape (rows, classes), and which rows this
    release decided; None if too few.
    """
    policy = reference.policy
    if policy is None or "decision" not in answers:
        return None
    own = answers["decision"].isin(policy.actions).to_numpy()
    if reference.created is not None:
        own = own & (answers["release"] == reference.release).to_numpy()
    if np.sort(chances[own].sum(axis=0))[-2:].min() < FEWEST:
        return None
    best = int((chances[own] @ policy.payoffs.T).sum(axis=0).argmax())
    places = {name: place for place, name in enumerate(policy.actions)}
    chosen = answers["decision"].map(places).where(own, best).to_numpy(dtype=np.int64)
    earned = policy.payoffs[chosen] - policy.payoffs[best]
    return earned, own


def _draws(chances: Floats, days: Integers, seed: int) -> Iterator[Floats]:
    """Weights of rows with each label, flat: of whole days that are drawn, and of labels that are drawn by chance."""
    random, count = np.random.default_rng(seed), int(days.max()) + 1
    edges = chances.cumsum(axis=1)
    for _ in range(signals.RESAMPLES):
        weights = random.multinomial(count, np.full(count, 1 / count))[days].astype("float64")
        label = (random.random(len(days))[:, None] > edges).sum(axis=1).clip(0, chances.shape[1] - 1)
        drawn = np.zeros_like(chances)
        drawn[np.arange(len(days)), label] = weights
        if (drawn.sum(axis=0) > 0).sum() > 1:
            yield drawn.ravel()


def _around(value: float, drawn: Floats, confidence: float, *, unsure: float = 0.0, wider: float = 1.0) -> Measured:
    """The value with the interval of draws: so many times as wide, and wider by `unsure`, as squares add up."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    down, up = (float(np.hypot(max(each, 0.0) * wider, unsure)) for each in (value - low, high - value))
    return Measured(value=value, low=value - down, high=value + up)


def _some(count: int) -> Integers:
    """The places of all rows, or of as many as are drawn, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, DRAWN_ROWS)).astype(np.int64))


def _logit(scores: Floats) -> Floats:
    inside = scores.clip(1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)), dtype="float64")
