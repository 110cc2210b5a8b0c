"""Retraining opens one pull request, keeps it up to date, and does nothing where nothing is new."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.shell import ROOT, run
from tests.conftest import clone, tool
from tests.forge import GitHub

pytestmark = pytest.mark.xdist_group("golden path")

APRIL = str(ROOT / "ci" / "batches" / "2013-04.parquet")
BRANCH = "refs/heads/retrain/data"
CAUSE = {
    "title": "Late Flights", "environment": "production", "release": "late-flights:1", "model": "m",
    "moment": "2013-05-01T00:00:00Z", "windows": [], "unwatched": [], "promised": {}, "pictures": [],
    "alarms": [{"kind": "drift", "name": "temp", "windows": 4, "sentence": "'temp' has moved in 65% of the rows"}],
}  # fmt: skip


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A clone of the trained project whose origin is a bare repository."""
    origin = tmp_path / "origin.git"
    run("git", "clone", "--quiet", "--bare", str(trained), str(origin), cwd=tmp_path)
    root = clone(trained, tmp_path / "clone")
    run("git", "remote", "set-url", "origin", str(origin), cwd=root)
    return root


@pytest.fixture
def github(project: Path) -> Iterator[GitHub]:
    """GitHub, of which the bare repository is one."""
    server = GitHub(project.parent / "origin.git")
    yield server
    server.close()


def retrain(project: Path, github: GitHub, *files: str) -> subprocess.CompletedProcess[str]:
    """`python -m ci retrain`, as a workflow of GitHub runs it."""
    command = ("gitops-ml", "watch", "retrain", "--json", *files)
    return tool(project, *command, check=False, env=github.environment)


def test_one_pull_request_says_what_is_new_and_why(project: Path, github: GitHub) -> None:
    """New data becomes one pull request with verdict and report; said again, it says the cause; main is not touched."""
    main = run("git", "rev-parse", "refs/heads/main", cwd=github.origin)
    nothing = retrain(project, github)
    assert (nothing.returncode, json.loads(nothing.stdout)["state"]) == (0, "nothing new"), nothing.stderr
    assert github.pulls == []
    first = retrain(project, github, APRIL)
    assert first.returncode == 0, first.stderr
    [pull] = github.pulls
    assert (pull["head"], pull["base"]) == ("retrain/data", "main")
    told = {each["context"]: each["state"] for each in github.statuses}
    passes = json.loads(first.stdout)["passes"]
    assert told == {"pull-request": "success" if passes else "failure", "trust": "success"}
    assert f"The gate says: **{json.loads(first.stdout)['verdict']}" in pull["body"]
    # The newest rows judge, so that the figures of main are of others.
    assert "| metric | champion | this change | difference |" in pull["body"]
    assert "The base was measured on other rows" in pull["body"]
    tip = run("git", "rev-parse", BRANCH, cwd=github.origin)
    changed = run("git", "diff", "--name-only", "main", tip.strip(), cwd=github.origin).split()
    assert changed == ["data/raw.dvc", "dvc.lock"]
    cause = project / "build/monitor/monitor.json"
    cause.parent.mkdir(parents=True)
    settings = json.loads(tool(project, "python", "-c", SETTINGS).stdout)
    cause.write_text(json.dumps(CAUSE | {"settings": settings}))
    again = retrain(project, github, APRIL)
    assert json.loads(again.stdout)["state"] == "open already", again.stderr
    assert [each["number"] for each in github.pulls] == [1]
    assert "The monitor of production raised an alarm on 2013-05-01" in github.pulls[0]["body"]
    assert run("git", "rev-parse", BRANCH, cwd=github.origin) == tip
    assert run("git", "rev-parse", "refs/heads/main", cwd=github.origin) == main
    assert run("git", "status", "--porcelain", cwd=project) == ""
    assert github.wrong == []


def test_data_that_does_not_fit_is_not_proposed(project: Path, github: GitHub, tmp_path: Path) -> None:
    """A batch that differs from the schema ends in an error with the reason, and nothing is pushed."""
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("carrier,late\nUA,1\n")
    refused = retrain(project, github, str(wrong))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert run("git", "for-each-ref", BRANCH, cwd=github.origin) == ""


SETTINGS = """
from pathlib import Path
from gitops_ml.core import project
print(project.read(Path.cwd()).monitor.model_dump_json())
"""
