"""Raw data is held to the schema, and what does not fit is named."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from pipeline.schema import Column, DataError, Schema
from pipeline.validation import unlisted, validate
from tests.conftest import closed_category, numeric_feature

LABEL = Column(type="integer", role="target", minimum=0, maximum=1)


def test_a_table_that_fits_passes_whole(table: pd.DataFrame, schema: Schema) -> None:
    """Validation keeps every row and gives the columns the schema's order and types."""
    shuffled = table[list(reversed(table.columns))]
    valid = validate(shuffled, schema)
    assert list(valid.columns) == list(schema.columns)
    pd.testing.assert_series_equal(valid[schema.target], table[schema.target], check_dtype=False)


def test_gaps_survive(table: pd.DataFrame, schema: Schema) -> None:
    """A missing value stays missing: nothing is filled in before the model sees it."""
    valid = validate(table, schema)
    pd.testing.assert_frame_equal(valid.isna(), table[list(schema.columns)].isna())


def test_a_renamed_column_is_named_twice(table: pd.DataFrame, schema: Schema) -> None:
    """A renamed column is reported under its old name, as missing, and under its new one, as unexpected."""
    name = numeric_feature(schema)
    with pytest.raises(DataError, match=f"column '{re.escape(name)}' is missing; column 'other' is not in the schema"):
        validate(table.rename(columns={name: "other"}), schema)


def test_a_repeated_column_is_refused(table: pd.DataFrame, schema: Schema) -> None:
    """Two columns with the same name are refused, whatever they hold."""
    name = numeric_feature(schema)
    with pytest.raises(DataError, match=f"column '{re.escape(name)}' stands in the table more than once"):
        validate(pd.concat([table, table[[name]]], axis=1), schema)


def test_text_among_numbers_is_shown(table: pd.DataFrame, schema: Schema) -> None:
    """A string in a numeric column is refused, and the message shows it."""
    name = numeric_feature(schema)
    broken = table.astype({name: object})
    broken.loc[3, name] = "n/a"
    with pytest.raises(DataError, match=f"column '{re.escape(name)}' should hold numbers, but has 'n/a'"):
        validate(broken, schema)


def test_a_number_among_categories_is_shown(table: pd.DataFrame, schema: Schema) -> None:
    """A number in a column of text is refused."""
    name = closed_category(schema)
    broken = table.astype({name: object})
    broken.loc[3, name] = 7
    with pytest.raises(DataError, match=f"column '{re.escape(name)}' should hold text, but has 7"):
        validate(broken, schema)


def test_categories_of_pandas_are_text(table: pd.DataFrame, schema: Schema) -> None:
    """A column that is stored as a dictionary of texts is text; one of numbers is not."""
    name = closed_category(schema)
    stored = validate(table.astype({name: "category"}), schema)
    pd.testing.assert_series_equal(stored[name], validate(table, schema)[name])
    with pytest.raises(DataError, match=f"column '{re.escape(name)}' should hold text"):
        validate(table.assign(**{name: pd.Series([1, 2] * 200).astype("category")}), schema)


def test_a_new_category_is_refused_and_counted(table: pd.DataFrame, schema: Schema) -> None:
    """A value that a closed category does not list is refused with the number of its rows."""
    name = closed_category(schema)
    table.loc[[1, 2], name] = "??"
    with pytest.raises(DataError, match=rf"column '{re.escape(name)}' .* in 2 rows: '\?\?'"):
        validate(table, schema)


def test_a_new_value_of_an_open_category_is_reported(schema: Schema) -> None:
    """An open category accepts a new value, and the value is reported with the number of its rows."""
    small = Schema(
        columns={
            "place": Column(type="category", categories=["a"], open=True),
            "y": Column(type="integer", role="target", minimum=0, maximum=1),
        }
    )
    valid = validate(pd.DataFrame({"place": ["a", "b", "b"], "y": [0, 1, 0]}), small)
    assert unlisted(valid, small) == {"place": {"b": 2}}


def test_a_gap_where_none_may_be_is_refused(table: pd.DataFrame, schema: Schema) -> None:
    """A missing value in a column that is never empty is refused with the number of its rows."""
    name = closed_category(schema)
    table.loc[0, name] = None
    with pytest.raises(DataError, match=f"column '{re.escape(name)}' is empty in 1 row,"):
        validate(table, schema)


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf])
def test_a_number_out_of_range_is_refused(table: pd.DataFrame, schema: Schema, value: float) -> None:
    """A number beyond the column's range is refused, infinity too."""
    name = next(n for n, c in schema.features.items() if c.minimum is not None and c.maximum is not None)
    broken = table.astype({name: "float64"})
    broken.loc[0, name] = value
    with pytest.raises(DataError, match=f"column '{re.escape(name)}'"):
        validate(broken, schema)


def test_a_table_without_rows_is_refused(table: pd.DataFrame, schema: Schema) -> None:
    """A table with the right columns and no rows is refused."""
    with pytest.raises(DataError, match="no rows"):
        validate(table.iloc[:0], schema)


def test_every_problem_is_named_at_once(table: pd.DataFrame, schema: Schema) -> None:
    """Two broken columns are both in the message, so that one round of mending is enough."""
    number, category = numeric_feature(schema), closed_category(schema)
    table[category] = "??"
    broken = table.astype({number: object})
    broken.loc[0, number] = "x"
    with pytest.raises(DataError) as caught:
        validate(broken, schema)
    assert number in str(caught.value)
    assert category in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"x": Column(type="number"), "y": Column(type="number")}, "exactly one column has the role target"),
        ({"x": Column(type="number", role="time"), "y": LABEL}, "role feature"),
        ({"x": Column(type="number"), "y": Column(type="integer", role="target", maximum=2)}, "boolean, or an integer"),
        (
            {"x": Column(type="number"), "y": Column(type="category", role="target", open=True)},
            "boolean, or an integer",
        ),
    ],
)
def test_a_schema_without_a_problem_to_solve_is_refused(columns: dict[str, Column], reason: str) -> None:
    """A schema needs one target and a feature."""
    with pytest.raises(ValueError, match=reason):
        Schema(columns=columns)
