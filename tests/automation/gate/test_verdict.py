"""The gate lets better and equal models pass, stops worse ones, and stops whatever it cannot measure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Gate
from gitops_ml.gate import rules
from gitops_ml.gate import verdict as gate
from gitops_ml.gate.candidates import Candidate, Evaluation
from gitops_ml.gate.result import Result, SliceDifference
from pipeline.decision import Policy
from pipeline.tasks import Measures, binary, multiclass, regression
from scipy import stats
from threadpoolctl import threadpool_limits

from tests.automation.gate.study import MARGIN, simulate

RANDOM = np.random.default_rng(3)
ROWS = 4000
TRUTH = RANDOM.uniform(0.05, 0.95, ROWS)
GROUP = np.where(np.arange(ROWS) % 4 == 0, "small", "large").astype(object)
EVALUATION = Evaluation(
    labels=(RANDOM.random(ROWS) < TRUTH).astype("int64"),
    clusters=np.arange(ROWS),
    slices={"group": GROUP},
    slice_minimum=100,
    calibration_bins=10,
    trivial={"a constant": np.full(ROWS, 0.5)},
    seed=0,
    digest="evaluation",
)
SETTINGS = Gate(
    metric="roc_auc",
    margin=0.01,
    confidence=0.95,
    resamples=300,
    floors={"roc_auc": 0.6, "log_loss": 0.7},
    calibration_error=0.2,
    slice_margin=0.02,
    overlap=0.01,
    latency_ms=100,
    model_bytes=1000,
)


def candidate(name: str, noise: float) -> Candidate:
    """A model whose scores are the truth with some noise; the more of it, the worse the model."""
    scores = np.clip(TRUTH + np.random.default_rng(len(name)).normal(0, noise, ROWS), 0.01, 0.99)
    return Candidate(name, scores, latency_ms=1, size=100)


GOOD, MEDIUM, BAD = candidate("good", 0.02), candidate("medium", 0.25), candidate("bad", 0.6)


@pytest.mark.parametrize(
    ("challenger", "champion", "verdict", "code"),
    [
        (GOOD, MEDIUM, "promote", 0),
        (MEDIUM, GOOD, "keep", 3),
        (GOOD, GOOD, "keep", 3),
        (GOOD, replace(GOOD, model="another build of it"), "promote", 0),
        (GOOD, None, "no champion", 0),
    ],
)
def test_the_verdict_follows_the_difference(
    challenger: Candidate, champion: Candidate | None, verdict: str, code: int
) -> None:
    """Better and equal models pass, worse ones and the very same do not; each has its exit code."""
    result = gate.judge(EVALUATION, challenger, champion, SETTINGS)
    assert (result.verdict, result.exit_code) == (verdict, code)
    assert result.passes == (code == 0)


@pytest.mark.parametrize("metric", binary.NAMES)
def test_any_metric_of_the_task_can_decide(metric: str) -> None:
    """Whichever metric decides, the better model passes and the worse one does not, be it better low or high."""
    settings = SETTINGS.model_copy(update={"metric": metric})
    assert gate.judge(EVALUATION, GOOD, BAD, settings).verdict == "promote"
    assert gate.judge(EVALUATION, BAD, GOOD, settings).verdict == "keep"


def test_too_few_rows_are_no_evidence() -> None:
    """Where chance alone could make up the margin, the gate says that it does not know, and blocks."""
    few = replace(
        EVALUATION,
        labels=EVALUATION.labels[:60],
        trivial={"a constant": np.full(60, 0.5)},
        clusters=EVALUATION.clusters[:60],
        slices={"group": GROUP[:60]},
    )
    models = [replace(each, scores=each.scores[:60]) for each in (candidate("x", 0.25), candidate("yy", 0.25))]
    loose = SETTINGS.model_copy(update={"calibration_error": 1})
    result = gate.judge(few, models[0], models[1], loose)
    assert (result.verdict, result.exit_code, result.passes) == ("insufficient evidence", 4, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latency_ms": 200.0}, "latency in ms, 95th percentile: 200 exceeds 100"),
        ({"size": 2000}, "model size in bytes: 2,000 exceeds 1,000"),
        ({"overlap": 0.5}, "share of the evaluation set that trained the challenger: 0.5 exceeds 0.01"),
        ({"scores": np.full(ROWS, 0.5)}, "ROC AUC 0.5 does not reach the floor 0.6"),
        ({"scores": GOOD.scores**4}, "calibration error"),
        ({"latency_ms": float("nan")}, "latency in ms, 95th percentile: nan exceeds 100"),
    ],
)
@pytest.mark.parametrize("champion", [None, MEDIUM])
def test_an_absolute_rule_blocks_whatever_the_comparison_says(
    change: dict[str, object], reason: str, champion: Candidate | None
) -> None:
    """Budgets, floors, calibration and leakage hold for the first model as for every other."""
    result = gate.judge(EVALUATION, replace(GOOD, **change), champion, SETTINGS)  # type: ignore[arg-type]
    assert not result.passes
    assert result.exit_code != 0
    assert any(sentence.startswith(reason) for sentence in result.reasons), result.reasons


def test_a_champion_that_knows_the_rows_is_no_measure() -> None:
    """A champion trained on rows of the evaluation set would be judged too well, so nothing passes against it."""
    result = gate.judge(EVALUATION, GOOD, replace(MEDIUM, overlap=0.3), SETTINGS)
    assert not result.passes
    assert "share of the evaluation set that trained the champion: 0.3 exceeds 0.01" in result.reasons


def test_a_slice_that_suffers_is_caught_while_the_whole_improves() -> None:
    """A challenger that is better overall and clearly worse on one slice is blocked, and the slice is named."""
    small = GROUP == "small"
    mixed = np.where(small, candidate("poor", 0.5).scores, GOOD.scores)
    result = gate.judge(EVALUATION, replace(GOOD, model="mixed", scores=mixed), MEDIUM, SETTINGS)
    assert result.difference
    assert result.difference.difference > 0
    assert not result.passes
    assert [rule.name for rule in result.rules if not rule.holds] == ["slice group = small"]


def slice_of(difference: float, high: float) -> SliceDifference:
    """A slice in which the challenger differs by so much, at most by `high`."""
    return SliceDifference(
        column="group", value="small", rows=500, metric="roc_auc", champion=0.8, challenger=0.8 + difference,
        difference=difference, low=-1.0, high=high,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "high", "holds"),
    [(-0.019, -0.01, True), (-0.02, -0.01, True), (-0.021, -0.01, False), (-0.021, 0.0, True), (-0.021, -1e-9, False)],
    ids=["within the margin", "at the margin", "beyond", "beyond, perhaps by chance", "beyond, hardly by chance"],
)
def test_a_slice_fails_by_more_than_the_margin_and_more_than_chance(
    difference: float, high: float, holds: bool
) -> None:
    """A slice may be worse by the margin however sure that is, and beyond it as long as that may be chance."""
    assert rules.of_slice(slice_of(difference, high), SETTINGS).holds == holds


def test_a_slice_that_is_surely_worse_within_its_margin_passes() -> None:
    """The margin that the settings name is the one that counts."""
    mixed = np.where(GROUP == "small", candidate("poor", 0.5).scores, GOOD.scores)
    challenger = replace(GOOD, model="mixed", scores=mixed)
    wide = SETTINGS.model_copy(update={"slice_margin": 0.5})
    assert not gate.judge(EVALUATION, challenger, MEDIUM, SETTINGS).passes
    assert gate.judge(EVALUATION, challenger, MEDIUM, wide).passes


DECIDED = replace(EVALUATION, policy=Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-30.0, 60.0]])))


def test_decisions_are_worth_what_their_labels_pay() -> None:
    """The worth is that of the rows themselves; beside it stand the best single action and the champion's decisions."""
    result = gate.judge(DECIDED, GOOD, MEDIUM, SETTINGS)
    assert result.worth
    assert result.champion_worth
    assert result.worth_difference
    acted = GOOD.scores > 1 / 3
    paid = np.where(EVALUATION.labels == 1, 60, -30) * acted
    always = np.where(EVALUATION.labels == 1, 60, -30)
    assert result.worth.worth.value == pytest.approx(paid.mean() * 1000)
    assert (result.worth.always, result.worth.always_worth) == ("act", pytest.approx(always.mean() * 1000))
    assert result.worth.gain.value == pytest.approx((paid - always).mean() * 1000)
    assert result.worth.gain.low < result.worth.gain.value < result.worth.gain.high
    assert result.worth_difference.low > 0
    assert result.worth_difference.value == pytest.approx(result.worth.worth.value - result.champion_worth.worth.value)
    assert result.thresholds == [(0.0, "wait"), (pytest.approx(1 / 3), "act")]
    assert gate.judge(EVALUATION, GOOD, MEDIUM, SETTINGS).worth is None


