"""What the tests share: one template as Git hands it out, and one project that has gone the whole way once."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ci import shell
from ci.bake import bake, export
from ci.shell import KEYS, ROOT, environment, of_a_hook, run

# Whoever runs the tests keeps their repository, also if a hook of it does, their keys and their settings of Git.
for name in filter(of_a_hook, list(os.environ)):
    del os.environ[name]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **KEYS}

SLUG = "{{cookiecutter.project_slug}}"
# The uv that runs the tests serves the projects too; the demo shows that they can install their own.
UV = {"UV": os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")}
# Of a project's own tests, what a variant's answers can change: not the table, and so not what is learned from it.
OF_THESE_ANSWERS = "TESTS=--ignore=tests/model"


def make(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run make in a project, with the uv that runs the tests; `env` adds to the environment."""
    return shell.make(*arguments, cwd=cwd, env=UV | dict(env or {}))


def gitops(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run the automation's command in a project; `env` adds to the environment."""
    return shell.gitops(*arguments, cwd=cwd, env=UV | dict(env or {}))


def tool(
    project: Path, *command: str, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the project's own environment in the project; `env` adds to the environment."""
    bin_folder = project / ".venv" / "bin"
    whole = {**environment(), **KEYS, "DVC_NO_ANALYTICS": "true", **(env or {})}
    whole["PATH"] = f"{bin_folder}{os.pathsep}{whole['PATH']}"
    return subprocess.run(
        [str(bin_folder / command[0]), *command[1:]],
        cwd=project,
        env=whole,
        check=check,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a Git repository with one commit, uncommitted changes included."""
    folder = export(tmp_path_factory.mktemp("template") / "cookiecutter-gitops-ml")
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    # The data is ignored by the project's own rules, and is part of the template.
    run("git", "add", "--all", "--force", cwd=folder)
    run("git", "commit", "--quiet", "--message", "The template", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with its whole history, and one commit with what is not committed here."""
    folder = tmp_path_factory.mktemp("history") / "cookiecutter-gitops-ml"
    run("git", "clone", "--quiet", "--shared", str(ROOT), str(folder), cwd=ROOT)
    run("git", "rm", "--quiet", "-r", ".", cwd=folder)
    export(folder)
    run("git", "add", "--all", "--force", cwd=folder)
    run("git", "commit", "--quiet", "--allow-empty", "--message", "The template", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with default answers, as cookiecutter leaves it."""
    return bake({}, tmp_path_factory.mktemp("baked"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """What `make setup` installs: one environment for all workers, since all projects have the same lock.

    That each variant installs its own is tested where that matters; it takes half a minute, first imports included.
    """
    own = tmp_path_factory.getbasetemp()
    folder = own if worker_id == "master" else own.parent
    project, done = folder / "installed" / "late-flights", folder / "installed.done"
    with (folder / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make("setup", cwd=bake({}, project.parent))
            done.touch()
    return project / ".venv"


@pytest.fixture(autouse=True)
def shared(request: pytest.FixtureRequest) -> Iterator[None]:
    """Name the test that installs something in the environment that others use at the same time."""
    yield
    if "installed" in request.fixturenames:
        environment: Path = request.getfixturevalue("installed")
        (linked,) = environment.glob("lib/python*/site-packages/gitops_ml.pth")
        said = "this test installed its own project in the environment of all: give it an environment of its own"
        assert Path(linked.read_text().strip()) == environment.parent / "vendor" / "gitops-ml", said


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Path:
    """A project that was committed, trained, committed again and pushed to its storage."""
    project = bake({}, tmp_path_factory.mktemp("trained"))
    (project / ".venv").symlink_to(installed)
    for target in ("init", "repro"):
        make(target, cwd=project)
    run("git", "commit", "--quiet", "--message", "Train", cwd=project)
    make("push", cwd=project)
    return project


def clone(project: Path, into: Path) -> Path:
    """Clone a project; the clone shares the environment, since both have the same lock."""
    run("git", "clone", "--quiet", str(project), str(into), cwd=project)
    (into / ".venv").symlink_to(project / ".venv")
    return into


@pytest.fixture
def colleague(trained: Path, tmp_path: Path) -> Path:
    """A fresh clone of the trained project, with the data and outputs that its lock names."""
    project = clone(trained, tmp_path / "clone")
    make("pull", cwd=project)
    return project


def april(into: Path) -> None:
    """The batch of April, which the template does not train on, as one more raw file."""
    shutil.copy(ROOT / "ci" / "batches" / "2013-04.parquet", into / "data" / "raw")
