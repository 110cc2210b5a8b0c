"""What holds of any table: it fits its schema, bringing it again changes nothing, and the service reads it alike."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pandas as pd
import pytest
from gitops_ml.core.errors import UserError
from gitops_serving.contract import requests, values
from gitops_serving.fast.compiler import to_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline import data
from pipeline.schema import Column
from pipeline.stages import files
from pipeline.stages import rows as table_rows

from tests.automation.intake.bringing import fitting, take

VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.booleans(),
    st.text(max_size=12),
    st.sampled_from(["a", "b", "c", "", "NA", "1", "2024-01-01", "1,5", "1/2/2024", "31.12.2023", "2024-01-01T00:00Z"]),
    st.sampled_from(
        ["None", "?", "-", "$1,234.50", "12 %", "1.2 kg", "(3)", "0123", "20240131", "1'234", "3 PM", "Q1 2024"]
    ),
    st.datetimes().map(str),
)
NUMBERS = st.one_of(st.integers(-(10**12), 10**12), st.floats(-1e12, 1e12, allow_nan=False))
KINDS = [
    st.integers(-5, 5), st.floats(-9, 9), st.booleans(), st.sampled_from(["a", "b", "c"]), st.text(max_size=8), VALUES,
    st.one_of(st.none(), st.integers(0, 3)), st.datetimes().map(str), st.one_of(st.none(), st.sampled_from(["x", "y"])),
    st.sampled_from(["None", "Some", "NA"]), NUMBERS, NUMBERS.map("${:,.2f}".format), NUMBERS.map("{:,.1f} kg".format),
    st.datetimes().map("{:%d/%m/%Y %I:%M %p}".format), st.dates().map("{:%d %B %Y}".format), st.integers(0, 99999),
    st.integers(0, 99999).map("{:05d}".format), st.one_of(st.just("n.d."), st.floats(0, 1)),
    st.text(alphabet="`'\"$\\{}|<>&\u2028\u00e9 ", max_size=5), st.text(max_size=30).map("two words and {}".format),
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Any table of a few columns, the target among them, which mostly has two labels in enough rows."""
    rows = draw(st.sampled_from([1, 25, 40, 60]))
    names = draw(
        st.lists(st.text(min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=4, unique_by=str.strip)
    )
    values = {name: draw(st.lists(draw(st.sampled_from(KINDS)), min_size=rows, max_size=rows)) for name in names}
    labels = draw(st.sampled_from([st.sampled_from(["yes", "no"]), st.sampled_from(["yes", "no"]), *KINDS]))
    return pd.DataFrame(values | {"y": draw(st.lists(labels, min_size=rows, max_size=rows))}, dtype=object)


def sent(value: Any, column: Column) -> Any:
    """A value of data/raw as a caller sends it."""
    if pd.isna(value):
        return None
    match column.type:
        case "integer":
            return int(value)
        case "number":
            return float(value)
        case "boolean":
            return bool(value)
        case "datetime":
            return value.isoformat()
        case _:
            return str(value)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("form", ["CSV", "JSON Lines"])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(frame=tables())
def test_any_table_is_taken_whole_or_refused(form: str, frame: pd.DataFrame) -> None:
    """Any table fits the schema inferred from it, changes nothing the second time, and is served as it was learnt.

    Or one sentence says why there is none.
    """
    shutil.rmtree(files.RAW, ignore_errors=True)
    text = frame.to_csv(index=False) if form == "CSV" else "\n".join(map(json.dumps, frame.to_dict("records")))
    content = text.encode("utf-8", "surrogatepass")
    try:
        take(content)
    except UserError:
        return
    schema = fitting()
    ((_, raw),) = table_rows.Raw(schema).validated()
    assert take(content).written == []
    learnt = data.features(raw, schema)
    rows = [
        {name: sent(value, schema.columns[name]) for name, value in row.items()}
        for row in learnt.astype(object).to_dict("records")
    ]
    asked = requests(schema, len(rows))[1].model_validate_json(json.dumps({"rows": rows}))
    pd.testing.assert_frame_equal(to_table([values(row) for row in asked.rows], schema), learnt)
