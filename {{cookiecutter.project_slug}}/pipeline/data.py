"""From validated tables to labelled rows: in pieces where there are too many to hold, and whole where there are few."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.schema import DataError, Schema

# Labelled rows, piece by piece in the same order at every call; with these columns, or with all of them.
Pieces = Callable[[list[str] | None], Iterator[pd.DataFrame]]

# How unlikely a file with one label must be before it counts as broken rather than as chance.
SINGLE_LABEL_CHANCE = 1e-9


def labelled(tables: dict[str, pd.DataFrame], schema: Schema) -> pd.DataFrame:
    """One table out of many, in the order given, without the rows that have no label; its index numbers the tables.

    Args:
        tables: the validated tables by the name that an error calls them by.
        schema: says which column is the label.

    Raises:
        DataError: as `require_labels`.
    """
    found = pd.concat([with_label(table, number, schema) for number, table in enumerate(tables.values())])
    require_labels(found[schema.target], list(tables), schema)
    return found


def with_label(table: pd.DataFrame, number: int, schema: Schema) -> pd.DataFrame:
    """The rows that have a label, which is int64 where it is a whole number; their index is the table's number."""
    target = schema.target
    found = table[table[target].notna()]
    found = found.set_axis(np.full(len(found), number))
    return found.astype({target: "int64"}) if schema.columns[target].type in ("integer", "boolean") else found


def require_labels(labels: pd.Series, names: list[str], schema: Schema) -> None:
    """Hold the labels of all tables to be such that a model can learn from them.

    Args:
        labels: without gaps; the index numbers the table of each.
        names: of the tables.
        schema: says which column they come from.

    Raises:
        DataError: a table has no label, all labels are the same, or one table has a single label where the others
            make that practically impossible.
    """
    target = schema.target
    for number, name in enumerate(names):
        inside = labels.index == number
        own = labels[inside]
        if own.empty:
            raise DataError(f"{name}: the label {target!r} is empty in every row")
        if (own == own.iloc[0]).all() and not inside.all():
            share = float((labels[~inside] == own.iloc[0]).mean())
            if share ** len(own) < SINGLE_LABEL_CHANCE:
                raise DataError(
                    f"{name}: the label {target!r} is {_shown(own.iloc[0])} in all of its {len(own)} rows, which is "
                    f"no chance: in the other files it is so in {share:.0%}"
                )
    if (labels == labels.iloc[0]).all():
        value = _shown(labels.iloc[0])
        only = f"is always {value}" if schema.task == "regression" else f"only has the class {value}"
        needs = "labels that differ" if schema.task == "regression" else "two classes"
        raise DataError(f"{', '.join(names)}: the label {target!r} {only}, and a model needs {needs}")


def whole(table: pd.DataFrame) -> Pieces:
    """A table that is small enough to be one piece."""
    return lambda names: iter([table if names is None else table[names]])


def joined(pieces: Pieces, names: list[str]) -> pd.DataFrame:
    """These columns of all rows, in one table."""
    return pd.concat(pieces(list(dict.fromkeys(names))))


def features(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The columns that the model sees, in the schema's order."""
    return table[list(schema.features)]


def labels(table: pd.DataFrame, schema: Schema) -> pd.Series:
    """The label: in a regression as float64, else the number of its class as int64."""
    values = table[schema.target]
    if schema.task == "regression":
        return values.astype("float64")
    codes = {label: code for code, label in enumerate(schema.classes)}
    # Through the dictionary itself, to which true is 1: pandas would look for the type too.
    return values.map(codes.get).astype("int64")


def clusters(table: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.int64]:
    """The number of each row's cluster, shape (rows,): equal where all `columns` are; without columns, none is."""
    if not columns:
        return np.arange(len(table), dtype=np.int64)
    return np.asarray(table.groupby(columns, sort=True, dropna=False).ngroup(), dtype=np.int64)


def are_times(columns: list[str], schema: Schema) -> bool:
    """Whether clusters by these columns are stretches of time."""
    kinds = [schema.columns[name] for name in columns]
    return bool(kinds) and all(kind.role == "time" or kind.type == "datetime" for kind in kinds)


def _shown(label: object) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)
