"""What Git alone says of a change: which inputs of stages are not what dvc.lock has."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.report import facts
from gitops_ml.versions.git import Git

from tests.automation.world import git

CODE, PART = "pipeline/stages/train.py", "pipeline/tasks/binary.py"
LOCK = f"""schema: '2.0'
stages:
  train:
    cmd: python -m pipeline.stages.train
    deps:
    - path: {CODE}
      md5: 0
    - path: pipeline/tasks
      md5: 1.dir
    params:
      params.yaml:
        train.tol: 1e-10
        train.rate: 0.2
        train.mode: on
"""
PARAMS = "train:\n  tol: 1e-10\n  rate: 2e-1\n  mode: on\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose main has a lock, and what it was made of."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    for path, content in {"dvc.lock": LOCK, "params.yaml": PARAMS, CODE: "x = 1\n", PART: "x = 1\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "x")
    return tmp_path


def stale(root: Path) -> list[str]:
    """What is stale of what stands in a repository."""
    there = Git(root)
    return facts.read(there, "main", facts.working_tree(there), "main").stale


def test_numbers_are_those_that_dvc_reads(root: Path) -> None:
    """A number that is written another way is the same, and a setting that is no more what the lock has is stale."""
    assert stale(root) == []
    (root / "params.yaml").write_text(PARAMS.replace("2e-1", "3e-1").replace("mode: on", "mode: true"))
    assert stale(root) == ["train.mode of params.yaml", "train.rate of params.yaml"]


@pytest.mark.parametrize(("path", "dependency"), [(CODE, CODE), (PART, "pipeline/tasks")])
def test_the_right_to_execute_a_file_is_no_part_of_it(root: Path, path: str, dependency: str) -> None:
    """Code is stale when its bytes are others, or when it is a link, and not when its mode alone is."""
    (root / path).chmod(0o755)
    assert stale(root) == []
    (root / path).write_text("x = 2\n")
    assert stale(root) == [dependency]
    (root / path).unlink()
    (root / path).symlink_to("x = 1\n")
    assert stale(root) == [dependency]


def test_settings_that_dvc_cannot_read_are_told(root: Path) -> None:
    """What is YAML to one reader alone is an error that names the file and says why."""
    (root / "params.yaml").write_text("train: {tol: 1}\ntrain: {tol: 2}\n")
    with pytest.raises(UserError, match=r"cannot be read: it is no YAML to DVC: .*duplicate key"):
        stale(root)
