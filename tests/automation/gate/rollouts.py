"""Rollouts of releases whose faults are known: how often the judge says what, and after how many requests.

Requests have a latency, a category and a probability; the old release errs a little about the latter, and so does the
new one. What a fault does is done to the new release's answers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from gitops_ml.core.rollout import Margins
from gitops_ml.gate.rollout import Answers, Judgement, Promise, judge
from pipeline.tasks.scores import Floats

CATEGORIES, THRESHOLD = 8, 1 / 3
LOOK, ROWS = 100, 5000
EVALUATION = 20_000
MARGINS = Margins()
CONFIDENCE = 0.95
Fault = Callable[[Answers, Floats, np.random.Generator], Answers]


def equal(answers: Answers, _: Floats, __: np.random.Generator) -> Answers:
    """No fault."""
    return answers


def slower(by: float) -> Fault:
    """Each answer takes longer."""
    return lambda answers, _, __: replace(answers, ms=answers.ms * (1 + by))


def failing(share: float) -> Fault:
    """Requests fail at random."""

    def done(answers: Answers, _: Floats, random: np.random.Generator) -> Answers:
        failed = random.random(len(answers.status)) < share
        scores = np.where(failed, np.nan, answers.scores)
        return replace(
            answers,
            status=np.where(failed, 500, answers.status),
            scores=scores,
            decisions=np.where(failed, -1, answers.decisions),
        )

    return done


def shuffled(answers: Answers, categories: Floats, random: np.random.Generator) -> Answers:
    """The scores of one category, an eighth of the rows, are each another row's."""
    here, scores = np.flatnonzero(categories == 0), answers.scores.copy()
    scores[here] = scores[random.permutation(here)]
    return _scored(answers, scores)


def rescaled(answers: Answers, _: Floats, __: np.random.Generator) -> Answers:
    """Scores are on another scale, as odds are beside probabilities."""
    return _scored(answers, np.clip(answers.scores / (1 - answers.scores), 0, None))


FAULTS: dict[str, Fault] = {
    "equal": equal,
    "slower by half": slower(0.5),
    "failing 5 % of requests": failing(0.05),
    "scores shuffled for one category": shuffled,
    "scores of another scale": rescaled,
}
# What is exactly as bad as it may be: where errors of the judge are most likely.
BORDER: dict[str, Fault] = {
    "slower by its margin": slower(MARGINS.latency),
    "failing as often as its margin": failing(MARGINS.errors),
}


def roll(fault: Fault, *, paired: bool, rows: int, seed: int) -> tuple[Judgement, int]:
    """One rollout: looked at every so many requests until there is a verdict, or the rows are over."""
    random = np.random.default_rng(seed)
    promise = Promise.of(*_pair(EVALUATION, random)[:2])
    old, new, categories = _pair(rows, random)
    if not paired:
        old, _, _ = _pair(rows, random)
    new = fault(new, categories, random)
    for many in range(LOOK, rows + 1, LOOK):
        said = judge(_first(old, many), _first(new, many), promise, MARGINS, CONFIDENCE, paired=paired)
        if said.verdict == "keep" or many == rows:
            return said, many
    raise AssertionError(rows)


def table(times: int, rows: int = ROWS) -> str:
    """Rates of the verdicts, and how many requests a `keep` took, as Markdown."""
    lines = [
        "| the new release | asked | promote | keep | insufficient evidence | requests until `keep`: median, 9 of 10 |",
        "|---|---|---|---|---|---|",
    ]
    for paired in (True, False):
        for name, fault in (FAULTS | BORDER).items():
            found = [roll(fault, paired=paired, rows=rows, seed=seed) for seed in range(times)]
            rates = [
                f"{np.mean([said.verdict == verdict for said, _ in found]):.1%}"
                for verdict in ("promote", "keep", "insufficient evidence")
            ]
            took = [many for said, many in found if said.verdict == "keep"]
            needed = f"{np.median(took):,.0f}, {np.quantile(took, 0.9):,.0f}" if took else ""
            lines.append(f"| {name} | {'in shadow' if paired else 'as canary'} | {' | '.join(rates)} | {needed} |")
    return "\n".join(lines)


def _pair(rows: int, random: np.random.Generator) -> tuple[Answers, Answers, Floats]:
    categories = random.integers(0, CATEGORIES, rows).astype("float64")
    logit = random.normal(-1.3 + 0.2 * (categories - CATEGORIES / 2), 1.0)
    both = [1 / (1 + np.exp(-logit - random.normal(0, 0.15, rows))) for _ in range(2)]
    answered = []
    for scores in both:
        nothing = Answers(
            status=np.full(rows, 200),
            ms=random.lognormal(1.5, 0.4, rows),
            scores=scores,
            decisions=np.zeros(rows, dtype="int64"),
            loss=np.full(rows, np.nan),
        )
        answered.append(_scored(nothing, scores))
    return answered[0], answered[1], categories


def _scored(answers: Answers, scores: Floats) -> Answers:
    return replace(answers, scores=scores, decisions=(scores > THRESHOLD).astype("int64"))


def _first(answers: Answers, many: int) -> Answers:
    return Answers(*(getattr(answers, name)[:many] for name in ("status", "ms", "scores", "decisions", "loss")))