def test_decisions_that_lose_against_no_model_block() -> None:
    """A model that ranks well and says too much acts where it should not: always waiting would be worth more."""
    costly = replace(DECIDED, policy=Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-60.0, 20.0]])))
    sure = replace(GOOD, scores=GOOD.scores**0.2)
    loose = SETTINGS.model_copy(update={"calibration_error": 1, "floors": {}})
    result = gate.judge(costly, sure, None, loose)
    assert not result.passes
    [rule] = [rule for rule in result.rules if rule.name == "worth of the decisions"]
    assert not rule.holds
    assert rule.sentence in result.reasons
    assert rule.sentence.startswith("1,000 decisions are worth -")
    assert gate.judge(costly, GOOD, None, loose).passes


@pytest.mark.parametrize("score", [np.nan, np.inf, -0.1, 1.1])
@pytest.mark.parametrize("role", ["challenger", "champion"])
def test_scores_that_are_no_probabilities_judge_nothing(score: float, role: str) -> None:
    """One score that is no probability, of either model, ends in an error instead of a verdict."""
    broken = replace(GOOD, scores=np.append(GOOD.scores[:-1], score))
    pair = (broken, MEDIUM) if role == "challenger" else (MEDIUM, broken)
    with pytest.raises(UserError, match=f"the {role}'s scores are no probabilities"):
        gate.judge(EVALUATION, *pair, SETTINGS)


