"""Workflows and actions, of the template and of the project, are linted as strictly as the tools allow."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gitops_ml.cli.main import tree

from ci.shell import ROOT, environment, run
from tests.actions import Actions
from tests.conftest import SLUG
from tests.forge import GitHub

WORKFLOWS = [
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    *sorted((ROOT / SLUG / ".github/workflows").glob("*.yml")),
]
ACTIONS = sorted((ROOT / SLUG / ".github/actions").glob("*/action.yml"))
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
    ("template", "release.yml", "release"): {
        "contents": "write",  # the tag and its release
        "id-token": "write",  # the provenance is signed as the workflow
        "attestations": "write",  # and kept
    },
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
        "actions": "read",  # what the jobs took
    },
    # It is started by any change, a fork's too, and compares its objects without ever having its files.
    ("project", "trust.yml", "trust"): READ | {"statuses": "write"},
    ("project", "hold.yml", "unfreeze"): {"contents": "write"},
    ("project", "release.yml", "plan"): READ,
    ("project", "release.yml", "check"): READ,
    ("project", "release.yml", "release"): PROPOSE | STORAGE | {"packages": "write"},  # the image
    ("project", "promote.yml", "settle"): PROPOSE | STORAGE,
    ("project", "promote.yml", "propose"): PROPOSE | STORAGE,
    ("project", "rollback.yml", "rollback"): PROPOSE | STORAGE,
    ("project", "deploy.yml", "deploy"): PROPOSE | STORAGE,
    ("project", "batch.yml", "batch"): READ | STORAGE,
    ("project", "monitor.yml", "monitor"): STORAGE
    | {
        "contents": "write",  # the branch that says what was found
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
    # The branch with the holds.
    ("project", "hold.yml", "hold"): {"contents": "write"},
    ("project", "hold.yml", "unhold"): {"contents": "write"},
    ("project", "hold.yml", "freeze"): {"contents": "write", "statuses": "write"},
    # The template's own code runs in the one, which may write nothing; an app's token is in the other alone.
    ("project", "update.yml", "prepare"): READ,
    ("project", "update.yml", "propose"): READ | {"issues": "write"},
    ("project", "deploy.yml", "start"): {"actions": "write"},  # to start main's workflow
}
TOOLS = {"PATH": f"{ROOT / '.venv' / 'bin'}:{environment()['PATH']}"}

# deploy.yml as of version 0.1.0.
DEPLOY = "95ca9275c524aee6684ac64ba450edb7c85267ed4ba541ffa00d6ee071db2153"
# Of other jobs' packages, only a job that may write nothing takes any.
CACHED = {
    ("pull-request.yml", "check"),
    ("pull-request.yml", "train"),
    ("pull-request.yml", "package"),
    ("release.yml", "check"),
}
# The steps that are no command of a laptop: deploy.yml starts main's workflow, and `setup` says where commands are.
NO_COMMANDS = ("gh api ", 'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"')


def home(path: Path) -> str:
    """Whose workflow or action it is: the template's, or a project's."""
    return "project" if SLUG in path.parts else "template"


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any], set[str]]]:
    """Each step of a workflow or an action: its job, itself, and the variables that it is given."""
    content = yaml.safe_load(path.read_text())
    for name, job in content.get("jobs", {"": content.get("runs")}).items():
        for step in job["steps"]:
            yield name, step, {*content.get("env", {}), *job.get("env", {}), *step.get("env", {})}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: f"{home(path)}-{path.name}")
def workflow(request: pytest.FixtureRequest) -> Path:
    """Each workflow file."""
    path: Path = request.param
    return path


@pytest.fixture(params=[*WORKFLOWS, *ACTIONS], ids=lambda path: f"{home(path)}-{path.parent.name}-{path.name}")
def file(request: pytest.FixtureRequest) -> Path:
    """Each workflow and each action."""
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


def test_zizmor_finds_nothing(file: Path) -> None:
    """zizmor, offline and in its pedantic mode, is content."""
    # In a project of its own it would find the settings itself.
    settings = f"--config={ROOT / SLUG / '.github/zizmor.yml'}" if home(file) == "project" else "--no-config"
    run("zizmor", "--offline", "--pedantic", "--no-progress", settings, str(file), cwd=ROOT, env=TOOLS)


def test_the_form_is_the_one_that_github_publishes(file: Path) -> None:
    """The published JSON Schema of workflows, or of actions, takes it."""
    schema = f"vendor.github-{'actions' if file in ACTIONS else 'workflows'}"
    run("check-jsonschema", "--builtin-schema", schema, str(file), cwd=ROOT, env=TOOLS)


@pytest.mark.parametrize("path", [ROOT / ".github/dependabot.yml", ROOT / SLUG / ".github/dependabot.yml"], ids=str)
def test_dependabot_waits_before_it_updates(path: Path) -> None:
    """Dependabot's settings have the published form, and every ecosystem has a time for others to notice."""
    run("check-jsonschema", "--builtin-schema", "vendor.dependabot", str(path), cwd=ROOT, env=TOOLS)
    updates = yaml.safe_load(path.read_text())["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "uv"}
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)


