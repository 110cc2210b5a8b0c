"""A fitted Pipeline that takes an Arrow table: categories by their distinct values, numbers as they lie there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pipeline import model
from pipeline.schema import Column, Schema
from pipeline.validation import cast
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, TargetEncoder

from gitops_ml.batch.piece import Way
from gitops_serving.fast import encoders
from gitops_serving.fast.compiler import compiled, edges, known
from gitops_serving.fast.encoding import Table
from gitops_serving.fast.known import UnknownError, require
from gitops_serving.fast.masks import Encoded
from gitops_serving.fast.rows import drawn
from gitops_serving.fast.scorer import Scorer
from gitops_serving.fast.sums import Boosting

Floats = npt.NDArray[np.float64]
# What some columns become, one beside the other.
Part = Callable[[pa.Table], list[Encoded]]
PAIR = 2
NUMBERS = ("integer", "number", "boolean")
# Random rows of the schema on which the fast way must say what the Pipeline says, before it says anything else.
TRIED_ROWS = 400


class Columnar:
    """Scores tables of rows that fit the schema, by the fastest way that says what the Pipeline says of random rows.

    `way`: `trees` all at once, `columns` by the estimator's own predict, or `pipeline`. `reason`: why not a faster.
    """

    def __init__(self, pipeline: Pipeline, schema: Schema, tier: str = "") -> None:
        """Choose the way.

        Args:
            pipeline: the fitted Pipeline.
            schema: its columns.
            tier: by which the release was proven to answer; where that is the Pipeline, no other way is tried.
        """
        self.pipeline, self.schema = pipeline, schema
        self.way: Way = "pipeline"
        self.reason = ""
        if tier == "pipeline":
            self.reason = "the release was proven by no faster one"
            return
        row = compiled(pipeline, schema)
        try:
            require(row.encoder is not None, "the Pipeline's form")
            self._parts = list(_parts(pipeline[0], schema.features))
            self._order: Literal["C", "F"] = row.encoder.order if row.encoder else "C"
        except UnknownError as error:
            self.reason = f"{error} is not known"
            return
        tried = _tried(row, schema)
        try:
            truth = self.by_pipeline(tried).tobytes()
        except Exception as error:  # whatever a Pipeline raises of rows that the schema allows
            self.reason = f"the Pipeline raises {type(error).__name__} at rows that the schema allows"
            return
        # Of any other estimator, its own predict is as fast as anything that is known.
        ways: tuple[Way, ...] = ("trees", "columns") if isinstance(row.estimator, Boosting) else ("columns",)
        for way in ways:
            self._trees = row.estimator if way == "trees" and isinstance(row.estimator, Boosting) else None
            self.way = way
            if self.score(tried).tobytes() == truth:
                return
            self.way, self.reason = "pipeline", f"{way} say something else of random rows on this processor"

    def score(self, rows: pa.Table) -> Floats:
        """What `pipeline.model.score` says of rows."""
        if self.way == "pipeline" or not len(rows):
            return self.by_pipeline(rows)
        parts = [column for part in self._parts for column in part(rows)]
        if self._trees is not None:
            return self._trees.of_parts(parts)
        matrix = np.empty((len(rows), sum(part.numbers.shape[1] for part in parts)), order=self._order)
        np.concatenate([part.whole() for part in parts], axis=1, out=matrix)
        return model.score(self.pipeline[-1:], matrix)  # type: ignore[arg-type]

    def by_pipeline(self, rows: pa.Table) -> Floats:
        """The same, by the Pipeline itself."""
        if not len(rows):
            return np.empty((0,) if len(self.schema.classes) <= PAIR else (0, len(self.schema.classes)))
        return model.score(self.pipeline, frame(rows, self.schema.features))


def arrow(column: Column) -> pa.DataType:
    """The type in which a column of the schema is read."""
    match column.type:
        case "integer":
            return pa.int64()
        case "number":
            return pa.float64()
        case "boolean":
            return pa.bool_()
        case "datetime":
            return pa.timestamp("us", "UTC" if column.zoned else None)
        case _:
            return pa.string()


def frame(rows: pa.Table, features: dict[str, Column]) -> pd.DataFrame:
    """Rows as the table on which the Pipeline was trained."""
    return cast(rows.select(list(features)).to_pandas(), features)


def _tried(row: Scorer, schema: Schema) -> pa.Table:
    values = drawn(schema, known(row), edges(row), seed=0, count=TRIED_ROWS)
    columns = zip(schema.features.items(), zip(*values, strict=True), strict=True)
    return pa.table({name: pa.array(list(each), arrow(column)) for (name, column), each in columns})


def _parts(transformer: Any, features: dict[str, Column]) -> Iterator[Part]:
    """What encodes each group of columns, in the order of the Pipeline's matrix.

    Raises:
        UnknownError: a category is encoded in a way that has no table.
    """
    for _, step, chosen in transformer.transformers_:
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        if not names or (isinstance(step, str) and step == "drop"):
            continue
        columns = {name: features[name] for name in names}
        if type(step) in (OneHotEncoder, TargetEncoder):
            yield _categories(encoders.tables(step, list(range(len(names)))), names)
        elif type(step) is FunctionTransformer:
            require(step.func is None and all(each.type in NUMBERS for each in columns.values()), "a function")
            yield _numbers(names)
        else:
            yield _own(step, columns, isinstance(chosen, str))


def _numbers(names: Sequence[str]) -> Part:
    def part(rows: pa.Table) -> list[Encoded]:
        return [Encoded(_floats(rows.column(name))[:, None]) for name in names]

    return part


def _floats(column: pa.ChunkedArray) -> Floats:
    """Numbers, NaN where one is missing."""
    found: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return found


def _categories(tables: list[Table], names: Sequence[str]) -> Part:
    def part(rows: pa.Table) -> list[Encoded]:
        found = []
        for (_, table, otherwise), name in zip(tables, names, strict=True):
            coded = rows.column(name).combine_chunks().dictionary_encode(null_encoding="encode")
            values = coded.dictionary.to_pylist()
            numbers = np.array([table.get(value, otherwise) for value in values]).reshape(-1, len(otherwise))
            found.append(Encoded(numbers, coded.indices.to_numpy(zero_copy_only=False)))
        return found

    return part


def _own(step: Any, columns: dict[str, Column], alone: bool) -> Part:
    """What the step itself makes of its columns: moments and texts."""

    def part(rows: pa.Table) -> list[Encoded]:
        table = frame(rows, columns)
        found = step.transform(table[next(iter(columns))] if alone else table)
        return [Encoded(np.asarray(found, dtype=np.float64))]

    return part
