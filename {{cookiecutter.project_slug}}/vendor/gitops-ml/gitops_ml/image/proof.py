"""The proof of a release: by the way that it is served, rows get the fitted Pipeline's own answers, to the last bit.

Every row goes through JSON and the service's validation. A batch is compared with a batch and a row alone with a row
alone, since a Pipeline need not give a row the same last bits in both.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pipeline import data, model, persistence
from pipeline.decision import Policy
from pipeline.schema import Column, Schema
from pipeline.validation import cast
from sklearn.pipeline import Pipeline

from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.record import Proof
from gitops_ml.versions import lock
from gitops_ml.versions.revision import Revision
from gitops_serving.contract import requests, to_answer, to_answers, values
from gitops_serving.fast import Scorer, compiled
from gitops_serving.fast.compiler import answered, edges, known, same, unequal
from gitops_serving.fast.rows import drawn

TEST = "data/prepared/test.parquet"
READ = [TEST, "models/model.skops", "models/model.json", "schema.yaml"]
ALONE, RANDOM = 2_000, 2_000
SEED = 0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A model as the service has it."""

    schema: Schema
    policy: Policy | None
    batch_rows: int
    fitted: Pipeline
    scorer: Scorer

    @classmethod
    def read(cls, root: Path) -> Served:
        """The model of the working tree.

        Raises:
            UserError: it is not the one that dvc.lock names, or has types that project.yaml does not trust.
        """
        lock.require(root, READ)
        settings, schema = project.read(root), Revision(root, None).settings("schema.yaml", Schema)
        facts = persistence.ModelFacts.model_validate_json((root / "models/model.json").read_bytes())
        try:
            fitted = persistence.load((root / "models/model.skops").read_bytes(), facts, settings.trusted_types)
        except persistence.ModelError as error:
            raise UserError(str(error)) from error
        policy = project.policy(settings.decision, schema)
        return cls(schema, policy, settings.service.batch_rows, fitted, compiled(fitted, schema))


@progress.doing("comparing the answers with the Pipeline's own")
def prove(root: Path) -> Proof:
    """Compare the answers of the model in the working tree.

    Raises:
        UserError: the model cannot be had, or see `proven`.
    """
    return proven(Served.read(root), root / TEST)


def proven(served: Served, test: Path, alone: int = ALONE, random: int = RANDOM) -> Proof:
    """Find the fastest way by which no answer differs from the Pipeline's: of the evaluation set, and of random rows.

    Args:
        served: the model; its scorer is the first to be tried.
        test: the evaluation set, which is scored in batches as large as the service takes them.
        alone: how many of its rows are scored one by one, too.
        random: how many random rows.

    Raises:
        UserError: not even the slowest is such, or the service would refuse a row.
    """
    # Those of random rows are only asked for if no other answer differs.
    while differing := sum(_evaluated(served, test, alone)) or _drawn(served, random):
        slower = served.scorer.slower()
        if served.scorer.tier == "pipeline":
            raise UserError(
                f"{differing} answers of the service would differ from those of the model that was evaluated; the "
                "columns' types in schema.yaml, or validation in gitops_serving/contract.py, change what the model sees"
            )
        _log.warning(
            "%d answers by way of %r differ from the Pipeline's: %r is taken",
            differing, served.scorer.tier, slower.tier,
        )  # fmt: skip
        served = replace(served, scorer=slower)
    rows = pq.read_metadata(test).num_rows
    return Proof(
        tier=served.scorer.tier,
        rows=rows,
        alone=min(rows, alone),
        random=random,
        seed=SEED,
        unequal=0,
        processor=processor(),
    )


def sent(table: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """The features of a table's rows as a caller sends them."""
    names = list(schema.features)
    columns = [table[name].astype(object).where(table[name].notna(), None) for name in names]
    return _bodies([list(row) for row in zip(*columns, strict=True)], schema)


def processor() -> str:
    """The processor's name, or if the system does not tell it, its kind."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(errors="replace").splitlines() if told.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([platform.machine(), *named[:1]])


def _evaluated(served: Served, test: Path, alone: int) -> Iterator[int]:
    """Of each piece of the evaluation set, how many answers differ: all in a batch, some alone, spread over the set."""
    file, begun = pq.ParquetFile(test), 0
    chosen = np.unique(np.linspace(0, file.metadata.num_rows - 1, alone).astype(int))
    for batch in file.iter_batches(batch_size=served.batch_rows, columns=list(served.schema.features)):
        table = cast(batch.to_pandas(), served.schema.features)
        inputs = data.features(table, served.schema)
        rows = _validated(sent(table, served.schema), served)
        yield _batch(rows, inputs, served)
        here = chosen[(chosen >= begun) & (chosen < begun + len(rows))] - begun
        yield sum(not _alone(rows[at], inputs.iloc[[at]], served) for at in here)
        begun += len(rows)


def _drawn(served: Served, count: int) -> int:
    """Of random rows, most at thresholds and limits, how many are answered otherwise, or other once they are valid."""
    rows = drawn(served.schema, known(served.scorer), edges(served.scorer), SEED, count)
    bodies = _bodies(rows, served.schema)
    valid = _validated(bodies, served)
    changed = sum(one != other for one, other in zip(bodies, _bodies(valid, served.schema), strict=True))
    return changed or unequal(served.scorer, valid)


def _bodies(rows: Sequence[Sequence[Any]], schema: Schema) -> list[dict[str, Any]]:
    """Rows of plain values as a caller sends them."""
    features = list(schema.features.items())
    return [
        {name: None if value is None else _sent(value, column) for (name, column), value in pairs}
        for pairs in (zip(features, row, strict=True) for row in rows)
    ]


def _batch(rows: Sequence[list[Any]], inputs: pd.DataFrame, served: Served) -> int:
    """How many rows of a batch get another score, or another decision."""
    ours, truth = served.scorer.many(rows), model.score(served.fitted, inputs)
    unlike = np.array([not same(*pair) for pair in zip(ours, truth, strict=True)])
    if served.policy:
        decided = to_answers(truth, served.schema, served.policy)["decisions"]
        said = [to_answer(score, served.schema, served.policy)["decision"] for score in ours.tolist()]
        unlike |= np.array(said) != np.array(decided)
    return int(unlike.sum())


def _alone(row: list[Any], inputs: pd.DataFrame, served: Served) -> bool:
    """Whether a row alone gets the Pipeline's own answer."""
    return same(answered(lambda: served.scorer.one(row)), answered(lambda: model.score(served.fitted, inputs)[0]))


def _validated(rows: Sequence[dict[str, Any]], served: Served) -> list[list[Any]]:
    """Rows as they come out of JSON and the service's validation.

    Raises:
        UserError: one is refused.
    """
    single, _ = requests(served.schema, served.batch_rows)
    validate = single.__pydantic_validator__.validate_json
    try:
        return [values(validate(json.dumps({"row": row})).row) for row in rows]
    except ValueError as error:
        first = " ".join(str(error).split()[:60])
        raise UserError(f"the service would refuse a row that schema.yaml allows: {first}") from error


def _sent(value: Any, column: Column) -> Any:
    """A value as JSON carries it."""
    if column.type == "datetime":
        return pd.Timestamp(value).isoformat()
    kinds: dict[str, Any] = {"integer": int, "number": float, "boolean": bool}
    return kinds.get(column.type, str)(value)