def test_dependabot_looks_into_actions() -> None:
    """It looks only where it is told to, so each action that uses others' is named."""
    updates = yaml.safe_load((ROOT / SLUG / ".github/dependabot.yml").read_text())["updates"]
    using = [f"/{path.parent.relative_to(ROOT / SLUG)}" for path in ACTIONS if "@" in path.read_text()]
    assert updates[0]["directories"] == ["/", *using]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The workflow that docs/fleet.md shows for a repository of its own."""
    page = (ROOT / SLUG / "vendor/gitops-ml/docs/fleet.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(# Reads .*?)^```", page, re.MULTILINE | re.DOTALL)
    path = tmp_path / ".github/workflows/fleet.yml"
    path.parent.mkdir(parents=True)
    path.write_text(shown)
    return path


def test_the_workflow_of_a_fleet_is_as_strict(published: Path) -> None:
    """It passes the same linters, pins each action, and gives each job what it needs; the command has its options."""
    test_actionlint_finds_nothing(published)
    test_zizmor_finds_nothing(published)
    test_the_form_is_the_one_that_github_publishes(published)
    test_every_action_is_pinned_to_a_commit(published)
    test_a_step_is_one_command(published)
    jobs = yaml.safe_load(published.read_text())["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "read": READ,
        "publish": {"pages": "write", "id-token": "write"},
    }
    known = {option for parameter in tree().commands["fleet"].params for option in parameter.opts}
    ((setup, fleet),) = [[step["run"] for step in job["steps"] if "run" in step] for job in jobs.values()][:1]
    assert setup == "make --directory automation setup"
    assert shlex.split(fleet)[:3] == ["automation/.venv/bin/gitops-ml", "fleet", "repositories.yaml"]
    assert {word for word in shlex.split(fleet) if word.startswith("-")} <= known


def test_every_action_is_pinned_to_a_commit(file: Path) -> None:
    """An action is one of the repository, or named by a whole commit hash with its version beside it."""
    for line in re.findall(r"^[ -]*uses: (.*)", file.read_text(), re.MULTILINE):
        own = re.fullmatch(r"\./(\.github/actions/[a-z]+)", line)
        assert own or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
        assert not own or ROOT / SLUG / own[1] / "action.yml" in ACTIONS


def test_no_job_may_do_more_than_is_known(workflow: Path) -> None:
    """The whole file has no permissions; each job has the listed ones, and a time limit."""
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"] == PERMISSIONS[home(workflow), workflow.name, name]
        assert job["timeout-minutes"] <= 180


def test_a_step_is_one_command(file: Path) -> None:
    """No step is a program, and none has anything but variables of its environment put into it."""
    for _, step, _ in steps(file):
        assert len(step.get("run", "").splitlines()) <= 1
        assert "${{" not in step.get("run", "")


def test_a_projects_steps_are_commands_of_a_laptop() -> None:
    """Each is an action, one of make's targets, or one command of gitops-ml with options and variables that it has."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / SLUG / "Makefile").read_text(), re.MULTILINE))
    nouns = tree()
    for path in [*WORKFLOWS, *ACTIONS]:
        for job, step, variables in steps(path) if home(path) == "project" else []:
            where = f"{path.name} {job}: {step.get('run')}"
            if "run" not in step or step["run"].startswith(NO_COMMANDS):
                continue
            program, *words = shlex.split(step["run"])
            if program == "make":
                assert len(words) == 1, where
                assert words[0] in targets, where
                continue
            assert program == "gitops-ml", where
            noun = nouns.get_command(None, words[0])
            assert noun, where
            command = noun.get_command(None, words[1])
            assert command, where
            known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
            assert {word for word in words if word.startswith("-")} <= known, where
            assert set(re.findall(r"\$(\w+)", step["run"])) <= variables, where
            # So that no value is taken apart.
            assert step["run"].count("$") == step["run"].count('"$'), where


