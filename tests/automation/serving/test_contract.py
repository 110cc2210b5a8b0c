"""A request is held to the schema: what does not fit is refused by the column's name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_serving.contract import answers, row_model, to_answers, to_table
from pipeline import data
from pipeline.decision import Policy
from pipeline.schema import Column, Schema, validate
from pydantic import BaseModel, ValidationError

COLUMNS = {
    "count": Column(type="integer", minimum=0, maximum=10, example=3),
    "id": Column(type="integer"),
    "size in cm": Column(type="number", nullable=True, minimum=0),
    "kind": Column(type="category", categories=["a", "b"]),
    "place": Column(type="category", open=True, categories=["x"]),
    "class": Column(type="boolean"),
    "y": Column(type="integer", role="target", minimum=0, maximum=1),
}
SMALL = Schema(columns=COLUMNS)
GOOD: dict[str, Any] = {"count": 3, "id": 7, "size in cm": 1.5, "kind": "a", "place": "anywhere", "class": True}


def parse(row: dict[str, Any]) -> BaseModel:
    """The row as it arrives over HTTP."""
    return row_model(SMALL).model_validate_json(json.dumps(row))


def test_a_good_row_keeps_its_names_and_values() -> None:
    """Names that are no Python identifiers, or are keywords, work like any other."""
    assert parse(GOOD).model_dump(by_alias=True) == GOOD


def test_a_nullable_column_may_be_null() -> None:
    """Null is a value for a column that may be empty."""
    assert parse(GOOD | {"size in cm": None}).model_dump(by_alias=True)["size in cm"] is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", "3"),
        ("count", 3.5),
        ("count", True),
        ("count", -1),
        ("count", 11),
        ("count", None),
        ("id", 10**23),
        ("id", -(10**400)),
        ("size in cm", "large"),
        ("size in cm", float("nan")),
        ("size in cm", float("inf")),
        ("size in cm", -0.1),
        ("kind", "c"),
        ("kind", None),
        ("kind", 1),
        ("place", ""),
        ("place", "x" * 201),
        ("class", 1),
        ("y", 1),
        ("unheard of", 1),
    ],
)
def test_a_bad_value_is_refused_by_name(column: str, value: Any) -> None:
    """Wrong types, ranges, categories, gaps and columns are refused, and the error carries the column's name."""
    with pytest.raises(ValidationError) as refused:
        parse(GOOD | {column: value})
    assert refused.value.errors()[0]["loc"][0] == column


@pytest.mark.parametrize("column", GOOD)
def test_a_missing_column_is_refused_by_name(column: str) -> None:
    """Every feature must be there, the nullable ones too."""
    with pytest.raises(ValidationError) as refused:
        parse({name: value for name, value in GOOD.items() if name != column})
    assert refused.value.errors()[0] | {"type": "missing", "loc": (column,)} == refused.value.errors()[0]


POLICY = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-1.0, 1.0]]))


def test_an_answer_says_what_to_do() -> None:
    """Where something is decided, each answer has the action beside the score, and its form names the actions."""
    single, batch = answers(SMALL, POLICY)
    found = to_answers(np.array([0.2, 0.9]), SMALL, POLICY)
    assert found == {"scores": [0.2, 0.9], "decisions": ["wait", "act"]}
    assert batch.model_validate(found | {"release": "x:1"}).model_dump()["decisions"] == ["wait", "act"]
    assert single.model_json_schema()["properties"]["decision"]["enum"] == ["wait", "act"]
    assert "decision" not in answers(SMALL, None)[0].model_fields


def test_openapi_shows_types_ranges_categories_and_an_example() -> None:
    """The schema of the request tells a caller all that it needs."""
    shown = row_model(SMALL).model_json_schema()
    assert shown["required"] == list(GOOD)
    assert (
        shown["properties"]["count"] | {"type": "integer", "minimum": 0, "maximum": 10} == shown["properties"]["count"]
    )
    assert shown["properties"]["kind"]["enum"] == ["a", "b"]
    assert shown["example"]["count"] == 3


def test_a_request_becomes_the_table_that_trained(table: pd.DataFrame, schema: Schema) -> None:
    """Rows sent as JSON become the very table, values and types, that the pipeline sees in training."""
    trained = data.features(validate(table, schema), schema)
    form = row_model(schema)
    plain = trained.astype(object).where(trained.notna(), None)
    for name, column in schema.features.items():
        if column.type in ("boolean", "integer"):
            kind = bool if column.type == "boolean" else int
            plain[name] = pd.Series(
                [None if value is None else kind(value) for value in plain[name]], dtype=object
            ).values
    sent = [json.dumps(row, default=str) for row in plain.to_dict("records")]
    served = to_table([form.model_validate_json(row) for row in sent], schema)
    pd.testing.assert_frame_equal(served, trained)
    assert served.dtypes.to_dict() == trained.dtypes.to_dict()
    assert np.array_equal(served.isna(), trained.isna())
