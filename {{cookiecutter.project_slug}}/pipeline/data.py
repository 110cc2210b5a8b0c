"""From validated tables to the rows that train and the rows that judge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.params import Split
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
    for name, table in tables.items():
        labels = table[target].dropna()
        if labels.empty:
            raise DataError(f"{name}: the label {target!r} is empty in every row")
        # How often this file's label is the same in the others, if it is a single one.
        others = whole[target].value_counts().sub(labels.value_counts(), fill_value=0)
        share = others.get(labels.iloc[0], 0) / max(others.sum(), 1)
        if labels.nunique() == 1 and others.sum() and share ** len(labels) < SINGLE_LABEL_CHANCE:
            raise DataError(
                f"{name}: the label {target!r} is {labels.iloc[0]:g} in all of its {len(labels)} rows, which is no "
                f"chance: in the other files it is so in {share:.0%}"
            )
    if whole[target].nunique() < 2:
        only = f"only has the class {whole[target].iloc[0]:g}"
        raise DataError(f"{', '.join(tables)}: the label {target!r} {only}, and a model needs two classes")
    return whole.astype({target: "int64"}).reset_index(drop=True)


def split(table: pd.DataFrame, schema: Schema, params: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split labelled rows into (train, test) as the params say.

    Raises:
        DataError: the data cannot be divided so that both parts hold both classes.
    """
    train, test = split_by_time(table, params.columns, params.test_fraction)
    for name, part in (("train", train), ("test", test)):
        if part[schema.target].nunique() < 2:
            raise DataError(f"the {name} part of the split holds a single class; change prepare.split or add data")
    return train, test


def split_by_time(table: pd.DataFrame, columns: list[str], test_fraction: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into (train, test): the newest moments, at least `test_fraction` of the rows, are the test.

    Rows are ordered by `columns`, the most significant first. Rows of one moment are never divided, so no train row
    is as new as a test row.

    Raises:
        DataError: one of the two parts would be empty.
    """
    ordered = table.sort_values(columns, kind="stable", ignore_index=True)
    moment = ordered.groupby(columns, sort=False, dropna=False).ngroup()
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
