"""The gate: may this model replace the one that serves?

Champion and challenger score the same rows, and the difference of the deciding metric is estimated by a paired
bootstrap: each draw weighs both models' scores alike (Efron and Tibshirani 1993, chapters 13 and 16), whole clusters
at a time where rows share their luck. The challenger passes if the one-sided lower bound of the difference lies above
minus the margin, which is the test of non-inferiority (Wellek 2010): a model that is worse by the whole margin passes
in at most 1 - confidence of all cases. A slice fails if it is worse by more than its margin and its upper bound,
corrected for the number of slices (Bonferroni), is below zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pipeline import metrics
from pipeline.tasks.scores import Floats

from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Fairness, Gate
from gitops_ml.gate import fairness, rules, worth
from gitops_ml.gate.candidates import Candidate, Evaluation
from gitops_ml.gate.result import Difference, Measured, Result, SliceDifference, Verdict, Worth

Mask = npt.NDArray[np.bool_]
# Challenger and champion.
Pair = tuple[Candidate, Candidate]
# Each metric on each draw, shape (draws,).
Drawn = dict[str, Floats]


def judge(
    evaluation: Evaluation,
    challenger: Candidate,
    champion: Candidate | None,
    gate: Gate,
    fair: Fairness | None = None,
) -> Result:
    """Compare the challenger with the champion and hold it to the absolute rules.

    Args:
        evaluation: the rows.
        challenger: the model that wants to serve.
        champion: the model that serves, scored on the same rows; None if nothing serves yet.
        gate: the limits.
        fair: how differently groups may be treated; None if no sensitive column is named.

    Raises:
        UserError: a metric of the settings is none of the task's, a model gives scores that cannot be judged, or the
            rows hold a single label.
    """
    rules.require_metrics(evaluation.task, gate)
    for name, candidate in (("challenger", challenger), ("champion", champion)):
        if candidate is not None and not evaluation.measures.valid(candidate.scores):
            wrong = "numbers" if evaluation.task == "regression" else "probabilities (NaN, or outside of 0 to 1)"
            raise UserError(f"the {name}'s scores are no {wrong}: nothing was judged")
    if evaluation.labels.min() == evaluation.labels.max():
        single = "label" if evaluation.task == "regression" else "class"
        raise UserError(f"the evaluation set holds a single {single}: nothing was judged")
    held = rules.absolute(evaluation, challenger, gate)
    decided = _worth(evaluation, challenger, gate)
    if decided:
        held.append(rules.of_worth(decided))
    everything = np.ones(len(evaluation.labels), dtype=bool)
    ours = _drawn(evaluation, everything, challenger, gate)
    differences, slices, serving = list[Difference](), list[SliceDifference](), None
    if champion is not None:
        held.append(rules.overlap("champion", champion, gate))
        theirs = _drawn(evaluation, everything, champion, gate)
        serving = _measured(evaluation, champion, theirs, gate)
        differences = _differences(evaluation, everything, (challenger, champion), (ours, theirs), gate)
        slices = _slice_differences(evaluation, (challenger, champion), gate)
        held += [rules.of_slice(each, gate) for each in slices]
    treated = fairness.judge(evaluation, challenger, champion, fair, gate) if fair else None
    held += fairness.rules_of(treated) if treated else []
    difference = differences[0] if differences else None
    verdict, reason = _verdict(difference, challenger, champion, gate)
    broken = [rule.sentence for rule in held if not rule.holds]
    if broken and verdict == "promote":
        verdict = "keep"
    passes = verdict in ("promote", "no champion") and not broken
    return Result(
        verdict=verdict,
        passes=passes,
        reasons=[*broken, reason] if broken else [reason],
        rules=held,
        difference=difference,
        differences=differences,
        slices=slices,
        settings=gate,
        rows=len(evaluation.labels),
        evaluation=evaluation.digest,
        challenger=challenger.model,
        champion=champion.model if champion else None,
        challenger_metrics=_measured(evaluation, challenger, ours, gate),
        champion_metrics=serving,
        latency_ms=challenger.latency_ms,
        tier=challenger.tier,
        model_bytes=challenger.size,
        thresholds=evaluation.policy.thresholds() if evaluation.policy else [],
        worth=decided,
        champion_worth=_worth(evaluation, champion, gate) if champion else None,
        worth_difference=_worth_difference(evaluation, (challenger, champion), gate) if champion else None,
        fairness=treated,
    )


def _verdict(
    difference: Difference | None, challenger: Candidate, champion: Candidate | None, gate: Gate
) -> tuple[Verdict, str]:
    if difference is None or champion is None:
        return "no champion", "nothing serves yet, so the model is held to the absolute rules alone"
    if champion.model == challenger.model:
        return "keep", "this is the very model that serves"
    numbers = difference.sentence
    if difference.low > -gate.margin:
        equal = f"equal to the champion, since worse by less than the margin of {gate.margin:g}, if at all"
        words = "better than the champion" if difference.low > 0 else equal
        return "promote", f"{words}: {numbers}"
    if difference.high < 0:
        return "keep", f"worse than the champion: {numbers}"
    unsettled = f"too few rows to tell whether it is worse by more than the margin of {gate.margin:g}"
    return "insufficient evidence", f"{unsettled}: {numbers}"


def _drawn(evaluation: Evaluation, mask: Mask, candidate: Candidate, gate: Gate) -> Drawn:
    """Each metric on each draw of some rows. The same rows give every candidate the same draws: that pairs them."""
    labels, clusters = evaluation.labels[mask], np.unique(evaluation.clusters[mask], return_inverse=True)[1]
    drawn = metrics.draws(labels, clusters, gate.resamples, evaluation.seed)
    return evaluation.measures.resampled(labels, candidate.scores[mask], drawn)


def _measured(evaluation: Evaluation, candidate: Candidate, drawn: Drawn, gate: Gate) -> dict[str, Measured]:
    tail = (1 - gate.confidence) / 2
    bounds = {name: np.quantile(values, [tail, 1 - tail]).tolist() for name, values in drawn.items()}
    found = evaluation.measures.measure(evaluation.labels, candidate.scores)
    return {name: Measured(value=found[name], low=low, high=high) for name, (low, high) in bounds.items()}


def _differences(
    evaluation: Evaluation, mask: Mask, pair: Pair, drawn: tuple[Drawn, Drawn], gate: Gate, *, comparisons: int = 1
) -> list[Difference]:
    """Challenger against champion on some rows by every metric, the deciding one first.

    The bounds are one-sided, each at the confidence that the gate asks for, shared among so many comparisons.
    """
    tail = (1 - gate.confidence) / comparisons
    measures, labels = evaluation.measures, evaluation.labels[mask]
    found = [measures.measure(labels, candidate.scores[mask]) for candidate in pair]
    differences = []
    for name in sorted(measures.NAMES, key=lambda name: name != gate.metric):
        lower = name in measures.LOWER_IS_BETTER
        sign = -1 if lower else 1
        low, high = np.quantile(sign * (drawn[0][name] - drawn[1][name]), [tail, 1 - tail])
        challenger, champion = found[0][name], found[1][name]
        difference = sign * (challenger - champion)
        differences.append(
            Difference(
                metric=name,
                champion=champion,
                challenger=challenger,
                difference=difference,
                low=float(low),
                high=float(high),
                lower_is_better=lower,
            )
        )
    return differences


def _worth(evaluation: Evaluation, candidate: Candidate, gate: Gate) -> Worth | None:
    """What is decided by a model's scores is worth so much; None if nothing is."""
    policy, labels = evaluation.policy, evaluation.labels
    if policy is None:
        return None
    drawn = metrics.draws(labels, evaluation.clusters, gate.resamples, evaluation.seed)
    return worth.estimate(policy, labels, policy.choose(candidate.scores), drawn, gate.confidence)


