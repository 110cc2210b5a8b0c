"""What a search found is proposed once, on main's tip, and nothing that others did is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.report import searched
from gitops_ml.search import propose
from gitops_ml.search.trials import Trials, Tried
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision
from pipeline.params import Estimator, Train

from tests.automation.world import git

PARAMS = """train:
  seed: 0
  threads: 1
  one_hot_limit: 20
  estimator:
    path: sklearn.linear_model.LogisticRegression
    arguments:
      C: 1.0 # weak
"""


def tried(number: int, c: float, value: float) -> Tried:
    """A trial that was scored on two folds."""
    estimator = Estimator(path="sklearn.linear_model.LogisticRegression", arguments={"C": c})
    train = Train(seed=0, threads=1, one_hot_limit=20, estimator=estimator)
    return Tried(number=number, train=train, settings={"C": c}, folds=[value, value], state="complete")


def table(value: float) -> Trials:
    """A search whose best trial reaches this, where what is set reaches 0.6."""
    return Trials(
        metric="roc_auc", lower_is_better=False, seed=0, folds=2, rows=100, now=tried(-1, 1.0, 0.6),
        trials=[tried(0, 0.25, value)],
    )  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with settings and a storage, whose main is at origin."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "clone")
    root = tmp_path / "clone"
    run(*DVC, "init", "--quiet", cwd=root)
    run(*DVC, "remote", "add", "--quiet", "--default", "storage", str(tmp_path / "storage"), cwd=root)
    (root / "params.yaml").write_text(PARAMS)
    (root / ".gitignore").write_text("/search\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Start")
    git(root, "push", "--quiet", "origin", "HEAD:main")
    return root


def test_what_is_better_becomes_a_branch_of_main(clone: Path) -> None:
    """The branch changes the setting and names the table; the working tree stays, and nothing worse is proposed."""
    assert propose.propose(clone, table(0.6)).state == "nothing better"
    propose.keep(clone, table(0.7))
    done = propose.propose(clone, table(0.7))
    assert git(clone, "show", f"{done.commit}:params.yaml") == PARAMS.replace("1.0", "0.25").rstrip()
    assert git(clone, "diff", "--name-only", "origin/main", done.commit or "") == "params.yaml\nsearch.dvc"
    assert git(clone, "status", "--porcelain") == ""
    (clone / "search/trials.json").unlink()
    git(clone, "checkout", "--quiet", done.commit or "")
    # As in a workflow's checkout, where nothing has brought it: the report gets it from the storage.
    shutil.rmtree(clone / ".dvc/cache")
    base, here = Revision(clone, git(clone, "rev-parse", "origin/main")), Revision(clone, None)
    assert searched.read(base, here) == table(0.7)
    assert searched.read(Revision(clone, done.commit), here) is None
    run(*DVC, "pull", "--quiet", "search.dvc", cwd=clone)
    assert Trials.model_validate_json((clone / "search/trials.json").read_bytes()) == table(0.7)


def test_what_was_done_on_the_branch_stays(clone: Path) -> None:
    """A second search that finds the same proposes the branch as it is, with what CI has committed to it."""
    propose.keep(clone, table(0.7))
    done = propose.propose(clone, table(0.7))
    git(clone, "checkout", "--quiet", "--detach", done.commit or "")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "Train")
    git(clone, "push", "--quiet", "origin", f"HEAD:{done.branch}")
    git(clone, "checkout", "--quiet", "origin/main")
    again = propose.propose(clone, table(0.7))
    assert (again.branch, again.commit) == (done.branch, git(clone, "rev-parse", f"origin/{done.branch}"))


def test_settings_that_main_does_not_have_are_not_proposed(clone: Path) -> None:
    """A search of other settings than main's says so before it begins, and so does one without a main."""
    (clone / "params.yaml").write_text(PARAMS.replace("20", "9"))
    with pytest.raises(UserError, match=r"params\.yaml is not the one that origin's main has.*--no-propose"):
        propose.base(Git(clone))
    git(clone.parent / "origin.git", "update-ref", "-d", "refs/heads/main")
    with pytest.raises(UserError, match=r"origin has no main with a params\.yaml to change"):
        propose.base(Git(clone))
