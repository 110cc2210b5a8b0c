"""A project whose rows that train are there, and whose rows that judge are not."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pipeline.schema import Schema

from tests.automation.tables import PROJECT, make_table

SEARCH = {
    "estimators": [
        {
            "path": "sklearn.linear_model.LogisticRegression",
            "arguments": {"C": {"low": 0.001, "high": 10.0, "log": True}, "max_iter": 200},
        }
    ],
    "one_hot_limit": {"low": 2, "high": 9},
}


@pytest.fixture
def project(tmp_path: Path, schema: Schema) -> Iterator[Path]:
    """The project, in which the test stands."""
    folder = tmp_path / "project"
    for name in ("pipeline", "requirements"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("schema.yaml", "project.yaml"):
        shutil.copy(PROJECT / name, folder)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text()) | {"search": SEARCH}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    train = folder / "data/prepared/train.parquet"
    train.parent.mkdir(parents=True)
    make_table(schema, rows=300).to_parquet(train, index=False)
    digest = hashlib.md5(train.read_bytes(), usedforsecurity=False).hexdigest()
    lock = {"stages": {"prepare": {"outs": [{"path": "data/prepared/train.parquet", "md5": digest}]}}}
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock))
    with contextlib.chdir(folder):
        yield folder
