"""models + data/prepared -> reports: metrics with intervals, slices, the data of the plots, the reference profile."""

from __future__ import annotations

from pipeline import data, metrics, model, persistence, profile, trivial
from pipeline.schema import cast
from pipeline.stages import files
from pipeline.tasks import MEASURES


def main() -> None:
    """Judge the model that was saved, not the one that was fitted."""
    schema = files.schema()
    split, params = files.params().prepare.split, files.params().evaluate
    train, table = (cast(files.read_table(path), schema.columns) for path in (files.TRAIN, files.TEST))
    rows, labels = data.features(table, schema), data.labels(table, schema).to_numpy()
    content, facts = files.model_file()
    fitted = persistence.load(content, facts, files.trusted_types())
    scores = model.score(fitted, rows)
    measures = MEASURES[schema.task]
    found = measures.measure(labels, scores)
    clusters = data.clusters(table, params.resample_by)
    needless = trivial.answers(train, table, schema, split)
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
    by_time = data.are_times(params.resample_by, schema)
    reference = profile.Profile(
        inputs=profile.sample(profile.watched_inputs(train, schema), data.clusters(train, params.resample_by), by_time),
        answers=profile.sample(profile.watched_answers(scores, schema), clusters, by_time),
    )
    curves["importance"] = metrics.importance(measures, fitted, rows, labels, params)
    files.write(
        {
            files.REPORTS / "metrics.json": files.as_json(files.rounded(summary)),
            files.PROFILE: files.as_json(reference.model_dump()),
            files.REPORTS / "slices.json": files.as_json(
                files.rounded(metrics.slices(measures, table, labels, scores, params))
            ),
            **{files.REPORTS / "plots" / f"{name}.csv": files.csv(curve) for name, curve in curves.items()},
        }
    )


if __name__ == "__main__":
    files.run(main)
