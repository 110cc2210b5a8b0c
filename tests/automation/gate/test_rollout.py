"""The judge of rollouts: what it says where the truth is known, however often it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from gitops_ml.core.rollout import Margins
from gitops_ml.gate import rollout, sequential
from gitops_ml.gate.rollout import Answers, Judgement, Promise, judge
from gitops_ml.gate.sequential import Interval
from pipeline.tasks.scores import Floats

from tests.automation.gate.rollouts import BORDER, FAULTS, roll

ALPHA = 0.1
TIMES, LENGTH = 150, 400


def share(values: Floats) -> Interval:
    return sequential.share(int(values.sum()), len(values), ALPHA)


def naive(values: Floats) -> Interval:
    """The interval of a fixed number of rows, as textbooks have it."""
    half = 1.645 * max(values.std(), 0.05) / np.sqrt(len(values))
    return Interval(values.mean(), values.mean() - half, values.mean() + half)


def missed(interval: Callable[[Floats], Interval], draw: Callable[[np.random.Generator], Floats], truth: float) -> int:
    """In how many of the streams an interval that is looked at again and again ever leaves out the truth."""
    count = 0
    for seed in range(TIMES):
        values = draw(np.random.default_rng(seed))
        seen = (interval(values[:many]) for many in range(10, LENGTH, 10))
        count += any(not each.low <= truth <= each.high for each in seen)
    return count


@pytest.mark.parametrize("probability", [0.02, 0.3])
def test_the_interval_of_a_share_holds_however_often_it_is_looked_at(probability: float) -> None:
    """Of streams of successes at most the level is ever left by the truth, where the textbook's interval often is."""
    draw = lambda random: (random.random(LENGTH) < probability).astype("float64")  # noqa: E731
    assert missed(share, draw, probability) <= ALPHA * TIMES
    assert missed(naive, draw, probability) > 2 * ALPHA * TIMES


def test_the_interval_of_a_mean_holds_however_often_it_is_looked_at() -> None:
    """So does the mean of bounded values, few of which are large."""
    draw = lambda random: random.beta(0.3, 1.2, LENGTH)  # noqa: E731
    assert missed(lambda values: sequential.mean(values, ALPHA), draw, 0.2) <= ALPHA * TIMES
    assert missed(naive, draw, 0.2) > 2 * ALPHA * TIMES


@pytest.mark.parametrize("digits", [6, 0])
def test_the_interval_of_a_quantile_holds_however_often_it_is_looked_at(digits: int) -> None:
    """So does a quantile, of values that are all different and of values of which many are the same."""
    draw = lambda random: np.round(random.exponential(3, LENGTH), digits)  # noqa: E731
    truth = np.round(-3 * np.log(0.1), digits)
    assert missed(lambda values: sequential.quantile(values, 0.9, ALPHA), draw, truth) <= ALPHA * TIMES


def test_intervals_become_narrow() -> None:
    """With more values each is as narrow as what it decides asks for; without any, nothing is known."""
    values = np.random.default_rng(0).random(20_000)
    for found in (
        sequential.share(0, 2000, 0.01),
        sequential.mean(values / 50, 0.01),
        sequential.share(1000, 1000, 0.01),
    ):
        assert found.high - found.low < 0.012
    middle = sequential.quantile(values, 0.5, 0.01)
    assert middle.low < 0.5 < middle.high < middle.low + 0.06
    nothing = np.empty(0)
    assert sequential.share(0, 0, 0.1) == (0, 0, 1)
    assert sequential.mean(nothing, 0.1)[1:] == (0, 1)
    assert sequential.quantile(nothing, 0.5, 0.1)[1:] == (float("-inf"), float("inf"))


@pytest.mark.parametrize(
    ("fault", "paired", "verdict", "reason", "within"),
    [
        ("equal", True, "promote", "", 4000),
        ("equal", False, "promote", "", 5000),
        ("slower by half", True, "keep", "latency", 4000),
        ("slower by half", False, "keep", "latency", 4000),
        ("failing 5 % of requests", True, "keep", "errors", 1500),
        ("failing 5 % of requests", False, "keep", "errors", 1500),
        ("scores shuffled for one category", True, "keep", "scores", 4000),
        ("scores of another scale", True, "keep", "scores", 200),
        ("scores of another scale", False, "keep", "scores", 5000),
    ],
)
def test_a_fault_is_found_with_its_reason(fault: str, paired: bool, verdict: str, reason: str, within: int) -> None:
    """A worse release is stopped by what is wrong with it, an equal one passes, each within so many requests."""
    for seed in range(4):
        said, many = roll(FAULTS[fault], paired=paired, rows=within, seed=seed)
        assert (said.verdict, many <= within) == (verdict, True), said
        assert reason in [each.name for each in said.findings if each.is_worse] or verdict == "promote"


