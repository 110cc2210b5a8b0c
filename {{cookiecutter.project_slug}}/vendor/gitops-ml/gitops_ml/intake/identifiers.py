"""Columns that name the rows, recognised by how their values behave: they hardly repeat, and measure nothing."""

from __future__ import annotations

import pandas as pd
from pipeline.schema import Schema

from gitops_ml.intake.facts import Facts

# Whole numbers with so many digits, each as many as the other, are written by no scale.
DIGITS = 8
# So much of the rows has a value of its own.
NEARLY = 0.95
# So many repetitions are expected of numbers drawn by chance from the same range, or the lack of them says nothing.
EXPECTED = 10.0
SCARCE = "whole numbers that repeat far less than chance would: an identifier"
YEARS = (1800, 2100)
# If fewer of the rows that judge have a value that also trains, nothing can be learnt from it.
KNOWN = 0.05
# Of fewer names it may be chance.
FEWEST = 10


def names_rows(column: Facts) -> str | None:
    """Why whole numbers are an identifier, or None."""
    if not column.present or not column.whole or column.minimum is None or column.maximum is None:
        return None
    low, high = column.minimum, column.maximum
    if column.distinct < NEARLY * column.present or (YEARS[0] <= low and high <= YEARS[1]):
        return None
    if column.unique and not column.missing and column.rising:
        return "counts the rows"
    if low >= 10 ** (DIGITS - 1) and len(f"{low:.0f}") == len(f"{high:.0f}") and not _moments(low, high):
        return f"whole numbers of {len(f'{low:.0f}')} digits that hardly repeat: an identifier"
    # Any uneven spread over the range would repeat more often than an even one (birthday problem).
    expected = column.present * (column.present - 1) / 2 / (high - low + 1)
    scarce = expected >= EXPECTED and column.present - column.distinct < expected / 10
    return SCARCE if scarce else None


def unknown_values(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> dict[str, float]:
    """The categories whose values in the rows that judge hardly occur in those that train, with the share that do.

    Args:
        train: rows that train.
        test: rows that judge.
        schema: says which columns are categories.
    """
    found = {}
    for name, column in schema.features.items():
        known = set(train[name].dropna()) if column.type == "category" else set()
        if len(known) >= FEWEST:
            values = test[name].dropna()
            share = float(values.isin(known).mean()) if len(values) else 1.0
            if share < KNOWN:
                found[name] = share
    return found


def _moments(low: float, high: float) -> bool:
    """Whether the numbers may be seconds or milliseconds since 1970."""
    return any(10**9 * unit <= low and high < 2 * 10**9 * unit for unit in (1, 1000))
