"""models + data/prepared -> reports: metrics with intervals, slices, the data of the plots, the reference profile."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from pipeline import data, metrics, model, persistence, profile, trivial
from pipeline.params import Params
from pipeline.schema import Schema
from pipeline.stages import files, rows
from pipeline.tasks import MEASURES
from pipeline.tasks.scores import Floats


def main() -> None:
    """Judge the model that was saved, not the one that was fitted."""
    schema, settings = files.schema(), files.params()
    params, judging = settings.evaluate, trivial.columns(schema, settings.prepare.split)
    table = rows.prepared(files.TEST, schema, [*judging, *params.resample_by, *params.slices])
    labels = data.labels(table, schema).to_numpy()
    content, facts = files.model_file()
    fitted = persistence.load(content, facts, files.trusted_types())
    # Not the whole of the features, which need more memory than all the rest.
    scores = np.concatenate(
        [model.score(fitted, piece) for piece in rows.pieces(files.TEST, schema)(list(schema.features))]
    )
    measures = MEASURES[schema.task]
    found = measures.measure(labels, scores)
    clusters = data.clusters(table, params.resample_by)
    needless = trivial.answers(rows.prepared(files.TRAIN, schema, judging), table, schema, settings.prepare.split)
    bounds = metrics.intervals(measures, labels, scores, clusters, params)
    summary = {
        "rows": len(table),
        "clusters": int(clusters.max()) + 1,
        **measures.facts(labels, scores, params.calibration_bins),
        **{name: {"value": found[name], "low": low, "high": high} for name, (low, high) in bounds.items()},
        "baseline": measures.measure(labels, needless[trivial.best(measures, labels, needless)]),
    }
    print(", ".join(f"{name} {found[name]:.4f} ({low:.4f} to {high:.4f})" for name, (low, high) in bounds.items()))
    curves = measures.curves(labels, scores, params.calibration_bins)
    if "confusion" in curves:
        names = dict(enumerate(map(str, schema.classes)))
        curves["confusion"] = curves["confusion"].assign(
            **{column: curves["confusion"][column].map(names) for column in ("actual", "predicted")}
        )
    curves["importance"] = _importance(fitted, schema, settings)
    files.write(
        {
            files.REPORTS / "metrics.json": files.as_json(files.rounded(summary)),
            files.PROFILE: files.as_json(_reference(scores, clusters, schema, settings).model_dump()),
            files.REPORTS / "slices.json": files.as_json(
                files.rounded(metrics.slices(measures, table, labels, scores, params))
            ),
            **{files.REPORTS / "plots" / f"{name}.csv": files.csv(curve) for name, curve in curves.items()},
        }
    )


def _importance(fitted: Pipeline, schema: Schema, settings: Params) -> pd.DataFrame:
    chosen = metrics.shuffled(rows.count(files.TEST), settings.evaluate)
    table = rows.at(files.TEST, schema, np.sort(chosen)).iloc[np.argsort(np.argsort(chosen))]
    labels = data.labels(table, schema).to_numpy()
    return metrics.importance(MEASURES[schema.task], fitted, data.features(table, schema), labels, settings.evaluate)


def _reference(scores: Floats, clusters: profile.Integers, schema: Schema, settings: Params) -> profile.Profile:
    """The profile of the rows that train, a column at a time, and of the answers to those that judge."""
    columns = settings.evaluate.resample_by
    by_time = data.are_times(columns, schema)
    watched = (profile.watched_inputs(rows.prepared(files.TRAIN, schema, [name]), schema) for name in schema.features)
    trained = data.clusters(rows.prepared(files.TRAIN, schema, columns or [schema.target]), columns)
    return profile.Profile(
        inputs=profile.sample(watched, trained, by_time),
        answers=profile.sample([profile.watched_answers(scores, schema)], clusters, by_time),
    )


if __name__ == "__main__":
    files.run(main)
