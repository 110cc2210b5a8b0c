"""Tables as somebody brings them, and the project that takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gitops_ml.intake.bring import Outcome, Said, bring
from pipeline.schema import Schema
from pipeline.stages import evaluate, files, prepare, rows, train, validate

RANDOM = np.random.default_rng(5)
ROWS = 60
SIGNAL = RANDOM.normal(size=ROWS).round(3)
LABEL = np.where(SIGNAL + RANDOM.normal(0, 0.3, ROWS) > 0, "yes", "no")


def said(target: str | None = "y", **wishes: Any) -> Said:
    """What somebody says at the command line."""
    nothing = dict.fromkeys(("time_column", "key", "delimiter", "encoding", "decimal", "dates"))
    return Said(target, **({"task": "auto", "drop": [], "missing": []} | nothing | wishes))


def table(**columns: Any) -> pd.DataFrame:
    """A table with a signal, a label, and what a test adds."""
    return pd.DataFrame({"x": SIGNAL, **columns, "y": LABEL})


def take(
    content: bytes | str | pd.DataFrame, target: str | None = "y", name: str = "table.csv", **wishes: Any
) -> Outcome:
    """Write a file and bring it into the project in which the test stands."""
    path = Path("..") / name
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return bring(path, said(target, **wishes), dry_run=False)


def fitting() -> Schema:
    """The schema that was written; the data that was written fits it."""
    schema = files.schema()
    assert list(rows.Raw(schema).validated())
    files.params().check_columns(schema)
    return schema


def rows_of(values: list[str]) -> list[str]:
    """As many values as there are rows."""
    return (values * ROWS)[:ROWS]


def run_quickly() -> None:
    """Run the four stages, with fewer draws."""
    params = files.params()
    params.evaluate.resamples, params.evaluate.importance.repeats, params.evaluate.importance.rows = 100, 1, 50
    Path("params.yaml").write_text(json.dumps(params.model_dump()))
    for stage in (validate, prepare, train, evaluate):
        stage.main()
