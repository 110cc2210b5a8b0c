"""A fitted Pipeline that takes plain values, by the fastest way that gives the Pipeline's own answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from pipeline.schema import Schema

from gitops_serving.fast.encoding import Encoder, Values
from gitops_serving.fast.known import BeyondError
from gitops_serving.fast.links import Answer, Floats
from gitops_serving.fast.sums import Boosting

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Tier = Literal["fast", "encoder", "pipeline"]
# The fastest first.
TIERS: tuple[Tier, ...] = get_args(Tier)


class Estimator(Protocol):
    """An estimator in its fast form."""

    def one(self, row: Sequence[float]) -> Answer:
        """What is said of an encoded row, shape (columns,); BeyondError of one that has no fast answer."""


class Scorer:
    """Scores rows of plain values, which stand in the order of the schema's features.

    `tier`: `fast` without the estimator's own code for a single row, `encoder` with it, `pipeline` by pandas.
    """

    def __init__(
        self,
        load: Callable[[], Pipeline],
        schema: Schema,
        encoder: Encoder | None = None,
        estimator: Estimator | None = None,
    ) -> None:
        """Score by what there is: the encoder alone, or the estimator's fast form, too.

        `load` gives the Pipeline once something is asked for that no fast form says.
        """
        self.load, self.schema = load, schema
        self.encoder, self.estimator = encoder, estimator
        self.tier: Tier = "pipeline" if encoder is None else "encoder" if estimator is None else "fast"

    @cached_property
    def pipeline(self) -> Pipeline:
        """The fitted Pipeline."""
        return self.load()

    def one(self, values: Values) -> Answer:
        """What `pipeline.model.score` says of a row alone: a probability, that of each class, or a value.

        The first one that no fast form answers may take seconds, in which the Pipeline is loaded.
        """
        try:
            return self.at_once(values)
        except BeyondError:
            found: Answer = self.many([values])[0].tolist()
            return found

    def at_once(self, values: Values) -> Answer:
        """The same by the fast form alone.

        Raises:
            BeyondError: it says nothing of this row, or there is none.
        """
        if self.encoder is None or self.estimator is None:
            raise BeyondError("no fast form")
        return self.estimator.one(self.encoder.row(values))

    def many(self, rows: Sequence[Values]) -> Floats:
        """What `pipeline.model.score` says of a batch."""
        if self.encoder is not None:
            try:
                matrix = self.encoder.matrix(rows)
            except BeyondError:
                pass
            else:
                return self._of_matrix(matrix)
        # What only serves by a fast form does without pandas and scikit-learn.
        from gitops_serving.fast.compiler import by_pipeline  # noqa: PLC0415

        return by_pipeline(self.pipeline, self.schema, rows)

    def _of_matrix(self, matrix: Floats) -> Floats:
        if isinstance(self.estimator, Boosting):
            return self.estimator.many(matrix)
        from pipeline import model  # noqa: PLC0415

        return model.score(self.pipeline[-1:], matrix)  # type: ignore[arg-type]

    def slower(self) -> Scorer:
        """The next slower way."""
        encoder = self.encoder if self.tier == "fast" else None
        return Scorer(lambda: self.pipeline, self.schema, encoder)

    def at_most(self, tier: str) -> Scorer:
        """This one, or a slower one of the tier that a release was proven by; empty if nobody proved it.

        Raises:
            ValueError: there is no such tier.
        """
        if tier and tier not in TIERS:
            raise ValueError(f"there is no tier {tier!r}; there are {', '.join(TIERS)}")
        return self.slower().at_most(tier) if tier in TIERS[TIERS.index(self.tier) + 1 :] else self
