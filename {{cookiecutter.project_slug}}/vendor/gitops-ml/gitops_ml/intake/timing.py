"""When rows were made: a split at random lets a model that will serve tomorrow be judged by yesterday's rows."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
from pipeline import data, model
from pipeline import split as division
from pipeline.params import Estimator, Split, Train
from pipeline.schema import DataError, Schema
from pipeline.tasks import MEASURES
from pipeline.validation import cast

from gitops_ml.intake.facts import Facts
from gitops_ml.intake.infer import Inferred, Wishes, infer

# What a person says to have no column taken for the time.
NOTHING = "none"
# Fewer moments are rather a handful of groups.
FEWEST_MOMENTS = 8
# Dates by such names tell something else of what the row is about.
ANOTHER = re.compile(r"(?i)birth|born|dob\b|expir|due|until|deadline|matur|planned|expected")
YEAR = re.compile(r"(?i)(^|[^a-z])(year|yr)$")
YEARS = (1800, 2100)
QUICK_ROWS = 10_000


def decide(facts: dict[str, Facts], sample: pd.DataFrame, wishes: Wishes, fraction: float) -> tuple[Wishes, Inferred]:
    """The schema, and the wishes with the one column that tells when a row was made as their time, if none was said.

    Args:
        facts: of every column that is kept.
        sample: rows of the table in their types.
        wishes: what the person has said.
        fraction: the share of the rows that will judge.

    Raises:
        UserError: no model can be made of this table.
    """
    if wishes.time_column == NOTHING and NOTHING not in facts:
        said = replace(wishes, time_column=None)
        return said, infer(facts, sample, said)
    found = infer(facts, sample, wishes)
    if wishes.time_column is not None:
        return wishes, found
    dates, years = _dates(found.schema, facts), _years(found.schema, facts)
    if len(dates) != 1 or wishes.key:
        if dates or years:
            found.warnings.append(_ask(dates or years))
        return wishes, found
    (name,) = dates
    if facts[name].missing:
        found.warnings.append(
            f"{name!r} tells when a row was made, but is empty in {facts[name].missing} rows, so the rows that judge "
            f"are drawn at random; fill them, and TIME={name} lets the newest judge"
        )
        return wishes, found
    by_time = replace(wishes, time_column=name)
    try:
        figures = _figures(sample, found.schema, name, fraction)
    except DataError as error:
        found.warnings.append(f"{name!r} tells when a row was made, but the newest rows cannot judge: {error}")
        return wishes, found
    again = infer(facts, sample, by_time)
    again.notes.append(
        f"{name!r} tells when a row was made, so the newest rows judge (TIME=none draws them at random): {figures}"
    )
    return by_time, again


def _dates(schema: Schema, facts: dict[str, Facts]) -> list[str]:
    return [
        name
        for name, column in schema.features.items()
        if column.type == "datetime" and facts[name].distinct >= FEWEST_MOMENTS and not ANOTHER.search(name)
    ]


def _years(schema: Schema, facts: dict[str, Facts]) -> list[str]:
    return [
        name
        for name, column in schema.features.items()
        if column.type == "integer"
        and YEAR.search(name)
        and facts[name].distinct >= FEWEST_MOMENTS
        and YEARS[0] <= (facts[name].minimum or 0) <= (facts[name].maximum or 0) <= YEARS[1]
    ]


def _ask(names: list[str]) -> str:
    listed = ", ".join(map(repr, names))
    options = " or ".join(f"TIME={name}" for name in names)
    which = f"if {listed} tells" if len(names) == 1 else f"if one of {listed} tells"
    return f"{which} when a row was made, {options} lets the newest rows judge, as in production"


def _figures(sample: pd.DataFrame, schema: Schema, name: str, fraction: float) -> str:
    """What a quick model reaches by time and at random.

    Raises:
        DataError: the rows cannot be divided by time.
    """
    rows = cast(sample, schema.columns)
    rows = rows[rows[schema.target].notna()]
    rows = rows.iloc[:: max(1, len(rows) // QUICK_ROWS)]
    splits = {
        "by time": Split(by="time", columns=[name], test_fraction=fraction),
        "at random": Split(by="random", test_fraction=fraction),
    }
    labelled = data.labelled({"the table": rows}, schema)
    reached = {words: _reached(*division.divide(labelled, schema, split), schema) for words, split in splits.items()}
    measured = "R²" if schema.task == "regression" else "AUC"
    return f"a quick model reaches {measured} " + ", ".join(f"{value:.3f} {words}" for words, value in reached.items())


def _reached(known: pd.DataFrame, judging: pd.DataFrame, schema: Schema) -> float:
    kind = "Regressor" if schema.task == "regression" else "Classifier"
    quick = Estimator(path=f"sklearn.ensemble.HistGradientBoosting{kind}")
    train = Train(seed=0, threads=1, one_hot_limit=20, estimator=quick)
    rows = data.features(known, schema)
    fitted = model.fit(
        model.build(schema, train, model.categories(rows, schema)), rows, data.labels(known, schema), train.threads
    )
    scores = model.score(fitted, data.features(judging, schema))
    metric = {"binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "r2"}[schema.task]
    return MEASURES[schema.task].measure(data.labels(judging, schema).to_numpy(), scores)[metric]
