"""models + data/prepared/test.parquet -> reports: metrics with intervals, slices, and the data of the plots."""

from __future__ import annotations

from pipeline import data, metrics, model, persistence
from pipeline.schema import cast
from pipeline.stages import files


def main() -> None:
    """Judge the model that was saved, not the one that was fitted."""
    schema = files.schema()
    params = files.params().evaluate
    table = cast(files.read_table(files.TEST), schema.columns)
    rows, labels = data.features(table, schema), data.labels(table, schema).to_numpy()
    content, facts = files.model_file()
    fitted = persistence.load(content, facts, files.trusted_types())
    scores = model.score(fitted, rows)
    found = metrics.measure(labels, scores)
    clusters = data.clusters(table, params.resample_by)
    bounds = metrics.intervals(labels, scores, clusters, params)
    summary = {
        "rows": len(table),
        "clusters": int(clusters.max()) + 1,
        "positive_rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
        "calibration_error": metrics.calibration_error(labels, scores, params.calibration_bins),
        **{name: {"value": found[name], "low": low, "high": high} for name, (low, high) in bounds.items()},
        "baseline": metrics.baseline(labels, facts.positive_rate),
    }
    print(", ".join(f"{name} {found[name]:.4f} ({low:.4f} to {high:.4f})" for name, (low, high) in bounds.items()))
    plots = files.REPORTS / "plots"
    files.write(
        {
            files.REPORTS / "metrics.json": files.as_json(summary),
            files.REPORTS / "slices.json": files.as_json(metrics.slices(table, labels, scores, params)),
            plots / "roc.csv": files.csv(metrics.roc(labels, scores)),
            plots / "precision_recall.csv": files.csv(metrics.precision_recall(labels, scores)),
            plots / "calibration.csv": files.csv(metrics.calibration(labels, scores, params.calibration_bins)),
            plots / "importance.csv": files.csv(
                metrics.importance(fitted, rows, labels, params.importance, params.seed)
            ),
        }
    )


if __name__ == "__main__":
    files.run(main)
