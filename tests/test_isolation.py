"""The tests themselves: they leave whoever runs them as they were."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from ci.shell import ROOT, environment

# Tests that make repositories, commits, keys and a project.
SOME = (
    "tests/automation/cli/test_commands.py::test_init_commits_once_and_stores_the_data",
    "tests/automation/deployment/test_advance.py::test_nothing_to_wait_for",
)
SETTINGS = """
[user]
    name = Somebody
    email = somebody@example.org
    signingkey = nobody
[commit]
    gpgsign = true
[core]
    autocrlf = true
    hooksPath = refusing
[init]
    defaultBranch = trunk
[log]
    showSignature = true
"""


def test_tests_run_by_a_hook_touch_no_repository_key_or_setting_of_their_own(tmp_path: Path) -> None:
    """Run by a hook in a worktree, by somebody whose Git is set up otherwise, tests pass and leave all as it was."""
    repository, home = tmp_path / "repository", tmp_path / "home"
    home.mkdir()
    for command in (
        ("init", "--quiet", str(repository)),
        ("-C", str(repository), "commit", "--quiet", "--allow-empty", "--message", "Mine"),
        ("-C", str(repository), "remote", "add", "origin", "https://example.org/mine"),
        ("-C", str(repository), "worktree", "add", "--quiet", str(tmp_path / "worktree")),
    ):
        subprocess.run(["git", *command], env=environment(), check=True, capture_output=True)
    (home / ".gitconfig").write_text(SETTINGS)
    folder = repository / ".git" / "worktrees" / "worktree"
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "RELEASE_KEY"))}
    hook = {
        "GIT_DIR": str(folder),
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_WORK_TREE": str(tmp_path / "worktree"),
    }
    before = contents(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--numprocesses=0", f"--basetemp={tmp_path.parent / 'inner'}", *SOME],
        cwd=ROOT,
        env=own | hook | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder but for caches, and its hash."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
