"""What decisions are worth, beside the one action that would be best for all rows; with intervals, as metrics have."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pipeline.decision import Integers, Policy
from pipeline.tasks.scores import Floats, Labels, one_thread

from gitops_ml.gate.result import Measured, Worth

# What one decision is worth is a small number.
ROWS = 1000


def estimate(policy: Policy, labels: Labels, chosen: Integers, draws: Iterable[Floats], confidence: float) -> Worth:
    """What the chosen actions are worth.

    Args:
        policy: what is paid.
        labels: shape (rows,), the numbers of the classes.
        chosen: shape (rows,), the numbers of the actions.
        draws: for each draw the rows' weights, shape (rows,).
        confidence: of the two-sided intervals.
    """
    constant = [policy.earned(labels, np.full_like(chosen, action)) for action in range(len(policy.actions))]
    best = int(np.argmax([earned.mean() for earned in constant]))
    earned = policy.earned(labels, chosen)
    worth, gain = _estimated(np.column_stack([earned, earned - constant[best]]), draws, confidence)
    always = float(constant[best].mean()) * ROWS
    return Worth(unit=policy.unit, worth=worth, always=policy.actions[best], always_worth=always, gain=gain)


def difference(
    policy: Policy, labels: Labels, pair: tuple[Integers, Integers], draws: Iterable[Floats], confidence: float
) -> Measured:
    """How much more the first one's decisions about the same rows are worth than the second one's."""
    ours, theirs = (policy.earned(labels, chosen) for chosen in pair)
    return _estimated((ours - theirs)[:, None], draws, confidence)[0]


def _estimated(earned: Floats, draws: Iterable[Floats], confidence: float) -> list[Measured]:
    """The mean of each column of `earned`, shape (rows, columns), with its interval."""
    tail = (1 - confidence) / 2
    with one_thread():
        drawn = np.array([weights @ earned / weights.sum() for weights in draws])
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0) * ROWS
    columns = zip((earned.mean(axis=0) * ROWS).tolist(), low.tolist(), high.tolist(), strict=True)
    return [Measured(value=value, low=least, high=most) for value, least, most in columns]
