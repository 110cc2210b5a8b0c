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
from typer.core import TyperGroup

from tests.automation.tables import PROJECT


def gitops(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `gitops-ml` as a user does."""
    command = [sys.executable, "-m", "gitops_ml", *arguments]
    whole = {**os.environ, "PYTHONPATH": str(PROJECT), **(env or {})}
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
NO_JSON = {("model", "repro"), ("model", "serve"), ("lock", "resolve"), ("repo", "init")}


def test_each_help_says_how_to_call_it_and_how_it_ends() -> None:
    """Each command that people call has examples, its exit codes and, where it ends with a result, `--json`."""
    hidden, commands = HIDDEN[0], tree()
    for noun, group in commands.commands.items():
        verbs = group.list_commands(None) if isinstance(group, TyperGroup) else [""]
        for verb in verbs if noun != hidden else []:
            command = group.get_command(None, verb) if verb else group
            options = {option for parameter in command.params for option in parameter.opts}
            assert f"$ gitops-ml {noun} {verb}".rstrip() in (command.epilog or ""), (noun, verb)
            assert re.search(r"[Ee]xit codes", command.help or ""), (noun, verb)
            assert ("--json" in options) == ((noun, verb) not in NO_JSON), (noun, verb)


def as_project(folder: Path) -> Path:
    """Make a folder one in which commands run: those of the template, since it has none of its own."""
    (folder / "vendor" / "gitops-ml").mkdir(parents=True)
    shutil.copy(PROJECT / "project.yaml", folder)
    return folder


@pytest.mark.parametrize("command", ["release key", "repo init", "lock export", "env status", "watch retrain"])
def test_outside_of_a_project_nothing_is_done(tmp_path: Path, command: str) -> None:
    """Where there is no project, a command says where to run it, and leaves the folder as it was."""
    done = gitops(*command.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path} is in no project; run this in the folder of one\n"
    assert list(tmp_path.iterdir()) == []


def test_packaging_needs_a_trained_model(tmp_path: Path) -> None:
    """Without dvc.lock there is nothing to package, and the message says what to run."""
    as_project(tmp_path)
    refused = gitops("model", "package", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == "error: there is no dvc.lock yet; `make repro` trains the first model\n"


@pytest.mark.parametrize("content", [None, b"another model"])
def test_packaging_refuses_a_model_that_the_lock_does_not_name(tmp_path: Path, content: bytes | None) -> None:
    """A model that is missing, or is another than dvc.lock names, is not packaged."""
    as_project(tmp_path)
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
    as_project(folder)
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


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody whom it knows; what it prints."""
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | IDENTITY, check=True, capture_output=True, text=True
    ).stdout


