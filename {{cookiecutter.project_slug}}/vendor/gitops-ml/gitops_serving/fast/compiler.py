"""From a fitted Pipeline to its fast form, and whether that says the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pipeline import model
from pipeline.schema import Schema
from pipeline.trend import BoostedLine
from pipeline.validation import cast
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from gitops_serving.fast import linear, trees
from gitops_serving.fast.encoders import encoder
from gitops_serving.fast.encoding import Values
from gitops_serving.fast.known import UnknownError
from gitops_serving.fast.links import Answer, Floats
from gitops_serving.fast.rows import drawn
from gitops_serving.fast.scorer import Estimator, Scorer

# As many are answered before the first request.
TRIED_ROWS = 50
# As many rows show how an array lies in memory.
SHAPED_ROWS = 2

_log = logging.getLogger(__name__)

FORMS: dict[type, Callable[[Any], Estimator]] = {
    HistGradientBoostingClassifier: trees.histogram_boosting,
    HistGradientBoostingRegressor: trees.histogram_boosting,
    GradientBoostingClassifier: trees.gradient_boosting,
    GradientBoostingRegressor: trees.gradient_boosting,
    RandomForestClassifier: trees.forest,
    RandomForestRegressor: trees.forest,
    ExtraTreesClassifier: trees.forest,
    ExtraTreesRegressor: trees.forest,
    DecisionTreeClassifier: trees.forest,
    DecisionTreeRegressor: trees.forest,
    BoostedLine: linear.boosted_line,
} | dict.fromkeys(linear.LINES + linear.CLASSES + linear.GENERALISED, linear.linear)


def by_pipeline(pipeline: Pipeline, schema: Schema, rows: Sequence[Values]) -> Floats:
    """What the Pipeline itself says of rows of plain values."""
    return model.score(pipeline, to_table(rows, schema))


def to_table(rows: Sequence[Values], schema: Schema) -> pd.DataFrame:
    """The rows as the table on which the Pipeline was trained: same columns, order and types."""
    features = schema.features
    return cast(pd.DataFrame(list(rows), columns=list(features)), features)


def compiled(pipeline: Pipeline, schema: Schema) -> Scorer:
    """The fastest form of a fitted Pipeline, as far as its parts are known; by their very types, never by likeness."""
    try:
        transformer, estimator = pipeline[:-1], pipeline[-1]
        if len(transformer) != 1:
            raise UnknownError("steps between columns and estimator")
        sample = drawn(schema, {}, {}, seed=0, count=SHAPED_ROWS)
        features = schema.features
        shaped = answered(
            lambda: transformer[0].transform(cast(pd.DataFrame(sample, columns=list(features)), features))
        )
        if isinstance(shaped, type):
            raise UnknownError(f"what raises {shaped.__name__} at rows that the schema allows")
        encoding = encoder(transformer[0], features, "C" if shaped.flags.c_contiguous else "F")
    except UnknownError as error:
        _log.info("rows go through the Pipeline itself: %s is not known", error)
        return Scorer(lambda: pipeline, schema)
    try:
        form = FORMS.get(type(estimator))
        if form is None:
            raise UnknownError(type(estimator).__name__)
        return Scorer(lambda: pipeline, schema, encoding, form(estimator))
    except UnknownError as error:
        _log.info("rows go through the estimator's own predict: %s is not known", error)
        return Scorer(lambda: pipeline, schema, encoding)


def unequal(scorer: Scorer, rows: Sequence[Values]) -> int:
    """How many of some rows a scorer answers otherwise than the Pipeline: alone, or all of them in one batch.

    What the Pipeline cannot answer, the scorer is to refuse as well; such rows are left out of the batch.
    """

    def truth(row: Values) -> Answer:
        found: Answer = by_pipeline(scorer.pipeline, scorer.schema, [row])[0].tolist()
        return found

    own = [answered(partial(truth, row)) for row in rows]
    ours = [answered(partial(scorer.one, row)) for row in rows]
    alone = sum(not same(*pair) for pair in zip(own, ours, strict=True))
    scored = [row for row, answer in zip(rows, own, strict=True) if not isinstance(answer, type)]
    if not scored:
        return alone
    batches = scorer.many(scored), by_pipeline(scorer.pipeline, scorer.schema, scored)
    return max(alone, sum(not same(*pair) for pair in zip(*batches, strict=True)))


def same(one: Any, other: Any) -> bool:
    """Whether two answers are the same to the last bit, the sign of zero included; for an error its type stands."""
    return _bits(one) == _bits(other)


def _bits(answer: Any) -> bytes | type:
    return answer if isinstance(answer, type) else np.asarray(answer, dtype=np.float64).tobytes()


def answered(ask: Callable[[], Any]) -> Any:
    """An answer, or the type of the error in its place."""
    try:
        return ask()
    except Exception as error:  # whatever a Pipeline raises is its answer here
        return type(error)


def checked(scorer: Scorer, schema: Schema, seed: int = 0, rows: int = TRIED_ROWS) -> Scorer:
    """A scorer that says of random rows of the schema what the Pipeline says, if need be a slower one.

    Another processor may add and multiply at once, so that what was equal where it was packaged need not be so here.
    """
    while scorer.tier != "pipeline":
        tried = drawn(schema, known(scorer), edges(scorer), seed, rows)
        if not (count := unequal(scorer, tried)):
            return scorer
        slower = scorer.slower()
        _log.warning(
            "%d of %d random rows got another answer than the Pipeline's by way of %r: %r is taken",
            count, rows, scorer.tier, slower.tier,
        )  # fmt: skip
        scorer = slower
    return scorer


def known(scorer: Scorer) -> dict[str, list[str]]:
    """The values of each category that the encoder knows."""
    return scorer.encoder.known if scorer.encoder else {}


def edges(scorer: Scorer) -> dict[str, list[float]]:
    """The values of each number at which a tree decides."""
    walk = getattr(scorer.estimator, "walk", None)
    if walk is None or scorer.encoder is None:
        return {}
    origins = scorer.encoder.origins
    return {
        # A tree that divides gaps from all numbers does so at infinity.
        origins[at].feature: (found[np.isfinite(found)] * origins[at].scale + origins[at].mean).tolist()
        for at, found in walk.edges.items()
        if at in origins
    }
