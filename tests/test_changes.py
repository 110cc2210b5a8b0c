"""What the template's own workflows run: the notes of a release, and what a change means for a new project."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ci.example import difference
from ci.notes import notes
from ci.shell import ROOT, run

CHANGELOG = "# Changelog\n\n## Unreleased\n\n- Soon.\n\n## [1.2.0] - 2026-01-31\n\n### Added\n\n- It.\n\n## 1.1.0\n"


@pytest.mark.parametrize(
    ("version", "text"),
    [("1.2.0", "### Added\n\n- It."), ("Unreleased", "- Soon."), ("1.1.0", None), ("1.2", None)],
)
def test_a_releases_notes_are_its_section(version: str, text: str | None) -> None:
    """The notes are what stands under the version's heading; a version without any has none."""
    assert notes(CHANGELOG, version) == text


def test_a_version_that_the_changelog_does_not_know_is_not_released() -> None:
    """The command ends with a sentence and an exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "ci.notes", "v0.0.0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: CHANGELOG.md says nothing under 0.0.0\n")


def test_a_template_without_changes_changes_nothing_in_a_project() -> None:
    """The diff is empty exactly as long as nothing of the template differs from the commit."""
    unchanged = not run("git", "status", "--porcelain", "--", "{{cookiecutter.project_slug}}", cwd=ROOT)
    assert (difference("HEAD") == "") == unchanged
