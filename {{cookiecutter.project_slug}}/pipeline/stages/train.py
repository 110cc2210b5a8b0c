"""data/prepared/train.parquet -> models: one fitted Pipeline, and the facts that are checked before it is loaded.

Where params.yaml names candidates they are compared first, and one of them is fitted to all rows.
"""

from __future__ import annotations

import hashlib
import time

import sklearn

from pipeline import compare, data, model, persistence
from pipeline.compare import Comparison
from pipeline.params import Params
from pipeline.schema import Schema
from pipeline.stages import files, rows


def main() -> None:
    """Fit, save, and load and score again as the service will, so that a model that cannot be served fails here."""
    schema = files.schema()
    params = files.params()
    compared = _compare(schema, params)
    # Read again, so that nothing but what is fitted to is held while fitting.
    table = rows.prepared(files.TRAIN, schema, list(schema.features))
    labels = data.labels(rows.prepared(files.TRAIN, schema, [schema.target]), schema)
    train = params.train.naming(compared.taken)
    fitted = model.fit(model.build(schema, train, model.categories(table, schema)), table, labels, train.threads)
    content = persistence.dump(fitted)
    facts = persistence.ModelFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        estimator=compared.taken.path,
        scikit_learn=sklearn.__version__,
        rows=len(table),
        features=list(table.columns),
    )
    model.score(persistence.load(content, facts, files.trusted_types()), table.head(1))
    print(f"{facts.estimator} fitted on {facts.rows} rows: {len(content) / 1000:.0f} kB, sha256 {facts.sha256[:12]}")
    files.write(
        {
            files.MODEL: content,
            files.MODEL_FACTS: files.as_json(facts.model_dump()),
            files.CANDIDATES: files.as_json(files.rounded(compared.model_dump())),
        }
    )


def _compare(schema: Schema, params: Params) -> Comparison:
    if params.train.estimator is not None:
        return Comparison(taken=params.train.estimator, reason="params.yaml names it")
    start, rule = time.monotonic(), files.rule()
    places = compare.places(rows.count(files.TRAIN), params.train.seed)
    sample = rows.at(files.TRAIN, schema, places)
    found = compare.compare(sample, schema, params.prepare.split, params.train, rule)
    for each in found.candidates:
        name, reached = each.estimator.path.rpartition(".")[2], each.metrics.get(rule.metric)
        print(f"{name}: {f'{rule.metric} {reached:.4f}' if reached is not None else each.failed}")
    print(f"{found.taken.path} is taken, {found.reason}; {found.fits} fits in {time.monotonic() - start:.0f} s")
    return found


if __name__ == "__main__":
    files.run(main)