def test_a_single_class_judges_nothing() -> None:
    """An evaluation set with one class ends in an error."""
    with pytest.raises(UserError, match="single class"):
        gate.judge(replace(EVALUATION, labels=np.ones(ROWS, dtype="int64")), GOOD, None, SETTINGS)


def test_the_result_is_complete_and_repeatable() -> None:
    """The JSON holds every number, threshold and hash, and reads back; the same input gives the same result."""
    result = gate.judge(EVALUATION, GOOD, MEDIUM, SETTINGS)
    assert Result.model_validate_json(result.model_dump_json()) == result
    assert result == gate.judge(EVALUATION, GOOD, MEDIUM, SETTINGS)
    assert (result.challenger, result.champion, result.evaluation) == ("good", "medium", "evaluation")
    assert result.settings == SETTINGS


@pytest.mark.parametrize("measures", [binary, multiclass, regression])
def test_an_interval_has_the_same_bits_on_one_core_and_on_many(measures: Measures) -> None:
    """A sum over many rows is not split among threads, which would give it other last bits on another machine."""
    labels, scores = RANDOM.integers(0, 2, 20_000), RANDOM.uniform(0.05, 0.95, 20_000)
    each = np.column_stack([1 - scores, scores]) if measures is multiclass else scores
    weights = RANDOM.multinomial(20_000, np.full(20_000, 1 / 20_000), size=20).astype("float64")
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append({name: drawn.tolist() for name, drawn in measures.resampled(labels, each, weights).items()})
    assert found[0] == found[1]


def test_a_model_that_is_worse_by_the_margin_passes_at_most_at_its_level() -> None:
    """Of models that are worse by exactly the margin, no more than 5 % pass, as far as 100 tries can tell."""
    passed = simulate(-MARGIN, times=100, rows=1000)["promote"]
    assert passed <= stats.binom(100, 0.05).ppf(0.9999)


def test_equal_and_better_models_pass_mostly() -> None:
    """The gate is no wall: many equal models pass at this size, better ones practically always."""
    equal, better = simulate(0, times=40, rows=1000), simulate(MARGIN, times=40, rows=1000)
    assert equal["promote"] > 12
    assert equal["keep"] <= stats.binom(40, 0.05).ppf(0.9999)
    assert better["promote"] >= 36
