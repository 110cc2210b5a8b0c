"""A release of a small model with every type of column, and rows for it."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from gitops_ml.core import record
from gitops_ml.engine.code import PYTHON, installed, packed
from pipeline import model, persistence
from pipeline.params import Estimator, Train
from pipeline.schema import Schema
from pipeline.validation import cast
from sklearn import __version__ as scikit_learn
from sklearn.pipeline import Pipeline

from tests.automation.tables import PROJECT
from tests.automation.world import World

BOOSTING = "sklearn.ensemble.HistGradientBoosting"
COLUMNS: dict[str, Any] = {
    "id": {"type": "category", "open": True, "role": "key"},
    "day": {"type": "datetime", "role": "time"},
    "x": {"type": "number", "minimum": -10, "maximum": 10},
    "n": {"type": "integer", "minimum": 0, "maximum": 50},
    "gap": {"type": "number", "nullable": True},
    "yes": {"type": "boolean"},
    "few": {"type": "category", "categories": ["p", "q", "r"], "nullable": True},
    "many": {"type": "category", "open": True},
    "when": {"type": "datetime", "nullable": True},
    "secret": {"type": "category", "categories": ["u", "v"], "personal": True},
}
TARGETS: dict[str, Any] = {
    "binary": {"type": "category", "role": "target", "categories": ["no", "on"]},
    "multiclass": {"type": "category", "role": "target", "categories": ["a", "b", "c"]},
    "regression": {"type": "number", "role": "target"},
}
DECISION = {"unit": "EUR", "payoffs": {"wait": {"no": 0, "on": 0}, "act": {"no": -1, "on": 2}}}


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows that fit the schema, without the target."""
    chance = np.random.default_rng(seed)
    pick = random.Random(seed)  # noqa: S311 - no secrets
    gap = chance.normal(size=count)
    gap[chance.random(count) < 0.2] = np.nan
    when = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(chance.integers(0, 10**7, count), unit="s"))
    return pd.DataFrame(
        {
            "id": [f"k{seed}-{number}" for number in range(count)],
            "day": pd.Timestamp("2024-03-01") + pd.to_timedelta(np.arange(count), unit="min"),
            "x": chance.uniform(-10, 10, count),
            "n": chance.integers(0, 51, count),
            "gap": gap,
            "yes": chance.random(count) < 0.5,
            "few": [pick.choice(["p", "q", "r", None]) for _ in range(count)],
            "many": [f"m{pick.randrange(30)}" for _ in range(count)],
            "when": when.where(chance.random(count) < 0.9),
            "secret": [pick.choice("uv") for _ in range(count)],
        }
    )


@dataclass(frozen=True)
class Fitted:
    """A model, its schema, and how it is released."""

    pipeline: Pipeline
    schema: Schema

    def truth(self, table: pd.DataFrame) -> Any:
        """What the Pipeline says of rows."""
        return model.score(self.pipeline, cast(table, self.schema.features))

    def archive(self, lacking: str = "") -> bytes:
        """A Bento of it, as far as scoring needs one; `lacking` is a file that older ones do not have."""
        content = persistence.dump(self.pipeline)
        facts = persistence.ModelFacts(
            sha256=hashlib.sha256(content).hexdigest(),
            estimator="sklearn",
            scikit_learn=scikit_learn,
            rows=1,
            features=list(self.schema.features),
        )
        settings = yaml.safe_load((PROJECT / "project.yaml").read_text())
        settings["decision"] = DECISION if self.schema.task == "binary" else None
        written = json.loads(self.schema.model_dump_json(exclude_defaults=True))
        pinned = installed(["numpy", "pandas", "scikit-learn", "scipy", "skops"])
        files = {f"src/{name}": text for name, text in packed([PROJECT / "pipeline"]).items()} | {
            "bento.yaml": yaml.safe_dump({"image": {"python_version": PYTHON}}).encode(),
            "src/models/model.skops": content,
            "src/models/model.json": facts.model_dump_json().encode(),
            "src/schema.yaml": yaml.safe_dump(written, sort_keys=False).encode(),
            "src/project.yaml": yaml.safe_dump(settings).encode(),
            "src/requirements.txt": "".join(f"{name}=={version}\n" for name, version in pinned.items()).encode(),
        }
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as tar:
            for name, data in files.items():
                if name == lacking:
                    continue
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        return whole.getvalue()

    def serve(self, world: World, name: str = "model") -> record.Release:
        """Release it, and have the environments serve it."""
        made = world.release(name, archive=self.archive())
        world.roll_out(
            *(each["name"] for each in yaml.safe_load((world.root / "project.yaml").read_text())["environments"])
        )
        return made


def fitted(task: str = "binary", path: str = "", **arguments: Any) -> Fitted:
    """A model that has learnt some rows."""
    schema = Schema.model_validate({"task": task, "columns": COLUMNS | {"y": TARGETS[task]}})
    table = rows(600, seed=9)
    signal = table["x"] + table["n"] / 10 + np.random.default_rng(1).normal(size=len(table))
    kind = f"{BOOSTING}{'Regressor' if task == 'regression' else 'Classifier'}"
    classes = {"binary": 2, "multiclass": 3, "regression": 1}[task]
    labels = signal if task == "regression" else (signal.rank(pct=True) * classes * 0.999).astype(int)
    train = Train(
        estimator=Estimator(path=path or kind, arguments=arguments or {} if path else {"max_iter": 20}),
        seed=0,
        threads=1,
        one_hot_limit=5,
        text_components=2,
    )
    features = cast(table, schema.features)
    pipeline = model.build(schema, train, model.categories(features, schema))
    return Fitted(model.fit(pipeline, features, labels, threads=1), schema)


def write(table: pd.DataFrame, path: Path) -> Path:
    """Rows in the form that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False, row_group_size=500)
    elif ".jsonl" in path.name:
        table.to_json(path, orient="records", lines=True, date_format="iso", date_unit="us", double_precision=15)
    else:
        table.to_csv(path, index=False)
    return path
