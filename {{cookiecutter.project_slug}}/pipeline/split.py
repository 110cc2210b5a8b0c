"""Which rows train and which judge. To decide that takes a few bytes of each row, so the rows are read in pieces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline import copies, data
from pipeline.data import Pieces
from pipeline.params import Split
from pipeline.schema import DataError, Schema

Integers = npt.NDArray[np.int64]


def divide(table: pd.DataFrame, schema: Schema, params: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide labelled rows into (train, test) as the params say.

    Raises:
        DataError: as `places`.
    """
    train, test = places(data.whole(table), schema, params)
    return table.iloc[train].reset_index(drop=True), table.iloc[test].reset_index(drop=True)


def places(pieces: Pieces, schema: Schema, params: Split) -> tuple[Integers, Integers]:
    """The places of the rows that train and of those that judge, in the order in which they are written.

    Args:
        pieces: labelled rows, whose index numbers their file.
        schema: the columns and their roles.
        params: the block `prepare.split` of params.yaml.

    Raises:
        DataError: the data cannot be divided so that one part can train and the other judge.
    """
    keys = data.joined(pieces, [schema.target, *params.columns])
    match params.by:
        case "time":
            train, test = by_time(keys, params.columns, params.test_fraction)
        case "group":
            train, test = by_group(keys, params.columns, params.test_fraction, params.seed)
        case "random":
            content = np.concatenate([_hashed(piece, params.seed) for piece in pieces(None)])
            drawn = pd.DataFrame({"file": keys.index, "stratum": _strata(keys, schema).to_numpy(), "content": content})
            originals = copies.originals(pieces, schema)
            train, test = at_random(drawn, originals, params.test_fraction, params.seed)
    _require_labels_of_both(keys[schema.target], train, test, schema)
    return train, test


def by_time(keys: pd.DataFrame, columns: list[str], test_fraction: float) -> tuple[Integers, Integers]:
    """The newest moments, at least `test_fraction` of the rows, judge; the places are in the order of time.

    Rows are ordered by `columns`, the most significant first. Rows of one moment are never divided, so no row that
    trains is as new as one that judges.

    Raises:
        DataError: one of the two parts would be empty.
    """
    ordered = keys[columns].reset_index(drop=True).sort_values(columns, kind="stable")
    order = ordered.index.to_numpy(dtype=np.int64)
    first = np.zeros(len(order), dtype=bool)
    for name in columns:
        first |= (ordered[name] != ordered[name].shift()).to_numpy()
    # Where the moment begins that holds the row at the fraction.
    cut = int(np.flatnonzero(first[: int(len(order) * (1 - test_fraction)) + 1])[-1])
    if not cut:
        raise DataError(f"the columns {', '.join(columns)} do not tell enough moments apart to split the data in two")
    return order[:cut], order[cut:]


def by_group(keys: pd.DataFrame, columns: list[str], test_fraction: float, seed: int) -> tuple[Integers, Integers]:
    """Whole groups train or judge, by a hash of their key, so that a group stays where it is as data grows.

    Raises:
        DataError: one of the two parts would be empty.
    """
    inside = _hashed(keys[columns], seed) < test_fraction
    if inside.all() or not inside.any():
        raise DataError(f"all groups of {', '.join(columns)} fall into one part; change prepare.split.seed")
    return np.flatnonzero(~inside), np.flatnonzero(inside)


def at_random(keys: pd.DataFrame, originals: Integers, test_fraction: float, seed: int) -> tuple[Integers, Integers]:
    """In each file and stratum, the rows whose content has the lowest hashes judge.

    A row stays where it is when files are added: what judges one model has not trained an earlier one. Copies go where
    the row went that they repeat, and judge nothing: the model is asked for each row once.

    Args:
        keys: columns `file`; `stratum`, equal for rows that are drawn together; and `content`, a hash of each row.
        originals: shape (rows,), the place of the row that each one repeats, or its own.
        test_fraction: the share of rows that judge, of each stratum as near as whole rows allow.
        seed: another one draws other rows.
    """
    # Equal rows are told apart by counting them: where few columns have few values, all rows have their like.
    places = keys.groupby(["file", "content"]).cumcount()
    drawn = keys.assign(hash=_hashed(keys[["content"]].assign(place=places), seed))
    is_original = originals == np.arange(len(drawn))
    groups = drawn[is_original].groupby(["file", "stratum"])["hash"]
    inside = np.zeros(len(drawn), dtype=bool)
    inside[is_original] = (groups.rank(method="first") - 0.5) / groups.transform("size") < test_fraction
    return np.flatnonzero(~inside[originals]), np.flatnonzero(inside)


def _require_labels_of_both(labels: pd.Series, train: Integers, test: Integers, schema: Schema) -> None:
    held = {"train": labels.iloc[train], "test": labels.iloc[test]}
    for name, part in held.items():
        if part.empty or (part == part.iloc[0]).all():
            single = "label" if schema.task == "regression" else "class"
            raise DataError(f"the {name} part of the split holds a single {single}; change prepare.split or add data")
    if schema.task == "multiclass" and (unseen := set(schema.classes) - set(held["train"])):
        raise DataError(
            f"the train part of the split has no row of the class {min(unseen, key=str)!r}; take it out of the "
            "target's categories and the data, or change prepare.split"
        )


def _strata(keys: pd.DataFrame, schema: Schema) -> pd.Series:
    """What random rows are drawn within: their class, or the part of their file's range of labels, at most a tenth."""
    if schema.task != "regression":
        return data.labels(keys, schema)
    files = data.labels(keys, schema).groupby(level=0)
    # Fewer strata where a tenth of a file would hold too few rows to divide.
    count = (files.transform("size") // 20).clip(1, 10)
    return (files.rank(pct=True) * count).apply(np.ceil)


def _hashed(table: pd.DataFrame, seed: int) -> npt.NDArray[np.float64]:
    """A number from 0 to 1 for each row, the same for equal rows."""
    # As text, since pandas mixes the key into the hash of text alone.
    text = table.astype(object).astype(str)
    return pd.util.hash_pandas_object(text, index=False, hash_key=f"{seed:016d}").to_numpy() / 2.0**64
