"""What turned out to be true of rows that were answered: read, held to the schema, and joined to their answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pipeline.schema import Schema

from gitops_ml.core.errors import UserError
from gitops_ml.predictions import stored

# The id that the service gave to an answer, or the caller's of a request; and which row of it.
ANSWER, REQUEST, ROW = "answer", "request", "row"


def read(place: str, schema: Schema) -> pd.DataFrame:
    """All labels of a place, in the order in which they arrived: columns `answer`, `request`, `row` and the target.

    One of the two ids is enough; the other is None.

    Raises:
        UserError: the place cannot be read, has other columns, or values that are no labels of the schema.
    """
    table, target = stored.tables(place), schema.target
    if table.empty:
        return pd.DataFrame(columns=[ANSWER, REQUEST, ROW, target])
    needed = [*([] if REQUEST in table else [ANSWER]), ROW, target]
    if missing := [name for name in needed if name not in table]:
        raise UserError(
            f"the labels in {place} have no column {missing[0]!r}; they need {ANSWER} (or {REQUEST}, "
            f"where each call has an id of its own), {ROW}, {target}"
        )
    table = table.reindex(columns=[ANSWER, REQUEST, ROW, target])
    for name in (ANSWER, REQUEST):
        table[name] = table[name].astype(object).map(str, na_action="ignore")
    table[ROW] = pd.to_numeric(table[ROW], errors="coerce")
    if (nameless := table[[ANSWER, REQUEST]].isna().all(axis=1) | table[ROW].isna()).any():
        raise UserError(f"{nameless.sum():,} labels in {place} have no id or no number of a row, so nothing was judged")
    if wrong := _unknown(table[target].dropna(), schema):
        raise UserError(
            f"{len(wrong):,} labels in {place} are no {target!r} of schema.yaml, such as {wrong[0]!r}; "
            "nothing was judged"
        )
    return table


def joined(answers: pd.DataFrame, requests: pd.DataFrame, labels: pd.DataFrame, target: str) -> pd.DataFrame:
    """The answers whose label is known, the one that arrived last, with the target as one more column.

    Args:
        answers: as the service wrote them down; what an older one wrote has no column `answer`.
        requests: the requests of the same time, of which those may be more than were answered or written down in full.
        labels: as `read` gives them.
        target: the name of the label's column.

    Raises:
        UserError: an id of a label stands for more than one answer, so that nobody can say which one it is about.
    """
    if answers.empty or labels.empty:
        return answers.iloc[:0].assign(**{target: None})
    ids = answers.reindex(columns=[ANSWER, REQUEST]).astype(object)
    places = ids.assign(row=answers[ROW], place=range(len(answers)))
    found = []
    for key in (ANSWER, REQUEST):
        # By the caller's id only what has no better one.
        chosen = labels[labels[ANSWER].isna() if key == REQUEST else labels[ANSWER].notna()]
        _require_unique(places, requests, chosen, key)
        found.append(chosen.reset_index()[["index", key, ROW, target]].merge(places, on=[key, ROW]))
    known = pd.concat(found).sort_values("index").drop_duplicates("place", keep="last").dropna(subset=[target])
    known = known.sort_values("place")
    return answers.iloc[known["place"]].assign(**{target: known[target].to_numpy()}).reset_index(drop=True)


def _unknown(values: pd.Series, schema: Schema) -> list[Any]:
    """The values that are none: no finite numbers in a regression, else no classes."""
    if schema.task == "regression":
        known = np.isfinite(pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64"))
    else:
        known = values.isin(pd.Series(schema.classes, dtype=object)).to_numpy()
    return list(values[~known].tolist())


def _require_unique(answers: pd.DataFrame, requests: pd.DataFrame, labels: pd.DataFrame, key: str) -> None:
    asked = answers[answers[key].isin(labels[key])]
    twice = set(asked.loc[asked.duplicated([key, ROW], keep=False), key])
    if key == REQUEST and not requests.empty:
        # Of a sample the log has few rows of answers, but a line for every request.
        answered = requests.loc[(requests["status"] < 400) & requests[key].isin(labels[key]), key]
        twice |= set(answered[answered.duplicated(keep=False)])
    if not twice:
        return
    about = labels[key].isin(twice).sum()
    raise UserError(
        f"{len(twice):,} ids in the column {key!r} of the labels stand for more than one answer, such as "
        f"{min(twice)!r}: nobody can say which of them {about:,} of {len(labels):,} labels are about, so nothing was "
        f"judged; give these labels by the column {ANSWER!r}, the id of each answer in its header x-answer-id, or take "
        "them out"
    )
