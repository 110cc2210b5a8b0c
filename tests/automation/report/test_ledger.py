"""The ledger tells from Git alone what was put where, by whom, on which verdict."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gitops_ml.core import record
from gitops_ml.report import ledger

from tests.automation.cli.test_commands import IDENTITY, gitops
from tests.automation.tables import PROJECT


def git(*arguments: str, cwd: Path, **env: str) -> str:
    """Run git as a tester."""
    whole = os.environ | IDENTITY | env
    return subprocess.check_output(["git", *arguments], cwd=cwd, env=whole, text=True).strip()


def begin(folder: Path) -> None:
    """Make a repository in which commands run."""
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    for part in ("project.yaml", "vendor"):
        (folder / part).symlink_to(PROJECT / part)


def put(root: Path, environment: str, release: str, when: str, who: str = "A Tester") -> None:
    """Commit a release to an environment's branch."""
    made = record.seal(
        release=name(release),
        commit="0" * 40,
        model="0" * 64,
        data="0.dir",
        lock="0" * 64,
        evaluation="0" * 64,
        card="0" * 64,
        bento=record.Bento(digest=f"sha256:{'0' * 64}", bytes=1),
        metrics={},
        verdict="promote",
        champion=None,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    branch = f"env/{environment}"
    exists = git("branch", "--list", branch, cwd=root)
    git("checkout", "--quiet", *([branch] if exists else ["--orphan", branch]), cwd=root)
    (root / record.FILE).write_bytes(record.write(made))
    git("add", record.FILE, cwd=root)
    git("commit", "--quiet", "--message", release, cwd=root, GIT_COMMITTER_DATE=when, GIT_AUTHOR_NAME=who)


def name(release: str) -> str:
    """A release's whole name."""
    return f"flights:{release:0>16}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two environments, in one of which a release was rolled back."""
    begin(tmp_path)
    put(tmp_path, "staging", "1", "2026-01-01T10:00:00Z")
    put(tmp_path, "production", "1", "2026-01-02T10:00:00Z")
    put(tmp_path, "production", "2", "2026-01-03T10:00:00Z", who="Somebody Else")
    put(tmp_path, "production", "1", "2026-01-04T10:00:00Z")
    return tmp_path


def test_entries_are_told_newest_first(root: Path) -> None:
    """Each commit is an entry; a release that served there before was rolled back to."""
    told = [(entry.environment, entry.action, entry.release, entry.who) for entry in ledger.read(root)]
    assert told == [
        ("production", "roll back", name("1"), "A Tester"),
        ("production", "promote", name("2"), "Somebody Else"),
        ("production", "promote", name("1"), "A Tester"),
        ("staging", "promote", name("1"), "A Tester"),
    ]


def test_the_command_prints_a_table_json_and_a_page(root: Path) -> None:
    """The same entries come as a table, as JSON and as HTML."""
    assert "roll back" in gitops("env", "ledger", cwd=root).stdout
    entries = json.loads(gitops("env", "ledger", "--json", cwd=root).stdout)
    assert [entry["release"] for entry in entries] == [name(each) for each in ("1", "2", "1", "1")]
    assert gitops("env", "ledger", "--html", "ledger.html", cwd=root).returncode == 0
    assert (root / "ledger.html").read_text().count("<td>production</td>") == 3


def test_a_clone_sees_what_origin_has(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A clone that never checked an environment out tells the same."""
    clone = tmp_path_factory.mktemp("clone") / "clone"
    git("checkout", "--quiet", "--orphan", "main", cwd=root)
    git("clone", "--quiet", str(root), str(clone), cwd=root)
    assert ledger.read(clone) == ledger.read(root)


def test_before_the_first_promotion_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """Without environments the ledger says so."""
    begin(tmp_path)
    assert "nothing was promoted yet" in gitops("env", "ledger", cwd=tmp_path).stdout


def test_what_somebody_did_by_hand_is_told(root: Path) -> None:
    """A commit whose record cannot be read, or was edited, is an entry that says so; none is left out."""
    content = (root / record.FILE).read_text()
    (root / record.FILE).write_text("{}")
    git("commit", "--quiet", "--all", "--message", "broken", cwd=root)
    (root / record.FILE).write_text(content.replace('"promote"', '"perfect"'))
    git("commit", "--quiet", "--all", "--message", "edited", cwd=root)
    edited, broken, *others = ledger.read(root)
    assert (edited.action, broken.action) == ("edit by hand", "edit by hand")
    assert "its content is not what its hash says" in edited.verdict
    assert "cannot be read" in broken.verdict
    assert len(others) == 4
