"""The documentation names what there is, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ci.shell import ROOT, run
from tests.conftest import SLUG

FOLDERS = [ROOT, ROOT / SLUG]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / SLUG / "README.md"]


def targets(folder: Path) -> set[str]:
    """The make targets that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", (folder / "Makefile").read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("folder", FOLDERS, ids=["template", "project"])
def test_every_make_target_is_documented_and_no_other(folder: Path) -> None:
    """The README's table of commands is exactly what the Makefile offers."""
    listed = re.findall(r"^\| `make ([a-z-]+)` \|", (folder / "README.md").read_text(), flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == targets(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=["template", "project"])
def test_help_lists_every_target(folder: Path) -> None:
    """`make help` shows each target with what it does."""
    shown = set(re.findall(r"^  make ([a-z-]+) +\S", run("make", "help", cwd=folder), flags=re.MULTILINE))
    phony = re.findall(r"^\.PHONY: (.*)$", (folder / "Makefile").read_text(), flags=re.MULTILINE)
    # These are steps of `make test`.
    assert shown == set(" ".join(phony).split()) - {"browser", "containers"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_text_exist(document: Path) -> None:
    """Every `make something` in a document is a target of the template or of the project."""
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", document.read_text(), flags=re.MULTILINE))
    assert named <= targets(ROOT) | targets(ROOT / SLUG)


def test_every_prompt_is_documented_and_no_other() -> None:
    """The README's table of prompts is what cookiecutter.json asks, and each has a question of its own."""
    settings = json.loads((ROOT / "cookiecutter.json").read_text())
    asked = [name for name in settings if not name.startswith("_")]
    assert re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE) == asked
    assert list(settings["__prompts__"]) == asked


def test_the_prompts_choices_are_documented() -> None:
    """Each license and each Python version that can be chosen stands in the README."""
    settings = json.loads((ROOT / "cookiecutter.json").read_text())
    text = (ROOT / "README.md").read_text()
    for choice in [*settings["license"], *settings["python_version"]]:
        assert choice in text


def test_the_projects_example_request_fits_its_schema() -> None:
    """The curl line of the project's README sends exactly the columns that the service asks for."""
    text = (ROOT / SLUG / "README.md").read_text()
    body = re.search(r"-d '(\{.*?\}\})'", text, flags=re.DOTALL)
    assert body
    columns = yaml.safe_load((ROOT / SLUG / "schema.yaml").read_text())["columns"]
    features = [name for name, column in columns.items() if column.get("role", "feature") == "feature"]
    assert set(json.loads(body[1])["row"]) == set(features)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_places_named_in_the_text_exist(document: Path) -> None:
    """A relative link leads to a file."""
    for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", document.read_text()):
        assert (document.parent / link.replace("%7B", "{").replace("%7D", "}")).exists(), link


def test_ci_runs_the_readmes_test_command() -> None:
    """What CI calls is the command that the README gives."""
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
