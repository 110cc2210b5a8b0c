"""Reproducing: on the data that Git names, with the packages that uv.lock names, and with every output in its place."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gitops_ml.core import pointers
from gitops_ml.core.errors import UserError
from gitops_ml.versions import lock, requirements

from tests.automation.tables import PROJECT
from tests.automation.world import git

READ = (".gitignore", "pyproject.toml", requirements.LOCK, requirements.TRAIN, requirements.SERVE, "params.yaml")
# Two stages whose outputs are their inputs, and the second of which fails on a setting.
STAGES = """
stages:
  join:
    cmd: cat data/raw/* > joined
    deps: [data/raw]
    outs: [joined]
  train:
    cmd: grep --quiet 'seed. [0-9]' params.yaml && cat joined params.yaml > model
    deps: [joined]
    params: [train.seed]
    outs: [model]
"""


def dvc(project: Path, *arguments: str) -> None:
    """Run DVC in the project."""
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project on main, reproduced and committed."""
    root = tmp_path / "project"
    for name in READ:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, root / name)
    (root / ".python-version").write_text("{}.{}\n".format(*sys.version_info))
    (root / "dvc.yaml").write_text(STAGES)
    git(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    dvc(root, "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    dvc(root, "config", "core.autostage", "true")
    hold(root, "january")
    lock.reproduce(root)
    commit(root, "Begin")
    return root


def hold(project: Path, *months: str) -> None:
    """Have the data be these files."""
    shutil.rmtree(project / "data/raw", ignore_errors=True)
    (project / "data/raw").mkdir(parents=True)
    for month in months:
        (project / "data/raw" / month).write_text(f"{month}\n")
    dvc(project, "add", "data/raw")


def commit(project: Path, message: str) -> None:
    """Commit all, on the branch that is checked out."""
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", message)


def seed(project: Path, value: str) -> None:
    """Change a setting of the second stage, and others of that name."""
    path = project / "params.yaml"
    path.write_text(re.sub(r"(?m)^(  seed: ).*", rf"\g<1>{value}", path.read_text()))


@pytest.mark.parametrize(
    ("settle", "joined"),
    [(("checkout", "data/raw.dvc"), "january\n"), (("add", "data/raw"), "february\njanuary\n")],
    ids=["Git is right", "what stands there is right"],
)
def test_data_of_another_branch_trains_nothing(project: Path, settle: tuple[str, ...], joined: str) -> None:
    """Git moves the pointer alone; until one of the two is said to be right, nothing is run and nothing is changed."""
    git(project, "switch", "--quiet", "--create", "other")
    hold(project, "january", "february")
    commit(project, "February")
    git(project, "switch", "--quiet", "main")
    with pytest.raises(UserError, match=r"^data/raw is not what data/raw\.dvc names: `make pull` brings that"):
        lock.reproduce(project)
    assert git(project, "status", "--porcelain") == ""
    dvc(project, *settle)
    lock.reproduce(project)
    assert (project / "joined").read_text() == joined


def test_a_project_without_history_is_begun_first(project: Path) -> None:
    """In a project that was only generated nothing is run, and it is said what comes first."""
    shutil.rmtree(project / ".git")
    with pytest.raises(UserError, match="this project has no history yet; run `make init` first"):
        lock.reproduce(project)


def test_data_that_is_not_here_is_no_other_data(project: Path) -> None:
    """A clone in which nothing has to be computed needs no data, and is told what stayed in the storage."""
    shutil.rmtree(project / "data/raw")
    lock.reproduce(project)
    assert pointers.differing(project) == []
    assert json.loads((project / lock.REPRO).read_text()) == {
        "lock": hashlib.sha256((project / "dvc.lock").read_bytes()).hexdigest(),
        "stages": {"join": {"state": "unchanged"}, "train": {"state": "unchanged"}},
        "computed": {"files": 0, "octets": 0},
        "brought": {"files": 0, "octets": 0},
    }


def test_a_pointer_that_was_committed_alone_is_told(project: Path) -> None:
    """A commit whose dvc.lock was made of other data than its pointer names is no release's."""
    lock.require_pointers(project)
    hold(project, "february")
    with pytest.raises(UserError, match=r"dvc\.lock was made of another data/raw than data/raw\.dvc names"):
        lock.require_pointers(project)
    lock.reproduce(project)
    lock.require_pointers(project)


def test_a_pointer_without_a_hash_is_told(project: Path) -> None:
    """A pointer that is damaged is a sentence, not data that agrees with everything."""
    (project / "data/raw.dvc").write_text("outs:\n")
    with pytest.raises(UserError, match=r"data/raw\.dvc names no data; restore it with `git checkout data/raw\.dvc`"):
        lock.require_pointers(project)


def test_a_merge_brings_the_data_that_only_one_side_changed(project: Path) -> None:
    """Where dvc.lock is in conflict and the pointer is not, what is reproduced is made of the merged data."""
    git(project, "switch", "--quiet", "--create", "other")
    hold(project, "january", "february")
    lock.reproduce(project)
    commit(project, "February")
    dvc(project, "push")
    git(project, "switch", "--quiet", "main")
    dvc(project, "checkout")
    seed(project, "7")
    lock.reproduce(project)
    commit(project, "Another seed")
    dvc(project, "push")
    with pytest.raises(AssertionError, match=r"Merge conflict in dvc\.lock"):
        git(project, "merge", "other")
    assert lock.resolve(project) == ["dvc.lock"]
    assert sorted(path.name for path in (project / "data/raw").iterdir()) == ["february", "january"]
    model = (project / "model").read_text()
    assert model.startswith("february\njanuary\n")
    assert "  seed: 7" in model
    lock.require_pointers(project)


def test_a_mistake_that_was_undone_leaves_every_output(project: Path) -> None:
    """After a stage failed, DVC has removed what it had made; undone, nothing is to be computed, and it is there."""
    before = (project / "model").read_bytes()
    known = json.loads((project / lock.REPRO).read_text())
    # What was joined has the very bytes of the data, so the model alone was new.
    assert known["computed"] == {"files": 1, "octets": len(before)}
    assert {name: each["state"] for name, each in known["stages"].items()} == {"join": "computed", "train": "computed"}
    assert all(each["seconds"] >= 0 for each in known["stages"].values())
    seed(project, "one")
    with pytest.raises(UserError, match="the pipeline stopped; the reason stands above"):
        lock.reproduce(project)
    assert not (project / "model").exists()
    assert not (project / lock.REPRO).exists()
    git(project, "checkout", "params.yaml")
    lock.reproduce(project)
    assert (project / "model").read_bytes() == before


def test_an_output_that_is_nowhere_here_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing has to be computed and this machine does not have an output, it is said how to get it."""
    (project / "model").unlink()
    shutil.rmtree(project / ".dvc/cache/files")
    lock.reproduce(project, pull=False)
    assert "model need not be made anew and stayed in the storage: `make pull` brings them" in capsys.readouterr().out


def test_what_is_not_installed_trains_nothing(project: Path) -> None:
    """With other packages than uv.lock names nothing is run, the exports stay, and it is said what differs."""
    path, exports = project / "uv.lock", (project / requirements.TRAIN).read_bytes()
    text = re.sub(r"(threadpoolctl-)\d+\.\d+\.\d+", r"\g<1>3.5.0", path.read_text())
    path.write_text(re.sub(r'(name = "threadpoolctl"\nversion = )"[^"]+"', r'\1"3.5.0"', text))
    said = r"not installed as uv\.lock says \(- threadpoolctl==\S+, \+ threadpoolctl==3\.5\.0\); run `make setup`"
    with pytest.raises(UserError, match=said):
        lock.reproduce(project)
    assert (project / requirements.TRAIN).read_bytes() == exports


def test_an_unreadable_lock_is_not_taken_for_other_packages(project: Path) -> None:
    """What cannot be read is said as it is."""
    (project / "uv.lock").write_text("version = one")
    with pytest.raises(UserError, match=r"Failed to parse `uv\.lock`"):
        lock.reproduce(project)