def _worth_difference(evaluation: Evaluation, pair: Pair, gate: Gate) -> Measured | None:
    policy, labels = evaluation.policy, evaluation.labels
    if policy is None:
        return None
    drawn = metrics.draws(labels, evaluation.clusters, gate.resamples, evaluation.seed)
    chosen = (policy.choose(pair[0].scores), policy.choose(pair[1].scores))
    return worth.difference(policy, labels, chosen, drawn, gate.confidence)


def _slice_differences(evaluation: Evaluation, pair: Pair, gate: Gate) -> list[SliceDifference]:
    inside = [
        (column, str(value), values == value)
        for column, values in evaluation.slices.items()
        for value in sorted(set(values), key=str)
    ]
    measurable = [
        (column, value, mask)
        for column, value, mask in inside
        if mask.sum() >= evaluation.slice_minimum and evaluation.labels[mask].min() < evaluation.labels[mask].max()
    ]
    found = []
    for column, value, mask in measurable:
        drawn = (_drawn(evaluation, mask, pair[0], gate), _drawn(evaluation, mask, pair[1], gate))
        difference = _differences(evaluation, mask, pair, drawn, gate, comparisons=len(measurable))[0]
        found.append(SliceDifference(column=column, value=value, rows=int(mask.sum()), **difference.model_dump()))
    return found
