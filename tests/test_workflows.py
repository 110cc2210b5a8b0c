"""The workflow files, of the template and of the project, are linted as strictly as the tools allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ci.shell import ROOT, environment, run
from tests.conftest import SLUG

WORKFLOWS = [
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    *sorted((ROOT / SLUG / ".github/workflows").glob("*.yml")),
]
READ = {"contents": "read"}  # to check the code out
STORAGE = {"id-token": "write"}  # to ask the storage's cloud as a role of its own; a secret is the alternative
PROPOSE = {
    "contents": "write",  # a proposal is a branch
    "packages": "read",  # a check asks whether the registry has the image
    "pull-requests": "write",  # and a pull request
    "statuses": "write",  # whether it may be merged is a status, since a token's push starts no checks
    "actions": "write",  # a token's merge starts no deployment
}
# What each job may do beyond nothing.
PERMISSIONS = {
    ("template", "ci.yml", "check"): READ,
    ("template", "ci.yml", "test"): READ,
    ("template", "ci.yml", "example"): READ,
    ("template", "release.yml", "test"): READ,
    ("template", "release.yml", "release"): {"contents": "write"},  # the release of a tag
    ("project", "pull-request.yml", "plan"): READ,
    ("project", "pull-request.yml", "check"): READ,
    # These two run the change's code with access to the storage, and can write nothing here.
    ("project", "pull-request.yml", "train"): READ | STORAGE,
    ("project", "pull-request.yml", "package"): READ | STORAGE,
    # It runs main's code alone, and has access to nothing but the repository.
    ("project", "pull-request.yml", "publish"): {
        "contents": "write",  # dvc.lock, to the change's branch
        "pull-requests": "write",  # the comment
        "statuses": "write",  # the status on the commit with the lock
    },
    ("project", "release.yml", "plan"): READ,
    ("project", "release.yml", "check"): READ,
    ("project", "release.yml", "release"): PROPOSE | STORAGE | {"packages": "write"},  # the image
    ("project", "promote.yml", "settle"): PROPOSE | STORAGE,
    ("project", "promote.yml", "propose"): PROPOSE | STORAGE,
    ("project", "rollback.yml", "rollback"): PROPOSE | STORAGE,
    ("project", "deploy.yml", "deploy"): PROPOSE | STORAGE,
    ("project", "monitor.yml", "monitor"): READ
    | STORAGE
    | {
        "issues": "write",  # the one about an alarm
        "actions": "write",  # the retraining
    },
    # Its code is main's, and what it pushes is a proposal.
    ("project", "retrain.yml", "retrain"): STORAGE
    | {
        "contents": "write",
        "pull-requests": "write",
        "statuses": "write",
    },
    ("project", "hold.yml", "hold"): {"contents": "write"},  # the branch with the holds
    ("project", "deploy.yml", "start"): {"actions": "write"},  # to start main's workflow
}
TOOLS = {"PATH": f"{ROOT / '.venv' / 'bin'}:{environment()['PATH']}"}


def home(path: Path) -> str:
    """Whose workflow it is: the template's, or a project's."""
    return "template" if path.parts[-4] == ROOT.name else "project"


@pytest.fixture(params=WORKFLOWS, ids=lambda path: f"{home(path)}-{path.name}")
def workflow(request: pytest.FixtureRequest) -> Path:
    """Each workflow file."""
    path: Path = request.param
    return path


def test_there_are_workflows() -> None:
    """The template and a project have some, and no job is missing in the table."""
    jobs = {(home(path), path.name, job) for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"]}
    assert jobs == set(PERMISSIONS)


def test_actionlint_finds_nothing(workflow: Path) -> None:
    """actionlint, with shellcheck for the scripts, is content."""
    run("shellcheck", "--version", cwd=ROOT, env=TOOLS)
    assert run("actionlint", "-no-color", str(workflow), cwd=ROOT, env=TOOLS) == ""


def test_zizmor_finds_nothing(workflow: Path) -> None:
    """zizmor, offline and in its pedantic mode, is content."""
    run("zizmor", "--offline", "--pedantic", "--no-progress", str(workflow), cwd=ROOT, env=TOOLS)


def test_the_form_is_the_one_that_github_publishes(workflow: Path) -> None:
    """The published JSON Schema of workflows takes it."""
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow), cwd=ROOT, env=TOOLS)


@pytest.mark.parametrize("path", [ROOT / ".github/dependabot.yml", ROOT / SLUG / ".github/dependabot.yml"], ids=str)
def test_dependabot_waits_before_it_updates(path: Path) -> None:
    """Dependabot's settings have the published form, and every ecosystem has a time for others to notice."""
    run("check-jsonschema", "--builtin-schema", "vendor.dependabot", str(path), cwd=ROOT, env=TOOLS)
    updates = yaml.safe_load(path.read_text())["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "uv"}
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)


def test_every_action_is_pinned_to_a_commit(workflow: Path) -> None:
    """An action is named by a whole commit hash, with its version beside it."""
    for line in re.findall(r"- uses: (.*)", workflow.read_text()):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_no_job_may_do_more_than_is_known(workflow: Path) -> None:
    """The whole file has no permissions; each job has the listed ones, a time limit, and one command a step."""
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"] == PERMISSIONS[home(workflow), workflow.name, name]
        assert job["timeout-minutes"] <= 180
        for step in job["steps"]:
            assert len(step.get("run", "").splitlines()) <= 1
            assert "${{" not in step.get("run", "")


def test_a_projects_steps_are_commands_of_a_laptop() -> None:
    """Every step of a project's workflows that is no action is one `make` with a target that the README lists."""
    readme = (ROOT / SLUG / "README.md").read_text()
    for path in WORKFLOWS:
        if home(path) != "project":
            continue
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                if "run" in step and step["run"] != 'make "$WHAT"' and job["name"] != "start main's workflow":
                    assert re.fullmatch(r"make [a-z-]+", step["run"])
                    assert f"`{step['run']}`" in readme, f"{step['run']} is not in the README"


def test_what_runs_a_changes_code_has_nothing_to_write_or_sign_with() -> None:
    """For a pull request only `publish` may write, it alone checks out main's code, and no job has the key."""
    path = ROOT / SLUG / ".github/workflows/pull-request.yml"
    jobs = yaml.safe_load(path.read_text())["jobs"]
    assert "RELEASE_KEY" not in path.read_text()
    for name, job in jobs.items():
        checked_out = job["steps"][0]["with"]["ref"]
        writes = {what for what, right in job["permissions"].items() if right == "write"} - {"id-token"}
        assert bool(writes) == (name == "publish")
        assert ("pull_request.base.sha" in checked_out) == (name == "publish")
        assert "secrets." not in str(job) or name in {"train", "package"}
