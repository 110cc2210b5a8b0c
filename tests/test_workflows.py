"""The workflow files, of the template and of the project, are linted as strictly as the tools allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ci.shell import ROOT, environment, run
from tests.conftest import SLUG

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml")) + sorted(
    (ROOT / SLUG / ".github/workflows").glob("*.yml")
)
# What each job may do beyond nothing, and why.
PERMISSIONS = {
    ("check.yml", "check"): {"contents": "read"},  # to check the code out
    ("ci.yml", "check"): {"contents": "read"},  # to check the code out
    ("ci.yml", "test"): {"contents": "read"},  # to check the code out
}
TOOLS = {"PATH": f"{ROOT / '.venv' / 'bin'}:{environment()['PATH']}"}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> Path:
    """Each workflow file."""
    path: Path = request.param
    return path


def test_there_are_workflows() -> None:
    """Both the template and the project have some."""
    assert {path.parts[-4] for path in WORKFLOWS} == {ROOT.name, SLUG}


def test_actionlint_finds_nothing(workflow: Path) -> None:
    """actionlint, with shellcheck for the scripts, is content."""
    run("shellcheck", "--version", cwd=ROOT, env=TOOLS)
    assert run("actionlint", "-no-color", str(workflow), cwd=ROOT, env=TOOLS) == ""


def test_zizmor_finds_nothing(workflow: Path) -> None:
    """zizmor, offline and in its pedantic mode, is content."""
    run("zizmor", "--offline", "--pedantic", "--no-progress", str(workflow), cwd=ROOT, env=TOOLS)


def test_every_action_is_pinned_to_a_commit(workflow: Path) -> None:
    """An action is named by a whole commit hash, with its version beside it."""
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    for line in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_no_job_may_do_more_than_is_known(workflow: Path) -> None:
    """The whole file has no permissions; each job has the listed ones, a time limit, and runs a few lines a step."""
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"] == PERMISSIONS[workflow.name, name]
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert len(step.get("run", "").splitlines()) <= 3
            assert "${{" not in step.get("run", "")
