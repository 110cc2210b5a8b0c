"""What is decided pays most in the mean, and a decision that does not fit the labels is refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.decision import Decision, Policy, policy
from pipeline.schema import Column, Schema

Payoffs = dict[str, dict[Any, float]]
FEATURE = {"x": Column(type="number")}
BINARY = Schema(columns=FEATURE | {"y": Column(type="integer", role="target", minimum=0, maximum=1)})
BOOLEAN = Schema(columns=FEATURE | {"y": Column(type="boolean", role="target")})
THREE = Schema(
    task="multiclass",
    columns=FEATURE | {"y": Column(type="category", role="target", categories=["red", "amber", "green"])},
)
ANSWER = Schema(columns=FEATURE | {"y": Column(type="category", role="target", categories=["no", "yes"])})
NUMBER = Schema(task="regression", columns=FEATURE | {"y": Column(type="number", role="target")})
REBOOK: Payoffs = {"wait": {0: 0, 1: 0}, "rebook": {0: -30, 1: 60}}
CALL: Payoffs = {"call": {0: -5, 1: 20}}
DRIVE: Payoffs = {
    "go": {"red": -100, "amber": -5, "green": 10},
    "slow": {"red": -40, "amber": 5, "green": 2},
    "stop": {"red": 0, "amber": 0, "green": -2},
}


def decided(payoffs: Payoffs, schema: Schema = BINARY) -> Policy:
    """The policy of some payoffs."""
    found = policy(Decision(unit="USD", payoffs=payoffs), schema)
    assert found
    return found


def test_the_threshold_follows_from_the_payoffs() -> None:
    """Acting pays where 60 p is more than 30 (1 - p), from a third on; at the threshold the first one is kept."""
    found = decided(REBOOK)
    assert found.thresholds() == [(0.0, "wait"), (pytest.approx(1 / 3), "rebook")]
    assert found.choose(np.array([0.0, 0.33, 1 / 3, 0.34, 1.0])).tolist() == [0, 0, 0, 1, 1]


def test_of_three_actions_each_is_best_somewhere_or_nowhere() -> None:
    """A cheaper action is best between the others; one that is never best has no threshold."""
    assert [action for _, action in decided(REBOOK | CALL).thresholds()] == ["wait", "call", "rebook"]
    useless = REBOOK | {"pray": {0: -1, 1: -1}}
    assert decided(useless).thresholds() == decided(REBOOK).thresholds()


@pytest.mark.parametrize(("payoffs", "schema"), [(REBOOK | CALL, BINARY), (DRIVE, THREE)], ids=["two", "three"])
def test_no_other_action_would_pay_more_in_the_mean(payoffs: Payoffs, schema: Schema) -> None:
    """For any probabilities the chosen action has the highest expected payoff, alone as in a batch."""
    found, random = decided(payoffs, schema), np.random.default_rng(1)
    chances = random.dirichlet(np.ones(len(schema.classes)), 500)
    scores = chances[:, 1] if schema.task == "binary" else chances
    chosen = found.choose(scores)
    for row, action in zip(chances, chosen, strict=True):
        expected = [
            sum(chance * by_label[label] for chance, label in zip(row, schema.classes, strict=True))
            for by_label in payoffs.values()
        ]
        assert expected[action] == pytest.approx(max(expected))
    assert [int(found.choose(scores[place : place + 1])[0]) for place in range(500)] == chosen.tolist()
    assert len(set(chosen.tolist())) == len(payoffs)


def test_what_was_earned_follows_the_labels() -> None:
    """Each row pays what its action pays for the label that turned out to be true."""
    labels, chosen = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert decided(REBOOK).earned(labels, chosen).tolist() == [0, 0, -30, 60]


def test_labels_may_be_true_and_false() -> None:
    """YAML's true and false are the labels of a boolean target."""
    assert decided({"wait": {False: 0, True: 0}, "act": {False: -1, True: 1}}, BOOLEAN).thresholds()[1][0] == 0.5


@pytest.mark.parametrize(
    ("payoffs", "schema", "sentence"),
    [
        (REBOOK, THREE, "payoffs.wait is about 0, 1, and 'y' is one of red, amber, green"),
        (REBOOK | {"half": {1: 5}}, BINARY, "payoffs.half is about 1, and 'y' is one of 0, 1"),
        (
            {"wait": {False: 0, True: 0}, "act": {"no": 1, "yes": 0}},
            ANSWER,
            "False, True, and 'y' is one of no, yes; put quotes around it",
        ),
        (REBOOK, NUMBER, "a regression has no labels to decide by"),
    ],
)
def test_payoffs_are_about_the_labels(payoffs: Payoffs, schema: Schema, sentence: str) -> None:
    """A label without a payoff, or a payoff without a label, is refused by name."""
    with pytest.raises(ValueError, match=sentence):
        decided(payoffs, schema)


@pytest.mark.parametrize(
    ("payoffs", "sentence"),
    [
        ({"wait": {0: 0, 1: 0}}, "at least 2 items"),
        ({"wait": {0: 0, 1: 0}, "act": {0: 0, 1: 0}}, "'wait' and 'act' always pay the same"),
        ({"wait": {0: 0, 1: 0}, "act": {0: 0, 1: float("nan")}}, "finite number"),
        ({"wait": {0: 0, 1: 0}, "act": {0: 0, 1: "much"}}, "valid number"),
        ({"wait": {0: 0, 1: 0}, "act": {0: 0, 1: 1e300}}, "less than or equal to"),
        ({"wait": {0: 0, "0": 9, 1: 0}, "act": {0: 0, 1: 1}}, "'wait' has two payoffs for one label"),
        (["wait", "act"], "valid dictionary"),
    ],
)
def test_a_decision_without_a_choice_is_refused(payoffs: Any, sentence: str) -> None:
    """One action, two that are the same, and payoffs that are no numbers are errors."""
    with pytest.raises(ValidationError, match=sentence):
        Decision(unit="USD", payoffs=payoffs)


def test_nothing_need_be_decided() -> None:
    """A project without payoffs has no policy."""
    assert policy(None, BINARY) is None
