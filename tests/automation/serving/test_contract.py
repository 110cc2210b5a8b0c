"""A request is held to the schema: what does not fit is refused by the column's name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from gitops_serving.contract import answers, plural, requests, row_model, to_answer, to_answers, values
from gitops_serving.fast.compiler import to_table
from pipeline import data
from pipeline.decision import Policy
from pipeline.schema import Column, Schema
from pipeline.validation import problems, validate
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
        ("id", 2**53 + 1),
        ("id", -(2**53) - 1),
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
        ("class", "true"),
        ("size in cm", True),
        ("kind", True),
        ("y", 1),
        ("column_0", 3),
        ("unheard of", 1),
    ],
)
def test_a_bad_value_is_refused_by_name(column: str, value: Any) -> None:
    """Wrong types, ranges, categories, gaps and columns are refused, and the error carries the column's name."""
    with pytest.raises(ValidationError) as refused:
        parse(GOOD | {column: value})
    assert refused.value.errors()[0]["loc"][0] == column


@pytest.mark.parametrize(("column", "value"), [("id", 2**53), ("id", -(2**53)), ("count", 0), ("count", 10)])
def test_a_value_at_its_limit_is_accepted(column: str, value: int) -> None:
    """Limits belong to what is allowed, also that up to which integers are exact."""
    assert parse(GOOD | {column: value}).model_dump(by_alias=True)[column] == value


def test_a_column_has_no_other_name() -> None:
    """The place of a column is no name for it, whether it stands beside the column or instead of it."""
    places = {f"column_{place}": value for place, value in enumerate(GOOD.values())}
    with pytest.raises(ValidationError) as refused:
        parse(places)
    missing = {error["loc"][0] for error in refused.value.errors() if error["type"] == "missing"}
    unknown = {error["loc"][0] for error in refused.value.errors() if error["type"] == "extra_forbidden"}
    assert (missing, unknown) == (set(GOOD), set(places))


@pytest.mark.parametrize("column", GOOD)
def test_a_missing_column_is_refused_by_name(column: str) -> None:
    """Every feature must be there, the nullable ones too."""
    with pytest.raises(ValidationError) as refused:
        parse({name: value for name, value in GOOD.items() if name != column})
    assert refused.value.errors()[0] | {"type": "missing", "loc": (column,)} == refused.value.errors()[0]


POLICY = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-1.0, 1.0]]))


def require_same_alone(scores: npt.NDArray[np.float64], schema: Schema, policy: Policy | None) -> None:
    """Each row's answer is what a batch says of it."""
    batch = to_answers(scores, schema, policy)
    for row, score in enumerate(scores.tolist()):
        assert to_answer(score, schema, policy) == {
            name: batch[plural(name)][row] for name in to_answer(score, schema, policy)
        }


def test_a_row_alone_is_decided_as_in_a_batch() -> None:
    """Also where two actions pay the same but for the last bit, and where the first of equally good ones counts."""
    chance = np.random.default_rng(1)
    policy = Policy("USD", ["a", "b", "c"], chance.normal(size=(3, 2)) * 100)
    edges = [edge for edge, _ in policy.thresholds()]
    near = [np.nextafter(edge, edge + side) for edge in edges for side in (-1, 1)]
    scores = np.clip(np.concatenate([chance.random(5000), edges, near, [0, 1, 0.5]]), 0, 1)
    require_same_alone(scores, SMALL, policy)
    even = Policy("USD", ["a", "b"], np.array([[0.0, 1.0], [1.0, 0.0]]))
    require_same_alone(np.array([0.5]), SMALL, even)


def test_an_answer_says_what_to_do() -> None:
    """Where something is decided, each answer has the action beside the score, and its form names the actions."""
    single, batch = answers(SMALL, POLICY)
    found = to_answers(np.array([0.2, 0.9]), SMALL, POLICY)
    require_same_alone(np.array([0.2, 0.9]), SMALL, POLICY)
    assert found == {"scores": [0.2, 0.9], "decisions": ["wait", "act"]}
    assert batch.model_validate(found | {"release": "x:1"}).model_dump()["decisions"] == ["wait", "act"]
    assert single.model_json_schema()["properties"]["decision"]["enum"] == ["wait", "act"]
    assert "decision" not in answers(SMALL, None)[0].model_fields


TARGETS = {
    "multiclass": Column(type="category", role="target", categories=["red", "green", "blue"]),
    "regression": Column(type="number", role="target"),
}


def of_task(task: str) -> Schema:
    """The same columns with another target."""
    return Schema.model_validate({"task": task, "columns": COLUMNS | {"y": TARGETS[task]}})


def test_of_many_classes_an_answer_has_the_label_and_every_probability() -> None:
    """The most probable class is named, each probability stands under its class's name, and decisions look at all."""
    schema = of_task("multiclass")
    policy = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0, 0.0], [-1.0, -1.0, 5.0]]))
    found = to_answers(np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]), schema, policy)
    require_same_alone(np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]]), schema, policy)
    assert found == {
        "labels": ["red", "green"],
        "scores": [{"red": 0.5, "green": 0.3, "blue": 0.2}, {"red": 0.1, "green": 0.8, "blue": 0.1}],
        "decisions": ["act", "wait"],
    }
    single, batch = answers(schema, policy)
    assert batch.model_validate(found | {"release": "x:1"}).model_dump() == found | {"release": "x:1"}
    one = {"label": "red", "scores": {"red": 1.0}, "decision": "act", "release": "x:1"}
    assert single.model_validate(one).model_dump() == one
    with pytest.raises(ValidationError):
        single.model_validate(one | {"label": "yellow"})
    assert single.model_json_schema()["properties"]["label"]["enum"] == ["red", "green", "blue"]


