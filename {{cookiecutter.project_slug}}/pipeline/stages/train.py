"""data/prepared/train.parquet -> models: one fitted Pipeline, and the facts that are checked before it is loaded."""

from __future__ import annotations

import hashlib

import sklearn

from pipeline import data, model, persistence
from pipeline.schema import cast
from pipeline.stages import files
from pipeline.tasks import MEASURES


def main() -> None:
    """Fit, save, and load and score again as the service will, so that a model that cannot be served fails here."""
    schema = files.schema()
    params = files.params().train
    table = cast(files.read_table(files.TRAIN), schema.columns)
    rows, labels = data.features(table, schema), data.labels(table, schema)
    categories = {name: rows[name].nunique() for name, column in schema.features.items() if column.type == "category"}
    fitted = model.fit(model.build(schema, params, categories), rows, labels, params.threads)
    content = persistence.dump(fitted)
    facts = persistence.ModelFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        estimator=params.estimator.path,
        scikit_learn=sklearn.__version__,
        rows=len(rows),
        trivial=MEASURES[schema.task].trivial(labels.to_numpy()),
        features=list(rows.columns),
    )
    model.score(persistence.load(content, facts, files.trusted_types()), rows.head(1))
    print(f"{facts.estimator} fitted on {facts.rows} rows: {len(content) / 1000:.0f} kB, sha256 {facts.sha256[:12]}")
    files.write({files.MODEL: content, files.MODEL_FACTS: files.as_json(facts.model_dump())})


if __name__ == "__main__":
    files.run(main)
