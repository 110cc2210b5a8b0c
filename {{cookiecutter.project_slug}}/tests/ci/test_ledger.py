"""The ledger tells from Git alone what was put where, by whom, on which verdict."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ci import ledger
from ci.errors import UserError
from tests.ci.test_commands import IDENTITY, ci


def git(*arguments: str, cwd: Path, **env: str) -> str:
    """Run git as a tester."""
    whole = os.environ | IDENTITY | env
    return subprocess.check_output(["git", *arguments], cwd=cwd, env=whole, text=True).strip()


def put(root: Path, environment: str, release: str, when: str, who: str = "A Tester") -> None:
    """Commit a release to an environment's branch."""
    record = {
        "version": 1,
        "release": release,
        "commit": "0" * 40,
        "model": "m" * 64,
        "verdict": "promote",
        "created": "2026-01-01T00:00:00Z",
    }
    (root / "release.json").write_text(json.dumps(record))
    branch = f"env/{environment}"
    exists = git("branch", "--list", branch, cwd=root)
    git("checkout", "--quiet", *([branch] if exists else ["--orphan", branch]), cwd=root)
    (root / "release.json").write_text(json.dumps(record))
    git("add", "release.json", cwd=root)
    git("commit", "--quiet", "--message", release, cwd=root, GIT_COMMITTER_DATE=when, GIT_AUTHOR_NAME=who)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two environments, in one of which a release was rolled back."""
    git("init", "--quiet", "--initial-branch=main", cwd=tmp_path)
    put(tmp_path, "staging", "r1", "2026-01-01T10:00:00Z")
    put(tmp_path, "production", "r1", "2026-01-02T10:00:00Z")
    put(tmp_path, "production", "r2", "2026-01-03T10:00:00Z", who="Somebody Else")
    put(tmp_path, "production", "r1", "2026-01-04T10:00:00Z")
    return tmp_path


def test_entries_are_told_newest_first(root: Path) -> None:
    """Each commit is an entry; a release that served there before was rolled back to."""
    told = [(entry.environment, entry.action, entry.release, entry.who) for entry in ledger.read(root)]
    assert told == [
        ("production", "roll back", "r1", "A Tester"),
        ("production", "promote", "r2", "Somebody Else"),
        ("production", "promote", "r1", "A Tester"),
        ("staging", "promote", "r1", "A Tester"),
    ]


def test_the_command_prints_a_table_json_and_a_page(root: Path) -> None:
    """The same entries come as a table, as JSON and as HTML."""
    assert "roll back" in ci("ledger", cwd=root).stdout
    entries = json.loads(ci("ledger", "--json", cwd=root).stdout)
    assert [entry["release"] for entry in entries] == ["r1", "r2", "r1", "r1"]
    assert ci("ledger", "--html", "ledger.html", cwd=root).returncode == 0
    assert (root / "ledger.html").read_text().count("<td>production</td>") == 3


def test_a_clone_sees_what_origin_has(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A clone that never checked an environment out tells the same."""
    clone = tmp_path_factory.mktemp("clone") / "clone"
    git("checkout", "--quiet", "--orphan", "main", cwd=root)
    git("clone", "--quiet", str(root), str(clone), cwd=root)
    assert ledger.read(clone) == ledger.read(root)


def test_before_the_first_promotion_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """Without environments the ledger says so."""
    git("init", "--quiet", cwd=tmp_path)
    assert "nothing was promoted yet" in ci("ledger", cwd=tmp_path).stdout


def test_a_broken_record_is_an_error(root: Path) -> None:
    """A record that cannot be read is named; an entry is never left out silently."""
    (root / "release.json").write_text("{}")
    git("commit", "--quiet", "--all", "--message", "broken", cwd=root)
    with pytest.raises(UserError, match="on env/production cannot be read"):
        ledger.read(root)
