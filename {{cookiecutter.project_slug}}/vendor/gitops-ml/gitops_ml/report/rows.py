"""Which rows a model was evaluated on, as far as the split tells."""

from __future__ import annotations

import io
from datetime import date, datetime

import pandas as pd
from pipeline.params import Split

from gitops_ml.gate import judge
from gitops_ml.pages import words
from gitops_ml.versions.revision import Revision

DATE = ["year", "month", "day"]


def evaluated(here: Revision, split: Split) -> str:
    """From when to when the evaluation's rows are, by the columns that order them; how they were chosen otherwise."""
    if split.by != "time":
        return "drawn at random" if split.by == "random" else f"whole groups of {', '.join(split.columns)}"
    table = pd.read_parquet(io.BytesIO(here.output(judge.TEST)), columns=split.columns).sort_values(split.columns)
    first, last = (list(table.iloc[place]) for place in (0, -1))
    days = [_day(split.columns, each) for each in (first, last)]
    if days[0] and days[1]:
        return words.period(days[0], days[1])
    return " to ".join("-".join(map(str, each)) for each in (first, last))


def _day(columns: list[str], values: list[object]) -> date | None:
    """The day that a moment, or a year, a month and a day, are; None if they are something else."""
    if len(values) == 1 and isinstance(values[0], datetime):
        return values[0].date()
    if [name.lower() for name in columns[:3]] != DATE:
        return None
    try:
        return date(*(int(str(value)) for value in values[:3]))
    except ValueError:
        return None
