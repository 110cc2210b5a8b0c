"""How a batch differs from what stands in data/raw and in the schema, a sentence each."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
from pipeline.schema import Column, Schema

from gitops_ml.intake.facts import Facts
from gitops_ml.intake.take import RAW, Taken

# From here on a change of a column is told: of its missing rows, and of its median in widths of the middle half.
MISSING_SHIFT = 0.05
MEDIAN_SHIFT = 0.5
SHOWN_VALUES = 5


def told(taken: Taken, schema: Schema) -> list[str]:
    """How the batch differs from what stands in data/raw and in the schema, a sentence each."""
    before = _missing_before()
    found = [
        sentence
        for name, column in schema.columns.items()
        for sentence in _changes_of(taken.facts[name], taken.sample[name], column, before.get(name))
    ]
    return found or ["no column differs noticeably from the schema and the data before"]


def _changes_of(facts: Facts, sample: pd.Series, column: Column, missing: float | None) -> list[str]:
    found = []
    share = facts.missing / facts.rows
    if missing is not None and abs(share - missing) > MISSING_SHIFT:
        found.append(f"{facts.name!r} is empty in {share:.0%} of the rows, before in {missing:.0%}")
    if column.open and column.categories and facts.counts is not None:
        new = sorted(set(facts.counts) - set(column.categories))
        if new:
            shown = ", ".join(map(repr, new[:SHOWN_VALUES])) + (
                f" and {len(new) - SHOWN_VALUES} more" if len(new) > SHOWN_VALUES else ""
            )
            found.append(f"{facts.name!r} has values new to the schema: {shown}")
    if column.quantiles and facts.present:
        low, quarter, middle, three, high = column.quantiles
        median = float(sample.dropna().astype("float64").median())
        if abs(median - middle) > MEDIAN_SHIFT * max(three - quarter, 1e-12):
            found.append(f"the median of {facts.name!r} is {median:.4g}, before {middle:.4g}")
        elif (facts.minimum or 0) < low or (facts.maximum or 0) > high:
            found.append(
                f"{facts.name!r} goes from {facts.minimum:.4g} to {facts.maximum:.4g}, before {low:.4g} to {high:.4g}"
            )
    return found


def _missing_before() -> dict[str, float]:
    """The share of missing values of each column of data/raw, read from what Parquet counts."""
    rows, missing = 0, dict[str, int]()
    for path in sorted(RAW.glob("*.parquet")):
        facts = pq.ParquetFile(path).metadata
        rows += facts.num_rows
        for group in (facts.row_group(number) for number in range(facts.num_row_groups)):
            for chunk in (group.column(number) for number in range(group.num_columns)):
                counted = chunk.statistics.null_count if chunk.statistics else 0
                missing[chunk.path_in_schema] = missing.get(chunk.path_in_schema, 0) + (counted or 0)
    return {name: count / rows for name, count in missing.items()} if rows else {}
