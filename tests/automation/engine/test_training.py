"""One model trained by several workers is the one that one machine trains, to the bit, whoever dies meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import distributed
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xgboost
from gitops_ml.core.errors import UserError
from gitops_ml.engine import boosting, engine, exact, peers, together
from gitops_ml.engine.job import Job
from pipeline import model, persistence
from pipeline.params import Estimator, Train
from pipeline.schema import Column, Schema, Task

from tests.automation.engine.cluster import Cluster

TASKS: tuple[Task, ...] = ("regression", "binary", "multiclass")
WORKERS = 2


def columns(rows: int = 1000) -> pd.DataFrame:
    """Few values and many, gaps, a column that says nothing, zeros of both signs, and a category of many values."""
    draw = np.random.default_rng(1)
    smooth = draw.normal(size=rows)
    smooth[draw.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "smooth": smooth,
            "coarse": np.round(draw.normal(size=rows), 1),
            "empty": np.full(rows, np.nan),
            "place": draw.choice([f"place {number}" for number in range(30)], rows),
        }
    )


def said(table: pd.DataFrame, task: Task) -> pd.Series:
    """Numbers of very different sizes, two classes, or four."""
    noise = np.random.default_rng(2).normal(size=len(table))
    signal = table["smooth"].fillna(0.5) + 2 * table["coarse"] + noise
    if task == "regression":
        return np.exp(2 * signal)
    return pd.Series(np.digitize(signal, [0] if task == "binary" else [-2, 0, 2]))


def schema(task: Task) -> Schema:
    """What the columns are."""
    number, category = Column(type="number", nullable=True), Column(type="category", open=True)
    target = {
        "regression": Column(type="number", role="target"),
        "binary": Column(type="boolean", role="target"),
        "multiclass": Column(type="integer", role="target", categories=[0, 1, 2, 3]),
    }[task]
    features = {"smooth": number, "coarse": number, "empty": number, "place": category}
    return Schema(task=task, columns=features | {"y": target})


def trained(task: Task, where: str, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> bytes:
    """The file of the whole Pipeline, target means of the category included."""
    monkeypatch.setenv(engine.VARIABLE, where)
    kind = "DaskXGBRegressor" if task == "regression" else "DaskXGBClassifier"
    named = Estimator(path=f"xgboost.dask.{kind}", arguments={"n_estimators": 10} | arguments)
    train = Train(seed=0, threads=1, one_hot_limit=20, estimator=named)
    table = columns()
    built = model.build(schema(task), train, {"place": 30})
    fitted = model.fit(built, table, said(table, task), 1)
    assert type(fitted[-1]) in (xgboost.XGBClassifier, xgboost.XGBRegressor)
    return persistence.dump(fitted)


def job(rounds: int) -> Job:
    """A regression."""
    table = columns()
    labels = said(table, "regression").to_numpy().astype(np.float32)
    matrix = table[["smooth", "coarse"]].to_numpy(np.float32) + 0
    objective = exact.objective("reg:squarederror", labels, 0.0)
    return Job(matrix, labels, {"base_score": 0.0, "objective": objective.name, "max_bin": 64}, rounds, objective)


def test_the_model_is_the_same_on_any_number_of_workers(
    started: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of each task, one worker, two and none give the file of a Pipeline with the same bytes; columns drawn, too."""
    monkeypatch.chdir(tmp_path)
    cases: list[tuple[Task, dict[str, Any]]] = [(task, {}) for task in TASKS]
    cases.append(("binary", {"colsample_bynode": 0.5, "scale_pos_weight": 3, "max_bin": 16}))
    alone = [trained(task, "local", monkeypatch, **arguments) for task, arguments in cases]
    assert len(set(alone)) == len(cases)
    for workers in range(1, WORKERS + 1):
        started.have(workers)
        assert [trained(task, started.address, monkeypatch, **arguments) for task, arguments in cases] == alone


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of numbers of very different sizes have the same sums in any order."""
    asked = job(20)
    assert boosting.here(asked, 2) == boosting.here(asked, 1)


def test_a_worker_with_other_packages_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has another version of what trains is named with it."""
    monkeypatch.setattr(peers, "installed", lambda packages: {"xgboost-cpu": "1.0"})
    with pytest.raises(UserError, match=r"^the worker tcp://\S+ has xgboost-cpu \S+ instead of 1\.0 \(and 1 more"):
        together.train(cluster.address, job(1), print)


