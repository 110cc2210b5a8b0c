"""Rows that repeat others, found by hashes of their content: eight bytes a row, however many columns there are."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.data import Pieces
from pipeline.schema import Schema

Integers = npt.NDArray[np.int64]

# Two rows of any table have the same label at least so often where labels are few, and copies nearly always.
FEW_LABELS = 0.05
AGREEING = 0.95


def originals(pieces: Pieces, schema: Schema, names: list[str] | None = None) -> Integers:
    """The place of the first row that each row repeats in all columns but those left out, shape (rows,); or its own.

    Where few columns have few values rows are equal by chance, and none counts as a copy: if as many pairs as there are
    would be equal were the columns independent, or if rows with the same features have labels that differ.

    Args:
        pieces: the rows.
        schema: says which columns are left out.
        names: the columns that the rows have; all of the schema without.
    """
    columns = [
        name for name, column in schema.columns.items() if column.role != "ignore" and (names is None or name in names)
    ]
    content = _contents(pieces, columns)
    own = np.arange(len(content), dtype=np.int64)
    if not content.duplicated().any() or _recur_by_chance(pieces, columns, content, schema.target):
        return own
    return np.asarray(pd.Series(own).groupby(content.to_numpy()).transform("first"), dtype=np.int64)


def known(test: Pieces, train: Pieces, names: list[str], schema: Schema) -> float:
    """The share of the rows of `test` that are copies of rows of `train`, by the columns `names`, which both have."""
    count = sum(len(piece) for piece in train(names[:1]))
    found = originals(lambda columns: itertools.chain(train(columns), test(columns)), schema, names)
    return float((found[count:] < count).mean())


def _contents(pieces: Pieces, columns: list[str]) -> pd.Series:
    hashed = [pd.util.hash_pandas_object(piece.reset_index(drop=True), index=False) for piece in pieces(columns)]
    return pd.concat(hashed, ignore_index=True)


def _recur_by_chance(pieces: Pieces, columns: list[str], content: pd.Series, target: str) -> bool:
    alike = {name: _alike(pieces, name) for name in columns}
    if np.prod(list(alike.values())) * len(content) >= 1:
        return True
    features = _contents(pieces, [name for name in columns if name != target])
    agree = _pairs(content) / _pairs(features)
    return alike[target] > FEW_LABELS and agree < AGREEING


def _alike(pieces: Pieces, name: str) -> float:
    """How often two rows have the same value of a column."""
    values = pd.concat([piece[name] for piece in pieces([name])])
    return float((values.value_counts(normalize=True, dropna=False) ** 2).sum())


def _pairs(content: pd.Series) -> float:
    counts = content.value_counts().to_numpy(dtype="float64")
    return float((counts * (counts - 1) / 2).sum())