def test_of_whole_numbers_an_answer_has_the_class_as_it_stands_in_the_data() -> None:
    """Classes that are numbers are answered as numbers, and name their probabilities as text, as JSON asks for."""
    target = Column(type="integer", role="target", categories=[10, 20, 30])
    schema = Schema.model_validate({"task": "multiclass", "columns": COLUMNS | {"y": target}})
    found = to_answers(np.array([[0.2, 0.5, 0.3]]), schema, None)
    assert found == {"labels": [20], "scores": [{"10": 0.2, "20": 0.5, "30": 0.3}]}
    assert answers(schema, None)[1].model_validate(found | {"release": "x:1"}).model_dump()["labels"] == [20]


def test_of_a_regression_an_answer_has_the_number() -> None:
    """A prediction is any number, with nothing that only classes have."""
    schema = of_task("regression")
    found = to_answers(np.array([-3.5, 1e6]), schema, None)
    require_same_alone(np.array([-3.5, 1e6]), schema, None)
    assert found == {"predictions": [-3.5, 1e6]}
    single, batch = answers(schema, None)
    assert batch.model_validate(found | {"release": "x:1"}).model_dump() == found | {"release": "x:1"}
    assert set(single.model_fields) == {"prediction", "release"}


@pytest.mark.parametrize("score", [-0.1, 1.1])
def test_a_probability_lies_between_0_and_1(score: float) -> None:
    """An answer of two classes that is no probability is never given."""
    with pytest.raises(ValidationError):
        answers(SMALL, None)[0].model_validate({"score": score, "release": "x:1"})


BOOLEANS = {kind: Column(type=kind, nullable=True) for kind in ("boolean", "integer", "number")}


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ([True, False], {"boolean"}),
        (pd.array([True, None], dtype="boolean"), {"boolean"}),
        (np.array([True, 1], dtype=object), set()),
        ([1, 0], {"integer", "number"}),
        ([1.0, 0.0], {"integer", "number"}),
        ([1.0, 0.5], {"number"}),
        (["1", "0"], set()),
    ],
    ids=["booleans", "with gaps", "mixed", "whole", "floats", "fractions", "texts"],
)
def test_booleans_are_no_numbers_in_tables_either(values: Any, fits: set[str]) -> None:
    """What a table holds is of one kind, as in a request: true is not 1, 1 is not true, and "1" is neither."""
    column = pd.DataFrame({"x": values})
    fitting = {
        kind
        for kind, each in BOOLEANS.items()
        if not problems(column, {"x": each.model_copy(update={"nullable": True})})
    }
    assert fitting == fits


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
    served = to_table([values(form.model_validate_json(row)) for row in sent], schema)
    pd.testing.assert_frame_equal(served, trained)
    assert served.dtypes.to_dict() == trained.dtypes.to_dict()
    assert np.array_equal(served.isna(), trained.isna())


def test_a_batch_has_rows_and_not_too_many() -> None:
    """No rows, and more than the service takes at a time, are refused."""
    _, batch = requests(SMALL, batch_rows=2)
    assert len(batch.model_validate_json(json.dumps({"rows": [GOOD, GOOD]})).rows) == 2
    for rows in (0, 3):
        with pytest.raises(ValidationError, match="rows"):
            batch.model_validate_json(json.dumps({"rows": [GOOD] * rows}))


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (COLUMNS["y"], "y is 1"),
        (Column(type="category", role="target", categories=["no", "yes"]), "y is 'yes'"),
        (Column(type="boolean", role="target"), "y is true"),
    ],
)
def test_the_form_of_an_answer_says_of_which_class_its_score_is(target: Column, told: str) -> None:
    """The description of a score names the second class, words in quotes."""
    single, _ = answers(Schema(columns={"kind": COLUMNS["kind"], "y": target}), None)
    assert told in single.model_json_schema()["properties"]["score"]["description"]


def test_a_date_is_text_and_nothing_else() -> None:
    """A date in the form of ISO 8601 is taken, a number, which may be seconds or milliseconds, is not."""
    model = row_model(Schema(columns={"when": Column(type="datetime"), "y": COLUMNS["y"]}))
    assert model.model_validate_json('{"when": "2026-01-02T03:04:05"}').model_dump(by_alias=True)["when"].minute == 4
    with pytest.raises(ValidationError, match="ISO 8601"):
        model.model_validate_json('{"when": 1767323045}')


def test_a_columns_example_is_in_its_form() -> None:
    """What the schema gives as an example is shown, and nothing is made up where it gives none."""
    properties = row_model(SMALL).model_json_schema(by_alias=True)["properties"]
    assert properties["count"]["examples"] == [3]
    assert "examples" not in properties["kind"]