@pytest.mark.parametrize("fault", BORDER)
def test_what_is_as_bad_as_it_may_be_is_hardly_ever_called_worse_or_equal(fault: str) -> None:
    """Exactly at a margin, where errors are most likely, at most the promised share of rollouts is decided."""
    said = [roll(BORDER[fault], paired=True, rows=2000, seed=seed)[0].verdict for seed in range(60)]
    assert said.count("insufficient evidence") >= 57


def answers(many: int, *, status: int = 200, scores: Floats | None = None, loss: float = np.nan) -> Answers:
    """So many answers."""
    scored = np.linspace(0.1, 0.9, many) if scores is None else scores
    return Answers(
        status=np.full(many, status),
        ms=np.full(many, 5.0),
        scores=scored,
        decisions=np.zeros(many, dtype="int64"),
        loss=np.full(many, loss),
    )


def judged(old: Answers, new: Answers, *, paired: bool = True) -> Judgement:
    """A verdict, with what evaluation promised of two releases that answer alike."""
    promise = Promise.of(answers(1000), answers(1000, scores=np.linspace(0.1, 0.9, 1000) + 0.001))
    return judge(old, new, promise, Margins(), 0.95, paired=paired)


def test_without_answers_nothing_is_known() -> None:
    """Before anybody asked, and where nothing came of any request, there is no promotion, and the findings say why."""
    for paired in (True, False):
        said = judged(answers(0), answers(0), paired=paired)
        assert (said.verdict, said.requests) == ("insufficient evidence", 0)
        assert len(said.reasons) == 5
        assert Judgement.model_validate_json(said.model_dump_json()) == said
    silent = answers(500, status=0, scores=np.full(500, np.nan))
    said = judged(answers(500), silent)
    assert said.verdict == "keep"
    assert said.reasons == [
        "errors: +100.0% of the requests failed (+96.4% to +100.0%), more than the 1.0% that is allowed"
    ]


def test_labels_that_came_in_time_count() -> None:
    """A release whose answers turn out wrong is kept out by its loss alone, paired or split."""
    for paired in (True, False):
        said = judged(answers(3000, loss=0.1), answers(3000, loss=0.3), paired=paired)
        assert [each.name for each in said.findings if each.is_worse] == ["loss"]
        said = judged(answers(3000, loss=0.1), answers(3000, loss=0.1), paired=paired)
        assert (said.verdict, [each.name for each in said.findings]) == ("promote", list(rollout.SAID))


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "split"])
def test_the_two_releases_are_measured_alike(paired: bool) -> None:
    """Which of two is the new one turns each difference and its bounds round, and nothing else."""
    random = np.random.default_rng(0)
    status = [random.choice([200, 200, 200, 400, 500], 900) for _ in range(2)]
    one, other = (replace(answers(900), status=each, loss=random.random(900)) for each in status)
    ways = (judged(one, other, paired=paired), judged(other, one, paired=paired))
    there, back = ({each.name: each for each in way.findings} for way in ways)
    for name in ("errors", "refusals", "loss"):
        assert (there[name].low, there[name].high) == pytest.approx((-back[name].high, -back[name].low)), name


def test_probabilities_of_many_classes_are_compared_as_a_whole() -> None:
    """Where a score is a probability for each class, two classes that changed places are found."""
    random = np.random.default_rng(0)
    scores = random.dirichlet([1, 1, 1], 3000)
    near = scores * 0.999 + 0.001 / 3
    promise = Promise.of(answers(3000, scores=scores), answers(3000, scores=near))
    for changed, verdict in ((near, "promote"), (near[:, [1, 0, 2]], "keep")):
        said = judge(answers(3000, scores=scores), answers(3000, scores=changed), promise, Margins(), 0.95, paired=True)
        assert said.verdict == verdict
