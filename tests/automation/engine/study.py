"""Real tables: whether the workers of a cluster train what one machine trains, and what other ways would have given."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import lightgbm
import numpy as np
import numpy.typing as npt
import xgboost
from dask import array
from gitops_ml.engine import engine, together
from pipeline import data, model, persistence
from pipeline.params import Estimator
from pipeline.schema import Schema
from pipeline.stages import files, rows
from sklearn.pipeline import Pipeline
from xgboost import dask as boosting
from xgboost.collective import Config

from ci.tables import TESTED
from tests.automation.engine.cluster import Cluster
from tests.automation.serving.study import prepared

ROUNDS = 50
LARGE_ROWS, LARGE_COLUMNS = 500_000, 20
LIGHTGBM_RUNS = 3


def table() -> str:
    """Of each table the hash with none, one and two workers, and with a killed one; then a large table's costs."""
    lines = [
        "| table | task | rows | model without workers | 1 worker | 2 workers | one of 2 killed "
        f"| xgboost.dask by itself, 2 workers | models of LightGBM for Dask in {LIGHTGBM_RUNS} runs, 2 workers |",
        "|---|---|---:|---|---|---|---|---|---:|",
    ]
    for name in ("flights", *TESTED):
        # Workers of its own, since LightGBM leaves some of them waiting for ever.
        with _cluster() as cluster, prepared(name) as schema:
            lines.append(f"| {name} | {schema.task} | {_tried(schema, cluster)} |")
        _say(lines[-1])
    with _cluster() as cluster:
        lines += ["", *_large(cluster)]
    return "\n".join(lines)


@contextmanager
def _cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory() as folder:
        made = Cluster(Path(folder))
        try:
            yield made
        finally:
            made.close()


def _tried(schema: Schema, cluster: Cluster) -> str:
    """The cells of a line, without the first two."""
    inputs = rows.prepared(files.TRAIN, schema)
    labels = data.labels(inputs, schema)
    inputs = data.features(inputs, schema)

    kind = "Regressor" if schema.task == "regression" else "Classifier"
    named = Estimator(path=f"xgboost.dask.DaskXGB{kind}", arguments={"n_estimators": ROUNDS})
    train = files.params().train.naming(named)

    def built() -> Pipeline:
        return model.build(schema, train, model.categories(inputs, schema))

    def trained(where: str) -> str:
        with _engine(where):
            return hashlib.sha256(persistence.dump(model.fit(built(), inputs, labels, 1))).hexdigest()

    alone = trained("local")
    cells = [f"{len(inputs):,}", f"`{alone[:12]}`"]
    for workers in (1, 2):
        cluster.have(workers)
        begun = time.monotonic()
        cells.append("same" if trained(cluster.address) == alone else "**another**")
    with _killing(cluster, time.monotonic() - begun):
        cells.append("same" if trained(cluster.address) == alone else "**another**")
    cluster.have(2)
    encoded = np.asarray(built()[:-1].fit_transform(inputs, labels))
    return " | ".join([*cells, *_others(encoded, labels, schema, cluster)])


def _others(matrix: npt.NDArray[Any], labels: Any, schema: Schema, cluster: Cluster) -> Iterator[str]:
    """What the libraries' own estimators for Dask give of the same rows."""
    number = schema.task == "regression"
    found = np.asarray(labels)
    plain = (xgboost.XGBRegressor if number else xgboost.XGBClassifier)(n_estimators=ROUNDS, n_jobs=1)
    # By itself it does not find a scheduler in the workers' network.
    met = Config(tracker_host_ip=cluster.address.removeprefix("tcp://").partition(":")[0])
    own = (boosting.DaskXGBRegressor if number else boosting.DaskXGBClassifier)(n_estimators=ROUNDS, coll_cfg=met)
    with distributed.Client(cluster.address, set_as_default=False) as client, client.as_current():
        half = -(-len(matrix) // 2)
        parts = client.persist(array.from_array(matrix, chunks=(half, matrix.shape[1])))
        said = client.persist(array.from_array(found, chunks=half))
        own.client = client
        own.fit(parts, said)
        same = own.get_booster().save_raw() == plain.fit(matrix, found).get_booster().save_raw()
        yield "same" if same else "another"
        kind = lightgbm.DaskLGBMRegressor if number else lightgbm.DaskLGBMClassifier
        models = set()
        for _ in range(LIGHTGBM_RUNS):
            fitted = kind(client=client, n_estimators=ROUNDS, deterministic=True, random_state=0, verbose=-1)
            try:
                # What follows the parameters names the machines.
                models.add(fitted.fit(parts, said).booster_.model_to_string().split("\nparameters:")[0])
            except (lightgbm.basic.LightGBMError, RuntimeError):
                yield "it failed"
                return
        yield f"{len(models)}"


def _large(cluster: Cluster) -> list[str]:
    """What training costs, each time in a process of its own."""
    lines = [
        f"{LARGE_ROWS:,} rows of {LARGE_COLUMNS} numbers, {ROUNDS} rounds, one thread each:",
        "",
        "| where | seconds | memory of this machine's process beyond the matrix, MB | model |",
        "|---|---:|---:|---|",
    ]
    for workers in (0, 1, 2):
        if workers:
            cluster.have(workers)
        where = cluster.address if workers else "local"
        said = subprocess.check_output([sys.executable, "-m", __name__, where], text=True).splitlines()[-1]
        lines.append(f"| {f'{workers} workers' if workers else 'here'} | {said} |")
        _say(lines[-1])
    return lines


def _one(where: str) -> None:
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(LARGE_ROWS, LARGE_COLUMNS))
    labels = (matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + draw.normal(size=LARGE_ROWS) > 0).astype(int)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    estimator = model.build_estimator(
        Estimator(path="xgboost.dask.DaskXGBClassifier", arguments={"n_estimators": ROUNDS}), 0, "binary"
    )
    begun = time.monotonic()
    with _engine(where), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = estimator.fit(matrix, labels).get_booster().save_raw()
        os.chdir("/")
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    _say(f"{time.monotonic() - begun:.0f} | {more:,.0f} | `{hashlib.sha256(found).hexdigest()[:12]}`")


@contextmanager
def _engine(where: str) -> Iterator[None]:
    os.environ[engine.VARIABLE] = where
    try:
        yield
    finally:
        del os.environ[engine.VARIABLE]


@contextmanager
def _killing(cluster: Cluster, seconds: float) -> Iterator[None]:
    """A worker is killed at a random moment of what takes so long."""
    cluster.have(2)
    draw = np.random.default_rng()
    victim = cluster.workers[draw.integers(2)]
    timer = threading.Timer(draw.uniform(0.2, 0.9) * seconds, victim.kill)
    kept, together.KEEP_SECONDS = together.KEEP_SECONDS, 1.0
    timer.start()
    try:
        yield
    finally:
        together.KEEP_SECONDS = kept
        timer.join()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _one(sys.argv[1])
