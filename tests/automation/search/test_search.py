"""A search gives the same on any engine, goes on where it was killed, and reads no row that judges."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.report import searched
from gitops_ml.search import propose, run

from tests.automation.engine.cluster import Cluster

TRIALS = 12
SEARCHING = (
    "from pathlib import Path; from gitops_ml.search import run; "
    f"run.search(run.problem(Path.cwd()), 'local:1', {TRIALS}, None)"
)
COMMENTED = """# What a data scientist tunes.

train:
  seed: 0 # the same
  one_hot_limit: 20
  estimator: # any class
    path: sklearn.linear_model.LogisticRegression
    arguments:
      max_iter: 200 # enough
      C: 1.0

evaluate:
  slices: [carrier, origin]
"""


def test_one_worker_two_workers_and_a_killed_search_find_the_same(project: Path) -> None:
    """A number of trials gives the same table on one process and on two, and after a SIGKILL from what was left."""
    one = run.search(run.problem(project), "local:1", TRIALS, None)
    assert not (project / "data/prepared/test.parquet").exists()
    assert [each.number for each in one.trials] == list(range(TRIALS))
    journal = project / run.JOURNAL
    journal.unlink()
    searching = subprocess.Popen([sys.executable, "-c", SEARCHING])
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert searching.poll() is None
        time.sleep(0.02)
    os.kill(searching.pid, signal.SIGKILL)
    searching.wait()
    with journal.open("ab") as lines:
        lines.write(b'["cut", ')
    left = journal.read_bytes().splitlines()[:-1]
    assert run.search(run.problem(project), "local:2", TRIALS, None) == one
    lines_now = journal.read_bytes().splitlines()
    assert lines_now[: len(left)] == left
    assert len(set(lines_now)) == len(lines_now)
    names = [name for name, _, _ in searched.pictures(one)]
    assert names == ["History of the search", "Settings that matter", "Settings of the trials"]


def test_workers_of_a_cluster_find_the_same_though_one_is_killed(project: Path) -> None:
    """Two workers of a Dask scheduler, one of which dies in the middle, give the table that one process gives."""
    one = run.search(run.problem(project), "local:1", TRIALS, None)
    journal = project / run.JOURNAL
    journal.unlink()
    killed = []
    with closing(Cluster(project.parent)) as cluster:
        cluster.have(2)

        def kill() -> None:
            while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
                time.sleep(0.02)
            cluster.workers[0].kill()
            killed.append(journal.read_bytes().count(b"\n"))

        killing = threading.Thread(target=kill, daemon=True)
        killing.start()
        assert run.search(run.problem(project), cluster.address, TRIALS, None) == one
        killing.join(timeout=10)
    assert 4 <= killed[0] < journal.read_bytes().count(b"\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"other": 1}, "search.other: "),
        ({"one_hot_limit": {"low": 5, "high": 5}}, "search.one_hot_limit: low 5 is not below high 5"),
        ({"one_hot_limit": {"low": 0, "high": 5, "log": True}}, "a logarithmic range begins above 0, not at 0"),
        ({"one_hot_limit": []}, "one_hot_limit has no values to choose from"),
        ({"estimators": [{"path": "nowhere.Model"}]}, "nowhere.Model is not installed"),
        (
            {"estimators": [{"path": "sklearn.linear_model.LogisticRegression", "arguments": {"c": [1, 2]}}]},
            "LogisticRegression has no argument 'c'; it has ",
        ),
    ],
)
def test_a_space_that_holds_nothing_is_one_sentence(project: Path, change: dict[str, Any], said: str) -> None:
    """What is wrong with the ranges is told by the name of the setting, before any trial."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["search"] |= change
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match=said):
        run.problem(project)


def test_a_change_of_params_leaves_what_people_wrote(project: Path) -> None:
    """Comments, order, blank lines and form stay; candidates become the one estimator that was found."""
    train = run.problem(project).params.train
    estimator = train.estimator
    assert estimator is not None
    found = train.naming(
        estimator.model_copy(
            update={"path": "sklearn.linear_model.LogisticRegression", "arguments": {"max_iter": 200, "C": 0.25}}
        )
    )
    assert propose.edited(COMMENTED, found.model_copy(update={"one_hot_limit": 20})) == COMMENTED.replace("1.0", "0.25")
    several = COMMENTED.replace("  estimator: # any class\n    path", "  candidates:\n    - path").replace(
        "    arguments:\n      max_iter: 200 # enough\n      C: 1.0", "    - path: sklearn.naive_bayes.GaussianNB"
    )
    named = yaml.safe_load(propose.edited(several, found.model_copy(update={"one_hot_limit": 9})))
    assert named["train"]["estimator"]["arguments"] == {"max_iter": 200, "C": 0.25}
    assert "candidates" not in named["train"]
    assert named["train"]["one_hot_limit"] == 9
    assert named["evaluate"] == {"slices": ["carrier", "origin"]}
