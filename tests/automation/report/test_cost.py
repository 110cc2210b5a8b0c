"""What a run cost: only what is known of the dvc.lock that is there, and only remarks that mean something."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from gitops_ml.report import cost
from gitops_ml.report.cost import Job, Usual
from gitops_ml.versions import lock

NOTHING = {"files": 0, "octets": 0}
DONE = {"stages": {"train": {"state": "computed", "seconds": 2.5}}, "computed": NOTHING, "brought": NOTHING}


def test_only_what_made_the_lock_that_is_here_is_told(tmp_path: Path) -> None:
    """What `make repro` did on another branch, or long ago, says nothing of this one; nor does what is damaged."""
    written = tmp_path / lock.REPRO
    written.parent.mkdir()
    (tmp_path / lock.FILE).write_text("stages: {}\n")
    assert "make repro has not run here" in cost.read(tmp_path).unknown[1]
    for digest, said in (
        ("0" * 64, "has not made the dvc.lock that is here now"),
        (None, "and it is damaged"),
    ):
        written.write_text(json.dumps(DONE | {"lock": digest}))
        found = cost.read(tmp_path)
        assert found.repro is None
        assert said in found.unknown[1]
        assert found.heading == "not known"
    written.write_text(json.dumps(DONE | {"lock": hashlib.sha256((tmp_path / lock.FILE).read_bytes()).hexdigest()}))
    assert cost.read(tmp_path).heading == "1 of 1 stage computed in 2.5 s"
    (tmp_path / lock.FILE).write_text("stages: {train: {}, evaluate: {}}\n")
    digest = hashlib.sha256((tmp_path / lock.FILE).read_bytes()).hexdigest()
    for stages, said in ((DONE["stages"], "What became of evaluate is"), ({}, "What became of train, evaluate is")):
        written.write_text(json.dumps(DONE | {"lock": digest, "stages": stages}))
        assert said in cost.read(tmp_path).unknown[1]
    assert cost.read(tmp_path).repro is None


def test_jobs_are_timed_where_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop no jobs ran; in a workflow, whose jobs are not done yet, the report says where to look."""
    assert cost.read(tmp_path).unknown[0] == "What jobs take is known where they run, and none ran here"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "the comment of the workflow pull-request says it" in cost.read(tmp_path).unknown[0]


@pytest.mark.parametrize(
    ("seconds", "runs", "remark"),
    [
        (200, 10, "longer than in any, 3 min 19 s at most"),
        (199, 10, ""),
        (170, 10, ""),
        (169, 10, "shorter than in any, 2 min 50 s at least"),
        (900, 4, ""),
    ],
)
def test_a_job_is_remarked_on_outside_of_its_earlier_runs(seconds: float, runs: int, remark: str) -> None:
    """A difference is only told if none of enough earlier runs took as long, or as short."""
    job = Job(
        name="train", conclusion="success", seconds=seconds, usual=Usual(runs=runs, median=180, low=170, high=199)
    )
    assert job.remark == remark
