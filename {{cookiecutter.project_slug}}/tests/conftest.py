"""Inputs for the tests, made from the project's own schema and params, so that they go on fitting when those change.

Where the schema lacks a kind of column that a test needs, one is added.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.params import Params, Train
from pipeline.schema import Column, Schema

PROJECT = Path(__file__).resolve().parent.parent


LACKING = {
    "some number": Column(type="number", minimum=0, maximum=10),
    "some category": Column(type="category", categories=["a", "b", "c"]),
    "some gaps": Column(type="number", nullable=True),
}


def _is_limited_number(column: Column) -> bool:
    limited = column.minimum is not None and column.maximum is not None
    return column.type in ("integer", "number") and not column.nullable and limited


def _is_closed_category(column: Column) -> bool:
    return column.type == "category" and not column.open and not column.nullable


def project_schema() -> Schema:
    """The project's schema, with what the tests need and it lacks."""
    schema = Schema.model_validate(yaml.safe_load((PROJECT / "schema.yaml").read_text()))
    features = schema.features.values()
    found = {
        "some number": any(_is_limited_number(column) for column in features),
        "some category": any(_is_closed_category(column) for column in features),
        "some gaps": any(column.nullable for column in features),
    }
    added = {name: column for name, column in LACKING.items() if not found[name]}
    return schema.model_copy(update={"columns": schema.columns | added})


TASK = project_schema().task
QUICK = {
    "binary": "sklearn.linear_model.LogisticRegression",
    "multiclass": "sklearn.linear_model.LogisticRegression",
    "regression": "sklearn.linear_model.Ridge",
}[TASK]


@pytest.fixture(scope="session")
def schema() -> Schema:
    """The project's schema, with what the tests need and it lacks."""
    return project_schema()


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's params, with fewer draws, and of several candidates the last."""
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text())
    settings["evaluate"] |= {"resamples": 100, "slice_minimum": 20}
    settings["evaluate"]["importance"] |= {"rows": 100, "repeats": 1}
    found = Params.model_validate(settings)
    found.train = one_estimator(found.train)
    return found


def one_estimator(train: Train) -> Train:
    """The block `train` with one estimator: that of the project, or the last of its candidates."""
    return train.naming(train.estimator or train.candidates[-1])


@pytest.fixture(scope="session")
def trusted() -> list[str]:
    """The types that project.yaml trusts."""
    return list(yaml.safe_load((PROJECT / "project.yaml").read_text())["trusted_types"])


@pytest.fixture
def table(schema: Schema) -> pd.DataFrame:
    """400 rows that fit the schema; the label follows the first numeric feature, with noise."""
    return make_table(schema, rows=400)


def make_table(schema: Schema, rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows that fit the schema, with gaps where it allows them."""
    random = np.random.default_rng(seed)
    made = pd.DataFrame({name: _values(column, rows, random) for name, column in schema.columns.items()})
    signal = made[numeric_feature(schema)].rank(pct=True) + random.normal(0, 0.3, rows)
    made[schema.target] = _labels(signal, schema)
    return made


def numeric_feature(schema: Schema) -> str:
    """The first feature that is a number within limits and never empty."""
    return next(name for name, column in schema.features.items() if _is_limited_number(column))


def closed_category(schema: Schema) -> str:
    """The first category that is never empty, and to which no new values may come."""
    return next(name for name, column in schema.features.items() if _is_closed_category(column))


def _labels(signal: pd.Series, schema: Schema) -> pd.Series:
    """Labels that rise with the signal."""
    column = schema.columns[schema.target]
    if schema.task == "regression":
        return (signal * 100).round().astype("int64") if column.type == "integer" else signal * 100
    if schema.task == "binary":
        codes = (signal > 0.6).astype("int64")
    else:
        codes = (signal.rank(pct=True, method="first") * len(schema.classes)).apply(np.ceil).astype("int64") - 1
    return pd.Series([schema.classes[code] for code in codes], index=signal.index)


def _values(column: Column, rows: int, random: np.random.Generator) -> pd.Series:
    low = 0 if column.minimum is None else column.minimum
    high = low + 100 if column.maximum is None else column.maximum
    match column.type:
        case "integer":
            values = pd.Series(random.integers(int(low), int(high) + 1, rows))
        case "number":
            values = pd.Series(random.uniform(low, high, rows))
        case "boolean":
            values = pd.Series(random.random(rows) > 0.5)
        case "category":
            # Without a list there may be many, as a key has.
            choice = column.categories or [f"value {number}" for number in range(60)]
            values = pd.Series(random.choice([str(value) for value in choice], rows)).astype(object)
        case "text":
            words = ["red", "green", "blue", "large", "small"]
            values = pd.Series([" ".join(random.choice(words, 4)) for _ in range(rows)]).astype(object)
        case "datetime":
            hours = pd.to_timedelta(random.integers(0, 20_000, rows), unit="h")
            values = pd.Series((pd.Timestamp("2020-01-01", tz="UTC" if column.zoned else None) + hours).as_unit("us"))
    return values.mask(random.random(rows) < 0.1) if column.nullable and column.role != "target" else values
