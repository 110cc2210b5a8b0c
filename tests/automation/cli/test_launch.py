"""Whose automation runs: that of the repository in which the command stands, whatever is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.automation.tables import PROJECT

VENDOR = Path("vendor/gitops-ml")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of the tests, in which the template's own copy is installed, in a folder."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=clean, capture_output=True, text=True, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a copy of the automation of its own."""
    shutil.copytree(PROJECT / VENDOR, tmp_path / VENDOR, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "project.yaml", tmp_path)
    shutil.copytree(PROJECT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("command", ["gitops_ml", "ci"])
def test_the_code_of_the_repository_around_runs(repository: Path, command: str) -> None:
    """A command, also one forwarded from `-m ci`, is that of the repository in which it stands."""
    shutil.copytree(PROJECT / "ci", repository / "ci", ignore=shutil.ignore_patterns("__pycache__"))
    main = repository / VENDOR / "gitops_ml/cli/main.py"
    main.write_text(main.read_text() + '\n\ndef main() -> int:\n    print("the repository\'s own")\n    return 7\n')
    done = run(repository, "-m", command, "deploy", "staging")
    assert (done.returncode, done.stdout) == (7, "the repository's own\n")


def test_a_copy_without_updates_is_updated_by_the_one_that_was_called(repository: Path) -> None:
    """A project whose automation is from before there were updates gets them; every other command is its own."""
    main = repository / VENDOR / "gitops_ml/cli/main.py"
    main.write_text(main.read_text() + "\n\ndef main() -> int:\n    return 7\n")
    assert run(repository, "-m", "gitops_ml", "repo", "update", "--help").returncode == 7
    shutil.rmtree(repository / VENDOR / "gitops_ml/update")
    done = run(repository, "-m", "gitops_ml", "repo", "update", "--help")
    assert done.returncode == 0
    assert "Propose the template's newer version" in done.stdout
    assert run(repository, "-m", "gitops_ml", "repo", "doctor").returncode == 7


def test_a_folder_of_a_project_is_not_taken_for_it(repository: Path) -> None:
    """In a folder of a project a command says where to run it, and helps all the same."""
    done = run(repository / "pipeline", "-m", "gitops_ml", "env", "status")
    assert done.returncode == 1
    assert done.stderr == f"error: {repository}/pipeline is a folder of the project {repository}; run this there\n"
    assert run(repository / "pipeline", "-m", "gitops_ml", "env", "--help").returncode == 0


def test_what_is_installed_is_not_looked_at(repository: Path) -> None:
    """A module that both have is the repository's, with the packages of `pipeline` that stand around it."""
    (repository / VENDOR / "gitops_ml/core/errors.py").write_text("raise RuntimeError('the repository is broken')\n")
    done = run(repository, "-m", "gitops_ml", "env", "status")
    assert "the repository is broken" in done.stderr
    assert run(PROJECT, "-m", "gitops_ml", "--help").returncode == 0


def test_what_is_installed_is_not_replaced(repository: Path, tmp_path: Path) -> None:
    """A module of the project cannot stand in for a package, and no package for the project's own `pipeline`."""
    for name in ("httpx.py", "json/__init__.py", "more.py", "site/pipeline.py", "site/service.py"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(f"print({name!r})\n")
    looks = (
        f"import sys; sys.path.append('{repository}/site')\n"
        "from pathlib import Path; from gitops_ml import launch\n"
        "launch._stand_in(Path.cwd())\n"
        "import httpx, json, pipeline.metrics, more\n"
        "print(pipeline.metrics.__file__)"
    )
    done = run(repository, "-c", looks)
    assert done.stdout.splitlines() == ["more.py", f"{repository}/pipeline/metrics.py"], done.stderr


def test_outside_of_any_repository_the_command_still_helps(tmp_path: Path) -> None:
    """Where there is no project around, help is there, and a command says where to run it."""
    assert run(tmp_path, "-m", "gitops_ml", "--help").returncode == 0
    done = run(tmp_path, "-m", "gitops_ml", "watch", "monitor")
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} is in no project; run this in the folder of one\n"


def test_help_loads_nothing_slow() -> None:
    """What a command does not need is not loaded: help and completion come at once."""
    script = (
        "import sys; sys.argv = ['gitops-ml', 'env', '--help']\n"
        "from gitops_ml.launch import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ['numpy', 'sklearn', 'scipy', 'dvc', 'bentoml']\n"
        "print([name for name in heavy if name in sys.modules], 'pandas.core' in sys.modules)"
    )
    done = run(PROJECT, "-c", script)
    assert done.stdout.splitlines()[-1] == "[] False"


@pytest.mark.parametrize(
    ("word", "usage"),
    [
        ("deploy", "host deploy"),
        ("stop", "host stop"),
        ("predictions", "watch predictions"),
        ("monitor", "watch monitor"),
    ],
)
def test_words_of_version_0_1_are_forwarded(word: str, usage: str) -> None:
    """What hosts of version 0.1 say as `python -m ci` is the command of now."""
    done = run(PROJECT, "-m", "ci", word, "--help")
    assert f"Usage: gitops-ml {usage}" in done.stdout


LOOKS = """
from gitops_ml.cli import lazy
lazy.install()
import sys
from gitops_ml.report import card
for module in list(sys.modules.values()):
    for name in ("__file__", "__wrapped__", "add"):
        getattr(module, name, None)
print(type(card).__name__, "pandas.core" in sys.modules)
from pandas.errors import ParserError
import pandas as pd
print(pd.errors.ParserError is ParserError)
print(card.build.__name__, type(card).__name__)
"""


def test_a_module_is_loaded_once_and_only_when_it_is_used() -> None:
    """Looking through all modules loads none of ours; a part of a package that is imported first is that package's."""
    said = run(PROJECT, "-c", f"import sys; sys.path.insert(0, '.')\n{LOOKS}").stdout.splitlines()
    assert said == ["_Unloaded False", "True", "build module"]