def init(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `gitops-ml repo init` as somebody whom Git knows."""
    return gitops("repo", "init", cwd=folder, env=IDENTITY | env)


def test_init_commits_once_and_stores_the_data(tmp_path: Path) -> None:
    """The data goes into the storage and not into Git; a second run changes nothing; a clone elsewhere can pull."""
    folder = new_project(tmp_path / "project")
    first = init(folder)
    assert first.returncode == 0, first.stderr
    tracked = git(folder, "ls-files").splitlines()
    assert "data/raw.dvc" in tracked
    assert "data/raw/1.parquet" not in tracked
    commit = git(folder, "rev-parse", "--short=12", "HEAD").strip()
    assert f"committed {len(tracked)} files to main as {commit}\n" in first.stdout
    assert init(folder).stdout == f"data/raw.dvc is in commit {commit} already: nothing was done\n"
    assert git(folder, "rev-list", "--count", "HEAD") == "1\n"
    clone = tmp_path / "far" / "away" / "clone"
    git(tmp_path, "clone", "--quiet", str(folder), str(clone))
    subprocess.run([sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=clone, check=True)
    assert (clone / "data/raw/1.parquet").read_bytes() == b"some data"


def test_init_takes_a_project_that_has_commits(tmp_path: Path) -> None:
    """Whoever has committed by hand before still gets the data under DVC, in a commit of its own."""
    folder = new_project(tmp_path / "project")
    for command in (("init", "--quiet", "--initial-branch=main"), ("add", "--all"), ("commit", "--message", "By hand")):
        git(folder, *command)
    assert init(folder).returncode == 0
    assert git(folder, "ls-files", "data/raw.dvc")
    assert (tmp_path / "storage" / "files").is_dir()


def test_init_goes_on_after_a_storage_that_failed(tmp_path: Path) -> None:
    """If the storage cannot be written to, nothing is committed, and the next attempt does what is left."""
    folder = new_project(tmp_path / "project")
    (tmp_path / "storage").write_text("a file where the folder should be")
    assert init(folder).returncode == 1
    assert not git(folder, "rev-list", "--all")
    (tmp_path / "storage").unlink()
    assert init(folder).returncode == 0
    assert (tmp_path / "storage" / "files").is_dir()
    assert git(folder, "rev-list", "--all")


def test_init_refuses_a_storage_inside_the_project(tmp_path: Path) -> None:
    """A storage where Git would take the data is refused before anything is stored."""
    folder = new_project(tmp_path / "project")
    config = folder / ".dvc" / "config"
    config.write_text(config.read_text().replace("../../storage", "../storage"))
    refused = init(folder)
    assert refused.returncode == 1
    assert "is inside the project" in refused.stderr
    assert not (folder / "storage").exists()


def test_init_needs_to_know_who_commits(tmp_path: Path) -> None:
    """Without a Git identity nothing is committed, and the message says how to set one."""
    folder = new_project(tmp_path / "project")
    nobody = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.useConfigOnly", "GIT_CONFIG_VALUE_0": "true"}
    refused = gitops("repo", "init", cwd=folder, env=nobody)
    assert refused.returncode == 1
    assert "git config --global user.name" in refused.stderr
    assert not git(folder, "rev-list", "--all")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("core.autocrlf", "true"),
        ("core.hooksPath", "of-the-company"),
        ("i18n.logOutputEncoding", "latin1"),
        ("init.defaultBranch", "trunk"),
        ("log.showSignature", "true"),
    ],
)
def test_init_works_whatever_git_is_told(tmp_path: Path, setting: str, value: str) -> None:
    """With settings of Git that others live by, the first commit is on main, holds the same bytes, and is told."""
    folder = new_project(tmp_path / "project")
    settings = tmp_path / "settings"
    git(tmp_path, "config", "--file", str(settings), setting, value)
    done = init(folder, GIT_CONFIG_GLOBAL=str(settings))
    assert done.returncode == 0, done.stderr
    commit = git(folder, "rev-parse", "--short=12", "refs/heads/main").strip()
    assert (
        done.stdout.splitlines()[-2]
        == f"committed {len(git(folder, 'ls-files').splitlines())} files to main as {commit}"
    )
    assert git(folder, "show", "HEAD:.dvc/config") == (folder / ".dvc/config").read_text()
    assert ("no hooks installed: Git takes them from of-the-company" in done.stdout) == (setting == "core.hooksPath")
    assert (folder / ".git/hooks/pre-commit").exists() == (setting != "core.hooksPath")


def test_init_says_that_commits_cannot_be_signed(tmp_path: Path) -> None:
    """Where Git signs commits and cannot, nothing is stored or committed; with what the message says, it goes on."""
    folder = new_project(tmp_path / "project")
    settings = tmp_path / "settings"
    settings.write_text("[commit]\n gpgsign = true\n[gpg]\n format = ssh\n[user]\n signingkey = /of/nobody\n")
    refused = init(folder, GIT_CONFIG_GLOBAL=str(settings))
    assert refused.returncode == 1
    assert "run `git config commit.gpgsign false` for this project" in refused.stderr
    assert not (tmp_path / "storage").exists()
    git(folder, "config", "commit.gpgsign", "false")
    assert init(folder, GIT_CONFIG_GLOBAL=str(settings)).returncode == 0


def test_init_signs_the_first_commit_of_whoever_signs(tmp_path: Path) -> None:
    """Where Git signs commits and can, the first one is signed."""
    folder = new_project(tmp_path / "project")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    settings = tmp_path / "settings"
    settings.write_text(f"[commit]\n gpgsign = true\n[gpg]\n format = ssh\n[user]\n signingkey = {tmp_path}/key\n")
    assert init(folder, GIT_CONFIG_GLOBAL=str(settings)).returncode == 0
    assert "BEGIN SSH SIGNATURE" in git(folder, "cat-file", "commit", "main")


def test_init_needs_a_repository_of_its_own(tmp_path: Path) -> None:
    """Inside of another repository nothing is done until somebody says so, unless that one ignores the folder."""
    git(tmp_path, "init", "--quiet")
    refused = init(new_project(tmp_path / "project"))
    assert refused.returncode == 1
    assert f"is inside the repository {tmp_path}, and a project needs one of its own" in refused.stderr
    assert not (tmp_path / "project/.git").exists()
    git(tmp_path / "project", "init", "--quiet")
    assert init(tmp_path / "project").returncode == 0
    (tmp_path / ".gitignore").write_text("/ignored\n")
    assert init(new_project(tmp_path / "ignored")).returncode == 0
    assert not git(tmp_path, "rev-list", "--all")


def test_init_wants_main(tmp_path: Path) -> None:
    """A branch with commits and another name is named, not renamed; with what the message says, it goes on."""
    folder = new_project(tmp_path / "project")
    for command in (("init", "--quiet", "--initial-branch=trunk"), ("commit", "--allow-empty", "--message", "By hand")):
        git(folder, *command)
    refused = init(folder)
    assert refused.returncode == 1
    assert "releases are made of the branch main, and the branch trunk is checked out" in refused.stderr
    assert not (tmp_path / "storage").exists()
    git(folder, "branch", "--move", "main")
    assert init(folder).returncode == 0
    assert git(folder, "rev-list", "--count", "main") == "2\n"


def test_init_works_in_a_worktree(tmp_path: Path) -> None:
    """In a worktree in which main is checked out, the commit is made there, and other worktrees stay as they are."""
    folder = new_project(tmp_path / "main")
    first = tmp_path / "first"
    git(tmp_path, "init", "--quiet", "--initial-branch=begun", str(first))
    git(first, "commit", "--quiet", "--allow-empty", "--message", "Begun")
    git(first, "worktree", "add", "--quiet", "-b", "main", str(tmp_path / "tree"))
    (tmp_path / "tree" / ".git").rename(folder / ".git")
    git(folder, "worktree", "repair")
    assert init(folder).returncode == 0
    assert git(folder, "rev-list", "--count", "main") == "2\n"
    assert git(first, "status", "--porcelain") == ""
