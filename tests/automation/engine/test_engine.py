"""Tasks are done once each wherever the engine is, whoever dies meanwhile, and what ends them is a sentence."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psutil
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.engine import check as checks
from gitops_ml.engine import cluster as dask
from gitops_ml.engine import engine
from gitops_ml.engine.code import Code, installed, packed

from tests.automation.engine import tasks
from tests.automation.engine.cluster import Cluster

ENGINES = ("local:2", "dask")


@pytest.fixture
def where(request: pytest.FixtureRequest) -> str:
    address: str = request.param
    return request.getfixturevalue("cluster").address if address == "dask" else address


def code(**packages: str) -> Code:
    """The automation and the tests' tasks."""
    folder = Path(tasks.__file__).parents[3]
    own = Path(engine.__file__).parents[1]
    mine = {"tests/__init__.py": b"", "tests/automation/__init__.py": b"", "tests/automation/engine/__init__.py": b""}
    mine[Path(tasks.__file__).relative_to(folder).as_posix()] = Path(tasks.__file__).read_bytes()
    return Code(files=packed([own]) | mine, packages=packages)


@pytest.mark.parametrize("where", ENGINES, indirect=True)
def test_each_engine_says_the_same_of_tasks_and_of_what_ends_them(where: str) -> None:
    """Results, one thread a task, what a task says to its user, its error, and its death are alike on each engine."""
    with engine.opened(where, code(**installed(["numpy"]))) as opened:
        assert opened.size() == 2
        assert dict(opened.map(tasks.square, range(50))) == {number: number**2 for number in range(50)}
        assert list(opened.map(tasks.threads, [0])) == [(0, "1")]
        for task, said in [
            (tasks.refuses, "the table has no rows"),
            (tasks.fails, "a task failed: ZeroDivisionError: nothing to divide by"),
            (tasks.killed, "a task ended each process that did it, with exit code -9"),
        ]:
            with pytest.raises(UserError, match=f"^{said}"):
                list(opened.map(task, [0]))


@pytest.mark.parametrize("where", ENGINES, indirect=True)
def test_a_killed_process_costs_what_it_was_doing(where: str, tmp_path: Path) -> None:
    """A task whose process is killed is done again, by a new one, and no other task is."""
    with engine.opened(where, code()) as opened:
        results = opened.map(tasks.slow, [(str(tmp_path), number) for number in range(6)])
        first = next(results)
        victim = max((tmp_path / f"{n}.begun" for n in range(6) if (tmp_path / f"{n}.begun").exists()), key=_changed)
        _kill(int(victim.read_text().split()[-1]))
        assert dict([first, *results]) == {number: number for number in range(6)}
    begun = {path.stem: len(path.read_text().split()) for path in tmp_path.glob("*.begun")}
    assert len(begun) == 6
    assert sum(begun.values()) <= 7


def test_workers_of_dask_may_die_and_come(cluster: Cluster, tmp_path: Path) -> None:
    """Both workers are killed in the middle, a new one does the rest, and nothing of the killed ones goes on."""
    with engine.opened(cluster.address, code()) as opened:
        results = opened.map(tasks.slow, [(str(tmp_path), number) for number in range(8)])
        found = [next(results)]
        children = [child for worker in cluster.workers for child in psutil.Process(worker.pid).children()]
        for worker in cluster.workers:
            worker.kill()
        assert not psutil.wait_procs(children, timeout=10)[1]
        cluster.add()
        found += results
    assert dict(found) == {number: number for number in range(8)}


def test_a_worker_with_other_packages_is_refused(cluster: Cluster) -> None:
    """A worker that has another version of a package is named with it, whether it was there or comes later."""
    with pytest.raises(UserError, match=r"the worker tcp://\S+ has numpy \S+ instead of 1\.0 \(and 1 more workers\)"):
        _opened(cluster.address, code(numpy="1.0"))


def test_the_check_says_what_the_workers_are(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker is listed with cores, memory and what differs from the lock; and what to do is said."""
    exported = tmp_path / "requirements" / "train.txt"
    exported.parent.mkdir()
    exported.write_text(f"numpy=={installed(['numpy'])['numpy']}\nno-such-package==1 ; python_version < '3'\n")
    found = checks.check(tmp_path, cluster.address)
    assert [(worker.cores, worker.differing) for worker in found.workers] == [(1, []), (1, [])]
    assert found.advice == []
    assert found.training.startswith("xgboost.dask.DaskXGBClassifier and xgboost.dask.DaskXGBRegressor on all workers")
    exported.write_text("numpy==1.0\nno-such-package==1\n")
    for where in ("local:2", cluster.address):
        found = checks.check(tmp_path, where)
        assert all(worker.differing[1] == "no no-such-package 1" for worker in found.workers)
        assert len(found.advice) == 1
    assert checks.check(tmp_path, "local:2").training == "on one machine"
    monkeypatch.setattr(checks, "installed", lambda packages: {"xgboost-cpu": "1.0"})
    training = checks.check(tmp_path, cluster.address).training
    assert re.match(r"on one machine; for more, the worker tcp://\S+ has xgboost-cpu \S+ instead of 1\.0", training)
    monkeypatch.setattr(checks, "installed", lambda packages: {})
    assert "`make setup` installs what params.yaml names" in checks.check(tmp_path, cluster.address).training


def test_no_engine_of_another_name() -> None:
    """What is no engine is refused with those that there are."""
    with pytest.raises(UserError, match="there is no engine 'spark'"):
        _opened("spark", code())


def test_what_cannot_go_on_ends_in_a_sentence(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither workers that stay away nor a scheduler that is killed leave anybody waiting."""
    monkeypatch.setattr(dask, "PATIENCE_SECONDS", 1.0)
    with engine.opened(cluster.address, code()) as opened:
        for worker in cluster.workers:
            worker.kill()
        with pytest.raises(UserError, match="has had no worker for 1 seconds; start some: what is done stays done"):
            list(opened.map(tasks.square, [0]))
        threading.Timer(0.5, cluster.scheduler.kill).start()
        with pytest.raises(UserError, match="went away; start it again: what is done stays done"):
            list(opened.map(tasks.slow, [(str(tmp_path), 0)]))
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 1)
    with pytest.raises(UserError, match=r"the Dask scheduler tcp:\S+ cannot be reached"):
        _opened(cluster.address, code())


def _opened(where: str, code: Code) -> None:
    with engine.opened(where, code):
        pass


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def _kill(pid: int) -> None:
    psutil.Process(pid).kill()
