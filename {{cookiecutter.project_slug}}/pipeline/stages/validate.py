"""data/raw -> reports/data.json: whatever in the data could stop the pipeline stops it here, before all else."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline import data
from pipeline.schema import DataError, Schema, unlisted
from pipeline.stages import files

# With fewer clusters than this, drawing them says next to nothing about the uncertainty.
FEWEST_CLUSTERS = 5


def main() -> None:
    """Check the params against the schema, validate every file, try the split, and write down what the files hold."""
    schema, params = files.schema(), files.params()
    params.check_columns(schema)
    tables = files.raw_tables(schema)
    _, test = data.split(data.labelled(tables, schema), schema, params.prepare.split)
    groups = data.clusters(test, params.evaluate.resample_by).max() + 1
    if groups < FEWEST_CLUSTERS:
        if not params.evaluate.resample_by:
            raise DataError(f"the split leaves only {groups} rows to judge by, and intervals need {FEWEST_CLUSTERS}")
        raise DataError(
            f"evaluate.resample_by tells only {groups} groups of test rows apart, and intervals need "
            f"{FEWEST_CLUSTERS}; name finer columns, or none"
        )
    report = {name: _counts(table, schema) for name, table in tables.items()}
    for name, counts in report.items():
        print(f"{name}: {counts['rows']} rows, {counts['unlabelled']} of them without a label")
        for column, values in counts["new_values"].items():
            print(f"{name}: column {column!r} has values new to the schema: {values}")
    files.write({files.DATA_REPORT: files.as_json(report)})


def _counts(table: pd.DataFrame, schema: Schema) -> dict[str, Any]:
    missing = {name: int(count) for name, count in table.isna().sum().items() if count}
    return {
        "rows": len(table),
        "unlabelled": missing.pop(schema.target, 0),
        **_labels(table[schema.target].dropna(), schema),
        "missing": missing,
        "new_values": unlisted(table, schema),
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
