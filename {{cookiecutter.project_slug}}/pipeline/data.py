"""From validated tables to the rows that train and the rows that judge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.schema import DataError, Schema

# How unlikely a file with one label must be before it counts as broken rather than as chance.
SINGLE_LABEL_CHANCE = 1e-9


def labelled(tables: dict[str, pd.DataFrame], schema: Schema) -> pd.DataFrame:
    """One table out of many, in the order given, without the rows that have no label.

    Args:
        tables: the validated tables by the name that an error calls them by.
        schema: says which column is the label.

    Raises:
        DataError: a table has no label, all labels are the same, or one table has a single label where the others
            make that practically impossible.
    """
    target = schema.target
    whole = pd.concat(list(tables.values()), ignore_index=True).dropna(subset=[target])
    shares = whole[target].value_counts(normalize=True)
    if len(shares) < 2:
        only = f"only has the class {shares.index[0]:g}" if len(shares) else "is empty everywhere"
        raise DataError(f"{', '.join(tables)}: the label {target!r} {only}, and a model needs two classes")
    for name, table in tables.items():
        labels = table[target].dropna()
        if labels.empty:
            raise DataError(f"{name}: the label {target!r} is empty in every row")
        if labels.nunique() == 1 and shares[labels.iloc[0]] ** len(labels) < SINGLE_LABEL_CHANCE:
            raise DataError(
                f"{name}: the label {target!r} is {labels.iloc[0]:g} in all of its {len(labels)} rows, which the "
                f"other files make impossible by chance ({shares[labels.iloc[0]]:.0%} there)"
            )
    return whole.astype({target: "int64"}).reset_index(drop=True)


def split_by_time(table: pd.DataFrame, columns: list[str], test_fraction: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into (train, test): the newest moments, at least `test_fraction` of the rows, are the test.

    Rows are ordered by `columns`, the most significant first. Rows of one moment are never divided, so no train row
    is as new as a test row.

    Raises:
        DataError: one of the two parts would be empty, or has a single class.
    """
    ordered = table.sort_values(columns, kind="stable", ignore_index=True)
    moment = ordered.groupby(columns, sort=False).ngroup()
    cut = int(moment.iloc[int(len(ordered) * (1 - test_fraction))])
    train, test = ordered[moment < cut], ordered[moment >= cut]
    if train.empty:
        raise DataError(f"the columns {', '.join(columns)} do not tell enough moments apart to split the data in two")
    return train.reset_index(drop=True), test.reset_index(drop=True)


def features(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The columns that the model sees, in the schema's order."""
    return table[list(schema.features)]


def labels(table: pd.DataFrame, schema: Schema) -> pd.Series:
    """The label, as int64."""
    return table[schema.target].astype("int64")


def clusters(table: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.int64]:
    """The number of each row's cluster, shape (rows,): equal where all `columns` are; without columns, none is."""
    if not columns:
        return np.arange(len(table), dtype=np.int64)
    return np.asarray(table.groupby(columns, sort=True, dropna=False).ngroup(), dtype=np.int64)
