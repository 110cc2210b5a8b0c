"""From validated tables to the rows that train and the rows that judge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.params import Split
from pipeline.schema import DataError, Schema

# How unlikely a file with one label must be before it counts as broken rather than as chance.
SINGLE_LABEL_CHANCE = 1e-9
# Two rows of any table have the same label at least so often where labels are few, and copies nearly always.
FEW_LABELS = 0.05
AGREEING = 0.95


def labelled(tables: dict[str, pd.DataFrame], schema: Schema) -> pd.DataFrame:
    """One table out of many, in the order given, without the rows that have no label; its index names the tables.

    Args:
        tables: the validated tables by the name that an error calls them by.
        schema: says which column is the label.

    Raises:
        DataError: a table has no label, all labels are the same, or one table has a single label where the others
            make that practically impossible.
    """
    target = schema.target
    whole = pd.concat(tables).droplevel(1).dropna(subset=[target])
    for name, table in tables.items():
        labels = table[target].dropna()
        if labels.empty:
            raise DataError(f"{name}: the label {target!r} is empty in every row")
        # How often this file's label is the same in the others, if it is a single one.
        others = whole[target].value_counts().sub(labels.value_counts(), fill_value=0)
        share = others.get(labels.iloc[0], 0) / max(others.sum(), 1)
        if labels.nunique() == 1 and others.sum() and share ** len(labels) < SINGLE_LABEL_CHANCE:
            raise DataError(
                f"{name}: the label {target!r} is {_shown(labels.iloc[0])} in all of its {len(labels)} rows, which is "
                f"no chance: in the other files it is so in {share:.0%}"
            )
    if whole[target].nunique() < 2:
        value = _shown(whole[target].iloc[0])
        only = f"is always {value}" if schema.task == "regression" else f"only has the class {value}"
        needs = "labels that differ" if schema.task == "regression" else "two classes"
        raise DataError(f"{', '.join(tables)}: the label {target!r} {only}, and a model needs {needs}")
    whole_numbers = schema.columns[target].type in ("integer", "boolean")
    return whole.astype({target: "int64"}) if whole_numbers else whole


def split(table: pd.DataFrame, schema: Schema, params: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split labelled rows into (train, test) as the params say.

    Raises:
        DataError: the data cannot be divided so that one part can train and the other judge.
    """
    match params.by:
        case "time":
            train, test = split_by_time(table, params.columns, params.test_fraction)
        case "group":
            train, test = split_by_group(table, params.columns, params.test_fraction, params.seed)
        case "random":
            strata, originals = _strata(table, schema), copies(table, schema)
            train, test = split_at_random(table, strata, originals, params.test_fraction, params.seed)
    for name, part in (("train", train), ("test", test)):
        if part[schema.target].nunique() < 2:
            single = "label" if schema.task == "regression" else "class"
            raise DataError(f"the {name} part of the split holds a single {single}; change prepare.split or add data")
    if schema.task == "multiclass" and (unseen := set(schema.classes) - set(train[schema.target])):
        raise DataError(
            f"the train part of the split has no row of the class {min(unseen, key=str)!r}; take it out of the "
            "target's categories and the data, or change prepare.split"
        )
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