def test_only_jobs_that_may_write_nothing_take_packages_from_a_cache() -> None:
    """What one job puts into a cache is run by the next, so none that writes, signs or publishes takes any from it."""
    (setup,) = [path for path in ACTIONS if "cache" in path.read_text()]
    assert yaml.safe_load(setup.read_text())["inputs"]["cache"]["default"] == "false"
    for _, step, _ in steps(setup):
        assert step.get("uses", "").startswith("actions/cache@") == (step.get("if") == "inputs.cache == 'true'")
        assert "cache" not in step.get("with", {})
    found = set()
    for path in WORKFLOWS:
        assert "actions/cache" not in path.read_text()
        found |= {(path.name, job) for job, step, _ in steps(path) if "cache" in step.get("with", {})}
    assert found == CACHED
    for workflow, job in CACHED:
        rights = PERMISSIONS["project", workflow, job]
        assert {what for what, right in rights.items() if right == "write"} <= STORAGE.keys()


def test_what_runs_a_changes_code_has_nothing_to_write_or_sign_with() -> None:
    """For a pull request only `publish` may write, it alone checks out main's code, and no job has the key."""
    path = ROOT / SLUG / ".github/workflows/pull-request.yml"
    content = yaml.safe_load(path.read_text())
    assert "RELEASE_KEY" not in path.read_text()
    assert "secrets" not in str(content["env"])
    for name, job in content["jobs"].items():
        checked_out = job["steps"][0]["with"]["ref"]
        writes = {what for what, right in job["permissions"].items() if right == "write"} - {"id-token"}
        assert bool(writes) == (name == "publish")
        assert ("pull_request.base.sha" in checked_out) == (name == "publish")
        # The storage's settings are all that is secret, and one action is handed them.
        handed = [step for step in job["steps"] if "secrets" in str(step)]
        assert "secrets" not in str(job | {"steps": []})
        assert len(handed) == (name in {"train", "package"})
        for step in handed:
            assert step["uses"] == "./.github/actions/credentials"
            assert step["with"] == {"dvc-config": "${{ secrets.DVC_CONFIG }}"}
    for action in ACTIONS:
        # Beyond its inputs, which stand above, an action takes nothing that is secret.
        assert not re.search(r"secrets\.|github\.token|GITHUB_TOKEN", action.read_text())


def test_what_any_change_starts_with_rights_has_nothing_of_the_change() -> None:
    """Only `trust` is started by pull_request_target; it checks out main alone, and takes and keeps nothing."""
    targeted = [path for path in WORKFLOWS if re.search(r"pull_request_target|workflow_run", path.read_text())]
    assert targeted == [ROOT / SLUG / ".github/workflows/trust.yml"]
    workflow = yaml.safe_load(targeted[0].read_text())
    # A pull request into another branch becomes one into main by an edit.
    kinds = ["opened", "synchronize", "reopened", "edited"]
    assert workflow[True] == {"pull_request_target": {"branches": ["main"], "types": kinds}}
    (job,) = workflow["jobs"].values()
    checkout, setup, said = job["steps"]
    assert checkout["with"] == {"ref": "${{ github.sha }}", "fetch-depth": 0, "persist-credentials": False}
    assert setup == {"uses": "./.github/actions/setup"}
    assert said["run"].startswith("gitops-ml workflow trust ")
    assert "secrets" not in targeted[0].read_text()


def test_deploy_yml_is_the_one_that_stands_on_environments_branches() -> None:
    """A workflow's token may push it there only as long as main has the same bytes, so an update must not change it."""
    content = (ROOT / SLUG / ".github/workflows/deploy.yml").read_bytes()
    assert hashlib.sha256(content).hexdigest() == DEPLOY


@pytest.mark.parametrize(
    ("step", "machine", "said"),
    [
        ("uses: actions/cache@v5", "ubuntu-24.04", "actions/cache@v5 is not pinned"),
        (f"uses: actions/other@{'0' * 40}", "ubuntu-24.04", "actions/other@0+ has no stand-in"),
        ("run: 'true', shell: bash", "another", "unsupported platform"),
    ],
)
def test_what_runs_the_workflows_leaves_nothing_out(tmp_path: Path, step: str, machine: str, said: str) -> None:
    """An action's own actions are held to their pins too, and no job is passed over because of its machine."""
    job = f"{{runs-on: {machine}, steps: [uses: ./.github/actions/own]}}"
    written = {
        "workflows/one.yml": f"on: {{push: }}\njobs: {{one: {job}}}\n",
        "actions/own/action.yml": f"runs: {{using: composite, steps: [{{{step}}}]}}\n",
    }
    for name, text in written.items():
        (tmp_path / "origin/.github" / name).parent.mkdir(parents=True)
        (tmp_path / "origin/.github" / name).write_text(text)
    for command in ("init --quiet --initial-branch=main", "add --all", "commit --quiet --message One"):
        run("git", *command.split(), cwd=tmp_path / "origin")
    github = GitHub(tmp_path / "origin/.git")
    github.pushed("main")
    with pytest.raises(AssertionError, match=said):
        Actions(github, tmp_path, []).answer()
    github.close()