def test_rounds_that_cannot_be_kept_end_in_a_sentence(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the disk takes nothing, training ends with the file's name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"^build/training/[0-9a-f]{64}\.ubj cannot be written \(Not a directory\)"):
        together.train(cluster.address, job(1), print)


def test_what_a_killed_command_held_is_free_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers that somebody locked who is gone train for the next one."""
    monkeypatch.chdir(tmp_path)
    with distributed.Client(cluster.address, set_as_default=False) as gone:
        assert distributed.MultiLock(list(gone.nthreads()), gone).acquire(timeout=10)
    told = list[str]()
    assert together.train(cluster.address, job(1), told.append) == boosting.here(job(1), 1)
    assert not [line for line in told if "something else" in line]


def test_who_is_killed_costs_what_was_in_flight(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Training goes on without a killed worker, and after a killed scheduler with the next run, to the same model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(together, "KEEP_SECONDS", 0.0)
    asked, told = job(50), list[str]()
    together.KEPT.mkdir(parents=True)
    (together.KEPT / f"{asked.digest}.ubj").write_bytes(b"{ damaged")

    def kill(line: str) -> None:
        told.append(line)
        if line.startswith("10 of 50 rounds on 2 workers"):
            cluster.workers[0].kill()
            cluster.workers[0].wait()
        if line.startswith("30 of 50 rounds on 1 worker of"):
            cluster.scheduler.kill()
            cluster.scheduler.wait()

    with pytest.raises(UserError, match="went away; start it again: what is done stays done"):
        together.train(cluster.address, asked, kill)
    assert "went away: training goes on with those that are left" in told[1]
    cluster.workers[1].kill()
    cluster.workers[1].wait()
    cluster.start()
    monkeypatch.setattr(together.cluster, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(UserError, match="has had no worker for 0 seconds; start some"):
        together.train(cluster.address, asked, print)
    cluster.have(1)
    assert together.train(cluster.address, asked, told.append) == boosting.here(asked, 1)
    assert [line.split(" of ")[0] for line in told[2:]] == ["20", "30", "40", "50"]
    assert not list(together.KEPT.iterdir())


@pytest.mark.parametrize(
    ("path", "arguments", "reason"),
    [
        (
            "lightgbm.DaskLGBMClassifier",
            {},
            "different models of the same rows .* train lightgbm.LGBMClassifier on one",
        ),
        ("lightgbm.dask.DaskLGBMRegressor", {}, "gave different models of the same rows on two workers"),
        ("xgboost.dask.DaskXGBRFClassifier", {}, "not known to give the same model on any number of workers"),
        ("dask_ml.linear_model.LogisticRegression", {}, "not known to give the same model on any number of workers"),
        ("xgboost.dask.DaskXGBClassifier", {"subsample": 0.5}, "subsample draws rows on each worker by itself"),
        ("xgboost.dask.DaskXGBClassifier", {"tree_method": "exact"}, "tree_method 'exact' looks at all rows at once"),
        ("xgboost.dask.DaskXGBClassifier", {"early_stopping_rounds": 3}, "early_stopping_rounds needs rows to stop by"),
        ("xgboost.dask.DaskXGBClassifier", {"objective": "binary:hinge"}, "objective is not known to give the same"),
        ("xgboost.dask.DaskXGBClassifier", {"max_bin": 10**6}, "max_bin is 32768 at most"),
    ],
)
def test_what_would_depend_on_the_workers_is_refused(path: str, arguments: dict[str, Any], reason: str) -> None:
    """An estimator or argument with which the model would be another on other workers is refused with the reason."""
    with pytest.raises(model.EstimatorError, match=reason):
        model.build_estimator(Estimator(path=path, arguments=arguments), 0, "binary")


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 2, 1], [0.5, 0, 1]])
def test_labels_of_no_classes_are_refused(labels: list[float]) -> None:
    """As xgboost, it takes no labels but 0, 1 and so on."""
    with pytest.raises(ValueError, match="must be 0, 1 and so on"):
        boosting.DaskXGBClassifier().fit(np.ones((3, 1)), np.array(labels))


def test_bins_of_parts_are_those_of_the_whole() -> None:
    """What is handed out has the bins that xgboost makes of all rows, from any part of them that has all bins."""
    matrix = columns(4000)[["smooth", "coarse", "empty"]].to_numpy()
    matrix = np.column_stack([matrix, np.ones(len(matrix)), -matrix[:, 1]]) + 0
    for most in (2, 16, 256):
        binned = exact.binned(matrix, most)
        again = exact.matrix(binned)
        assert _same(cuts(again, most), cuts(matrix, most))
        assert np.array_equal(np.isnan(again), np.isnan(matrix))
        assert np.array_equal(exact.matrix(binned.part(7, 99)), again[7:99], equal_nan=True)


def cuts(matrix: npt.NDArray[Any], most: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    bounds, found = xgboost.QuantileDMatrix(matrix, max_bin=most, nthread=1).get_quantile_cut()
    return bounds, found


def _same(first: tuple[npt.NDArray[Any], ...], second: tuple[npt.NDArray[Any], ...]) -> bool:
    return all(one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True))