def split_by_group(
    table: pd.DataFrame, columns: list[str], test_fraction: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into (train, test): whole groups, by a hash of their key, so that a group stays where it is as data grows.

    Raises:
        DataError: one of the two parts would be empty.
    """
    inside = _hashed(table[columns], seed) < test_fraction
    if inside.all() or not inside.any():
        raise DataError(f"all groups of {', '.join(columns)} fall into one part; change prepare.split.seed")
    return table[~inside].reset_index(drop=True), table[inside].reset_index(drop=True)


def split_at_random(
    table: pd.DataFrame, strata: pd.Series, originals: npt.NDArray[np.int64], test_fraction: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into (train, test): in each file and stratum, the rows whose content has the lowest hashes are the test.

    A row stays where it is when files are added: what judges one model has not trained an earlier one. Copies go where
    the row went that they repeat, and judge nothing: the model is asked for each row once.

    Args:
        table: rows whose index names their file.
        strata: shape (rows,), equal for rows that are drawn together.
        originals: shape (rows,), the place of the row that each one repeats, or its own.
        test_fraction: the share of rows that judge, of each stratum as near as whole rows allow.
        seed: another one draws other rows.
    """
    files = pd.factorize(table.index)[0]
    drawn = pd.DataFrame({"file": files, "stratum": strata.to_numpy(), "content": _hashed(table, seed).to_numpy()})
    # Equal rows are told apart by counting them: where few columns have few values, all rows have their like.
    drawn["hash"] = _hashed(drawn[["content"]].assign(place=drawn.groupby(["file", "content"]).cumcount()), seed)
    is_original = originals == np.arange(len(table))
    groups = drawn[is_original].groupby(["file", "stratum"])["hash"]
    inside = np.zeros(len(table), dtype=bool)
    inside[is_original] = (groups.rank(method="first") - 0.5) / groups.transform("size") < test_fraction
    return (
        table[~inside[originals]].reset_index(drop=True),
        table[inside].reset_index(drop=True),
    )


def copies(table: pd.DataFrame, schema: Schema) -> npt.NDArray[np.int64]:
    """The place of the first row that each row repeats in all columns but those left out, shape (rows,); or its own.

    Where few columns have few values rows are equal by chance, and none counts as a copy: if as many pairs as there are
    would be equal were the columns independent, or if rows with the same features have labels that differ.
    """
    columns = [name for name, column in schema.columns.items() if column.role != "ignore" and name in table]
    content = _contents(table, columns)
    own = np.arange(len(table), dtype=np.int64)
    if not content.duplicated().any() or _recur_by_chance(table, columns, content, schema.target):
        return own
    return np.asarray(pd.Series(own).groupby(content.to_numpy()).transform("first"), dtype=np.int64)


def known(test: pd.DataFrame, train: pd.DataFrame, schema: Schema) -> float:
    """The share of the rows of `test` that are copies of rows of `train`, by the columns that both have."""
    common = [name for name in test if name in train]
    originals = copies(pd.concat([train[common], test[common]], ignore_index=True), schema)
    return float((originals[len(train) :] < len(train)).mean())


def _contents(table: pd.DataFrame, columns: list[str]) -> pd.Series:
    return pd.util.hash_pandas_object(table[columns].reset_index(drop=True), index=False)


def _recur_by_chance(table: pd.DataFrame, columns: list[str], content: pd.Series, target: str) -> bool:
    shares = [table[name].value_counts(normalize=True, dropna=False) for name in columns]
    alike = [float((share**2).sum()) for share in shares]
    if np.prod(alike) * len(table) >= 1:
        return True
    features = _contents(table, [name for name in columns if name != target])
    agree = _pairs(content) / _pairs(features)
    return alike[columns.index(target)] > FEW_LABELS and agree < AGREEING


def _pairs(content: pd.Series) -> float:
    counts = content.value_counts().to_numpy(dtype="float64")
    return float((counts * (counts - 1) / 2).sum())


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


def _strata(table: pd.DataFrame, schema: Schema) -> pd.Series:
    """What random rows are drawn within: their class, or the part of their file's range of labels, at most a tenth."""
    if schema.task != "regression":
        return labels(table, schema)
    files = labels(table, schema).groupby(level=0)
    # Fewer strata where a tenth of a file would hold too few rows to divide.
    count = (files.transform("size") // 20).clip(1, 10)
    return (files.rank(pct=True) * count).apply(np.ceil)


def _hashed(table: pd.DataFrame, seed: int) -> pd.Series:
    """A number from 0 to 1 for each row, the same for equal rows."""
    # As text, since pandas mixes the key into the hash of text alone.
    text = table.astype(object).astype(str)
    return pd.util.hash_pandas_object(text, index=False, hash_key=f"{seed:016d}") / 2.0**64


def _shown(label: object) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)
