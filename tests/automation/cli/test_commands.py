"""The automation's commands: what they refuse, they refuse in one sentence and without a trace."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from gitops_ml.cli.main import HIDDEN, PANELS, tree

from tests.automation.tables import PROJECT


def gitops(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `gitops-ml` as a user does."""
    command = [sys.executable, "-m", "gitops_ml", *arguments]
    nobody = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    whole = {**nobody, "PYTHONPATH": str(PROJECT), **(env or {})}
    return subprocess.run(command, cwd=cwd, env=whole, capture_output=True, text=True, check=False)


def test_help_tells_the_commands() -> None:
    """Help names each noun with what it is for, and each noun its commands; what only workflows call is not shown."""
    shown = gitops("--help", cwd=PROJECT)
    assert shown.returncode == 0
    for panel, nouns in PANELS.items():
        assert panel in shown.stdout
        assert all(f" {noun} " in shown.stdout for noun in nouns)
    assert "workflow" not in shown.stdout
    assert "promote" in gitops("env", "--help", cwd=PROJECT).stdout
    assert "publish" in gitops("workflow", "--help", cwd=PROJECT).stdout


# They go on until somebody ends them, or show what other programs print.
NO_JSON = {("model", "serve"), ("lock", "resolve"), ("repo", "init")}


def test_each_help_says_how_to_call_it_and_how_it_ends() -> None:
    """Each command that people call has examples, its exit codes and, where it ends with a result, `--json`."""
    hidden, commands = HIDDEN[0], tree()
    for noun, group in commands.commands.items():
        for verb in group.list_commands(None) if noun != hidden else []:
            command = group.get_command(None, verb)
            options = {option for parameter in command.params for option in parameter.opts}
            assert f"$ gitops-ml {noun} {verb}" in (command.epilog or ""), (noun, verb)
            assert re.search(r"[Ee]xit codes", command.help or ""), (noun, verb)
            assert ("--json" in options) == ((noun, verb) not in NO_JSON), (noun, verb)


def test_packaging_needs_a_trained_model(tmp_path: Path) -> None:
    """Without dvc.lock there is nothing to package, and the message says what to run."""
    refused = gitops("model", "package", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == "error: there is no dvc.lock yet; `make repro` trains the first model\n"


@pytest.mark.parametrize("content", [None, b"another model"])
def test_packaging_refuses_a_model_that_the_lock_does_not_name(tmp_path: Path, content: bytes | None) -> None:
    """A model that is missing, or is another than dvc.lock names, is not packaged."""
    named = hashlib.md5(b"the model", usedforsecurity=False).hexdigest()
    outs = [{"path": "models/model.skops", "md5": named}, {"path": "data/raw", "md5": "any"}]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    (tmp_path / "models").mkdir()
    if content:
        (tmp_path / "models/model.skops").write_bytes(content)
    refused = gitops("model", "package", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: models/model.skops is not the one that dvc.lock names; `make pull`")
    assert not (tmp_path / "build").exists()


def new_project(folder: Path) -> Path:
    """A project as the template leaves it: data, but no history."""
    folder.mkdir()
    shutil.copytree(PROJECT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config"))
    storage = "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n"
    (folder / ".dvc" / "config").write_text(storage)
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "data" / ".gitignore").write_text("/raw\n")
    (folder / "data" / "raw" / "1.parquet").write_bytes(b"some data")
    return folder


IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "A Tester"), ("EMAIL", "tester@example.org"))
}


def test_init_commits_once_and_stores_the_data(tmp_path: Path) -> None:
    """The data goes into the storage and not into Git; a second run changes nothing; a clone elsewhere can pull."""
    folder = new_project(tmp_path / "project")
    first = gitops("repo", "init", cwd=folder, env=IDENTITY)
    assert first.returncode == 0, first.stderr
    tracked = subprocess.check_output(["git", "ls-files"], cwd=folder, text=True).splitlines()
    assert "data/raw.dvc" in tracked
    assert "data/raw/1.parquet" not in tracked
    again = gitops("repo", "init", cwd=folder, env=IDENTITY)
    assert "nothing to do" in again.stdout
    assert subprocess.check_output(["git", "rev-list", "--count", "HEAD"], cwd=folder, text=True) == "1\n"
    clone = tmp_path / "far" / "away" / "clone"
    subprocess.run(["git", "clone", "--quiet", str(folder), str(clone)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=clone, check=True)
    assert (clone / "data/raw/1.parquet").read_bytes() == b"some data"


def test_init_takes_a_project_that_has_commits(tmp_path: Path) -> None:
    """Whoever has committed by hand before still gets the data under DVC, in a commit of its own."""
    folder = new_project(tmp_path / "project")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "By hand"]):
        subprocess.run(["git", *command], cwd=folder, env=os.environ | IDENTITY, check=True)
    assert gitops("repo", "init", cwd=folder, env=IDENTITY).returncode == 0
    assert subprocess.check_output(["git", "ls-files", "data/raw.dvc"], cwd=folder)
    assert (tmp_path / "storage" / "files").is_dir()


def test_init_goes_on_after_a_storage_that_failed(tmp_path: Path) -> None:
    """If the storage cannot be written to, nothing is committed, and the next attempt does what is left."""
    folder = new_project(tmp_path / "project")
    (tmp_path / "storage").write_text("a file where the folder should be")
    assert gitops("repo", "init", cwd=folder, env=IDENTITY).returncode == 1
    assert not subprocess.check_output(["git", "rev-list", "--all"], cwd=folder)
    (tmp_path / "storage").unlink()
    assert gitops("repo", "init", cwd=folder, env=IDENTITY).returncode == 0
    assert (tmp_path / "storage" / "files").is_dir()
    assert subprocess.check_output(["git", "rev-list", "--all"], cwd=folder)


def test_init_refuses_a_storage_inside_the_project(tmp_path: Path) -> None:
    """A storage where Git would take the data is refused before anything is stored."""
    folder = new_project(tmp_path / "project")
    config = folder / ".dvc" / "config"
    config.write_text(config.read_text().replace("../../storage", "../storage"))
    refused = gitops("repo", "init", cwd=folder, env=IDENTITY)
    assert refused.returncode == 1
    assert "is inside the project" in refused.stderr
    assert not (folder / "storage").exists()


def test_init_needs_to_know_who_commits(tmp_path: Path) -> None:
    """Without a Git identity nothing is committed, and the message says how to set one."""
    folder = new_project(tmp_path / "project")
    nobody = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1"}
    nobody |= {"GIT_CONFIG_KEY_0": "user.useConfigOnly", "GIT_CONFIG_VALUE_0": "true", "GIT_CONFIG_GLOBAL": "/dev/null"}
    refused = gitops("repo", "init", cwd=folder, env=nobody)
    assert refused.returncode == 1
    assert "git config --global user.name" in refused.stderr
    assert not subprocess.check_output(["git", "rev-list", "--all"], cwd=folder)
