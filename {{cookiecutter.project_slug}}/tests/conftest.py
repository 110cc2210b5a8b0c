"""Inputs for the tests, made from the project's own schema and params, so that they go on fitting when those change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.params import Params
from pipeline.schema import Column, Schema

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def schema() -> Schema:
    """The project's schema."""
    return Schema.model_validate(yaml.safe_load((PROJECT / "schema.yaml").read_text()))


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's params, with fewer draws."""
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text())
    settings["evaluate"] |= {"resamples": 100, "slice_minimum": 20}
    settings["evaluate"]["importance"] |= {"rows": 100, "repeats": 1}
    return Params.model_validate(settings)


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
    leading = made[numeric_feature(schema)]
    made[schema.target] = (leading.rank(pct=True) + random.normal(0, 0.3, rows) > 0.6).astype("int64")
    return made


def numeric_feature(schema: Schema) -> str:
    """The first feature that is a number and never empty."""
    return next(n for n, c in schema.features.items() if c.type in ("integer", "number") and not c.nullable)


def closed_category(schema: Schema) -> str:
    """The first category to which no new values may come."""
    return next(n for n, c in schema.features.items() if c.type == "category" and not c.open)


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
            values = pd.Series(random.choice(column.categories or ["a", "b", "c"], rows)).astype(object)
    return values.mask(random.random(rows) < 0.1) if column.nullable and column.role != "target" else values
