"""data/raw -> reports/data.json: whatever in the data could stop the pipeline stops it here, before all else."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pandas as pd

from pipeline import data, split
from pipeline.params import Params
from pipeline.schema import DataError, Schema
from pipeline.stages import files, rows
from pipeline.validation import unlisted

# With fewer clusters than this, drawing them says next to nothing about the uncertainty.
FEWEST_CLUSTERS = 5


def main() -> None:
    """Check the params against the schema, validate every file, try the split, and write down what the files hold."""
    schema, params = files.schema(), files.params()
    params.check_columns(schema)
    raw = rows.Raw(schema)
    report = _counts(raw, schema)
    _try_split(raw, schema, params)
    for name, counts in report.items():
        print(f"{name}: {counts['rows']} rows, {counts['unlabelled']} of them without a label")
        for column, values in counts["new_values"].items():
            print(f"{name}: column {column!r} has values new to the schema: {values}")
    files.write({files.DATA_REPORT: files.as_json(report)})


def _try_split(raw: rows.Raw, schema: Schema, params: Params) -> None:
    _, test = split.places(raw.labelled, schema, params.prepare.split)
    columns = params.evaluate.resample_by
    groups = data.clusters(data.joined(raw.labelled, columns).iloc[test], columns).max() + 1 if columns else len(test)
    if groups < FEWEST_CLUSTERS:
        if not columns:
            raise DataError(f"the split leaves only {groups} rows to judge by, and intervals need {FEWEST_CLUSTERS}")
        raise DataError(
            f"evaluate.resample_by tells only {groups} groups of test rows apart, and intervals need "
            f"{FEWEST_CLUSTERS}; name finer columns, or none"
        )


def _counts(raw: rows.Raw, schema: Schema) -> dict[str, dict[str, Any]]:
    """What each file holds, by its name.

    Raises:
        DataError: a file differs from the schema, or no model could be made of the labels.
    """
    target, names = schema.target, list(raw.files)
    lengths, gaps = Counter[int](), defaultdict[int, Counter[str]](Counter)
    unlisted_values = defaultdict[int, dict[str, Counter[str]]](lambda: defaultdict(Counter))
    labels = []
    for number, piece in raw.validated():
        lengths[number] += len(piece)
        gaps[number].update({str(column): int(count) for column, count in piece.isna().sum().items()})
        for column, values in unlisted(piece, schema).items():
            unlisted_values[number][column].update(values)
        labels.append(data.with_label(piece[[target]], number, schema)[target])
    whole = pd.concat(labels)
    data.require_labels(whole, names, schema)
    return {
        name: {
            "rows": lengths[number],
            "unlabelled": gaps[number][target],
            **_labels(whole[whole.index == number], schema),
            "missing": {column: count for column, count in gaps[number].items() if count and column != target},
            "new_values": {column: dict(values.most_common()) for column, values in unlisted_values[number].items()},
        }
        for number, name in enumerate(names)
    }


def _labels(labels: pd.Series, schema: Schema) -> dict[str, Any]:
    """What the labels look like: the rate of positives, the rows of each class, or the mean."""
    match schema.task:
        case "binary":
            return {"positive_rate": float((labels == schema.classes[1]).mean())}
        case "multiclass":
            return {"classes": {str(name): int((labels == name).sum()) for name in schema.classes}}
        case "regression":
            return {"mean_label": float(labels.mean())}


if __name__ == "__main__":
    files.run(main)
