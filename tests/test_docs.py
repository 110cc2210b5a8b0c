"""The documentation names what there is, and nothing else; so does whatever gives advice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from gitops_ml.cli.main import tree
from gitops_ml.core.project import Project
from pipeline.params import Params
from pipeline.schema import Column, Schema
from pydantic import BaseModel
from typer.core import TyperGroup

from ci.shell import ROOT, run
from tests.conftest import SLUG

PROJECT = ROOT / SLUG
FOLDERS = [ROOT, PROJECT]
PAGES = sorted((PROJECT / "docs").glob("*.md"))
COPIED = [PROJECT / "AGENTS.md", *PAGES]
MATURITY = PROJECT / "vendor" / "gitops-ml" / "docs" / "maturity.md"
CHANGELOG = ROOT / "CHANGELOG.md"
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    PROJECT / "README.md",
    *COPIED,
    PROJECT / "deploy" / "branch" / "README.md",
    PROJECT / "vendor" / "gitops-ml" / "README.md",
    *sorted((PROJECT / "vendor" / "gitops-ml" / "docs").glob("*.md")),
]
# What tells people what to do beside the documents: messages, comments, workflows.
PLACES = """
*.yaml *.toml CODEOWNERS Makefile .git* .pre-commit-config.yaml .github/**/*.yml
ci/*.py deploy/**/* pipeline/**/*.py service/*.py tests/**/*.py
vendor/**/*.py vendor/**/templates/* vendor/gitops-ml/pyproject.toml
"""
ADVISERS = sorted(
    path
    for pattern in PLACES.split()
    for path in PROJECT.glob(pattern)
    if path.is_file() and path not in DOCUMENTS and "__pycache__" not in path.parts
) + sorted((ROOT / "ci").rglob("*.py"))
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
MAKE = re.compile(r"\bmake((?: +[a-z][a-z-]*(?![\w.=/:-]))+)")
GITOPS = re.compile(r"\bgitops-ml(?: +([a-z]+))?(?: +([a-z]+))?([^`\n]*)")


def place(path: Path) -> str:
    """A path as a test is called by it."""
    return f"project/{path.relative_to(PROJECT)}" if path.is_relative_to(PROJECT) else str(path.relative_to(ROOT))


def targets(folder: Path) -> set[str]:
    """The make targets that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", (folder / "Makefile").read_text(), flags=re.MULTILINE))


@cache
def every_target() -> frozenset[str]:
    """All make targets of template and project, those for workflows too."""
    texts = [(folder / "Makefile").read_text() for folder in FOLDERS]
    return frozenset(chain(*(re.findall(r"^([a-z-]+):(?!=)", text, flags=re.MULTILINE) for text in texts)))


@cache
def commands() -> dict[tuple[str, str], Any]:
    """Every command of gitops-ml, by noun and verb; one that has no verb by itself."""
    whole = tree()
    nouns = {noun: group for noun, group in whole.commands.items() if isinstance(group, TyperGroup)}
    return {
        (noun, verb): group.get_command(None, verb)
        for noun, group in nouns.items()
        for verb in group.list_commands(None)
    } | {(name, ""): command for name, command in whole.commands.items() if name not in nouns}


def wrong(text: str) -> Iterator[str]:
    """The commands in a piece of code that do not exist, or lack an option that is named."""
    for named in MAKE.finditer(text):
        yield from (f"make {word}" for word in named[1].split() if word not in every_target())
    for noun, word, rest in GITOPS.findall(text):
        if not noun:
            continue
        # What follows a command without verbs is an argument.
        verb = "" if (noun, "") in commands() else word
        if noun not in {known for known, _ in commands()} or (verb and (noun, verb) not in commands()):
            yield f"gitops-ml {noun} {verb}"
        elif (noun, verb) in commands() and not commands()[noun, verb].context_settings.get("ignore_unknown_options"):
            known = set(chain(*(each.opts + each.secondary_opts for each in commands()[noun, verb].params))) | {
                "--help"
            }
            # Of several commands in a line, the options of the last one are its own.
            said = re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.split(r"&&|\||;", rest)[0])
            yield from (f"gitops-ml {noun} {verb} {option}" for option in said if option not in known)


def code(text: str) -> Iterator[str]:
    """What a document shows as code: fenced blocks, then spans."""
    yield from re.findall(r"^ *```sh\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", spans))


def current(document: Path) -> str:
    """The text of a document; of the changelog, without what had other names then."""
    text = document.read_text()
    if document != CHANGELOG:
        return text
    newest = text.split("\n## ")[1]
    return re.sub(r"^\| [^|]*\|", "|", newest, flags=re.MULTILINE)


def test_every_make_target_is_documented_and_no_other() -> None:
    """The tables of commands, in the template's README and in the project's pages, are exactly what make offers."""
    for folder, page in ((ROOT, ROOT / "README.md"), (PROJECT, PROJECT / "docs" / "commands.md")):
        listed = re.findall(r"^\| `make ([a-z-]+)` \|", page.read_text(), flags=re.MULTILINE)
        assert len(listed) == len(set(listed))
        assert set(listed) == targets(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=["template", "project"])
def test_help_lists_every_target(folder: Path) -> None:
    """`make help` shows each target with what it does."""
    shown = re.findall(r"^  make ([a-z-]+) +\S", run("make", "help", cwd=folder), flags=re.MULTILINE)
    assert sorted(shown) == sorted(targets(folder))


def test_the_everyday_commands_of_a_project_fit_on_a_screen() -> None:
    """A project has about fifteen of them, and its README names each."""
    listed = targets(PROJECT)
    assert len(listed) <= 20
    assert len(run("make", "help", cwd=PROJECT).splitlines()) <= 40
    readme = (PROJECT / "README.md").read_text()
    assert [name for name in listed if f"`{name}`" not in readme and f"`make {name}`" not in readme] == []


def test_every_command_is_documented() -> None:
    """Each command of gitops-ml stands in the project's page of commands, those that only workflows call too."""
    text = (PROJECT / "docs" / "commands.md").read_text()
    assert [" ".join(command) for command in commands() if f"`gitops-ml {' '.join(command).strip()}`" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=place)
def test_commands_in_the_text_exist(document: Path) -> None:
    """Every `make something` and `gitops-ml noun verb --option` in a document exists."""
    assert [each for piece in code(current(document)) for each in wrong(piece)] == []


@pytest.mark.parametrize("path", ADVISERS, ids=place)
def test_advice_names_commands_that_exist(path: Path) -> None:
    """No message, comment or workflow tells anybody to run what does not exist."""
    # A sentence that goes on in the next line, or in its literal.
    text = path.read_text()
    sentences = re.sub(r"\s*\n[\s#]*", " ", re.sub(r"\"\n\s*f?\"", "", text) if path.suffix == ".py" else text)
    told = r"`((?:make|gitops-ml)\s[^`]{1,200})`|[\"(](make [a-z-]+)[\")]|then: (make(?: [a-z-]+)+)\""
    said = re.findall(told, sentences)
    steps = re.findall(r"^ *(?:- )?run: (?:>\s*)?(.*)$", text, flags=re.MULTILINE) if path in WORKFLOWS else []
    assert [each for piece in chain(*said, steps) for each in wrong(piece)] == []


def test_the_changelog_says_what_became_of_each_command() -> None:
    """What a renamed command is called now exists, and what it was called does not."""
    rows = re.findall(r"^\| `make ([a-z-]+)[^|]*\| ([^|]*) \|$", CHANGELOG.read_text(), flags=re.MULTILINE)
    assert len(rows) > 20
    for old, new in rows:
        assert old not in targets(PROJECT)
        assert [each for span in re.findall(r"`([^`]+)`", new) for each in wrong(span)] == []


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


def leaves(form: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The settings of a form, by their dotted names."""
    for name, field in form.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        yield from leaves(inner[0], f"{prefix}{name}.") if inner else [prefix + name]


def test_every_setting_is_documented_and_no_other() -> None:
    """The project's page of settings lists what project.yaml and params.yaml may say, and the words of schema.yaml."""
    text = (PROJECT / "docs" / "settings.md").read_text()
    sections = {part.split("\n")[0]: part for part in text.split("\n## ")[1:]}
    for name, form in (("project.yaml", Project), ("params.yaml", Params)):
        cells = re.findall(r"^\| (`.*?) \|", sections[name], flags=re.MULTILINE)
        assert sorted(re.findall(r"`([a-z_.]+)`", " ".join(cells))) == sorted(leaves(form))
    words = {"task", "dropped", "columns", *Column.model_fields}
    assert set(Schema.model_fields) <= words
    assert words - set(re.findall(r"`([a-z_]+)`", sections["schema.yaml"])) == set()


def test_every_jobs_rights_are_documented() -> None:
    """The page for platform engineers says of each job what its token may do, as the workflow does."""
    text = (PROJECT / "docs" / "platform-engineers.md").read_text()
    said = {}
    for jobs, rights in re.findall(r"^\| ([a-z-]+: [^|`]*) \| ([^|`]*: [^|`]*) \|", text, flags=re.MULTILINE):
        for each in jobs.split("; "):
            workflow, _, names = each.partition(": ")
            said |= {(workflow, name): set(rights.split(", ")) for name in names.split(", ")}
    meant = {
        (path.stem, name): {f"{scope}: {right}" for scope, right in job["permissions"].items()}
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    }
    assert said == meant


def test_every_secret_and_variable_of_the_workflows_is_documented() -> None:
    """Whoever sets a repository up reads of each secret and variable that its workflows use."""
    text = (PROJECT / "docs" / "platform-engineers.md").read_text()
    used = {name for path in WORKFLOWS for name in re.findall(r"\b(?:vars|secrets)\.([A-Z_]+)", path.read_text())}
    assert {name for name in used if f"`{name}`" not in text} == set()


def test_the_projects_example_request_fits_its_schema() -> None:
    """The curl line of the project's README sends exactly the columns that the service asks for."""
    text = (PROJECT / "README.md").read_text()
    body = re.search(r"-d '(\{.*?\}\})'", text, flags=re.DOTALL)
    assert body
    columns = yaml.safe_load((PROJECT / "schema.yaml").read_text())["columns"]
    features = [name for name, column in columns.items() if column.get("role", "feature") == "feature"]
    assert set(json.loads(body[1])["row"]) == set(features)


def anchors(document: Path) -> set[str]:
    """What a link may name in a document, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=place)
def test_places_named_in_the_text_exist(document: Path) -> None:
    """A relative link leads to a file, and to a heading of it."""
    for link, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", document.read_text()):
        target = document.parent / link.replace("%7B", "{").replace("%7D", "}") if link else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


@pytest.mark.parametrize("document", [PROJECT / "README.md", *COPIED, MATURITY], ids=place)
def test_files_named_in_the_text_exist(document: Path) -> None:
    """A path of the project that a page names is there; `make init` makes the key."""
    rooted = re.compile(r"(?:\.github|ci|deploy|docs|pipeline|requirements|service|tests|vendor)/[\w.@*/-]*")
    named = {span for span in re.findall(r"`([^`\s]+)`", document.read_text()) if rooted.fullmatch(span)}
    made = {"deploy/release.pub"}
    assert [path for path in named - made if "NAME" not in path and not list(PROJECT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("document", [MATURITY.with_name("security.md"), MATURITY], ids=place)
def test_what_shows_that_something_is_so_exists(document: Path) -> None:
    """Each test that the pages on security and maturity name is one."""
    tests = [*(ROOT / "tests").rglob("test_*.py"), *(PROJECT / "tests").rglob("test_*.py")]
    known = set(re.findall(r"^def (test_\w+)", "\n".join(path.read_text() for path in tests), re.MULTILINE))
    named = re.findall(r"`(test_\w+)`", document.read_text())
    assert named
    assert [name for name in named if name not in known] == []


def test_the_score_of_maturity_is_the_sum_of_its_answers() -> None:
    """Seven questions of each part are answered by 0, 0.5 or 1, with what shows it or that it is missing."""
    text = MATURITY.read_text()
    parts = re.findall(r"^## (\w+): ([\d.]+) of 7\n(.*?)(?=^## )", text, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _, _ in parts] == ["Data", "Model", "Infrastructure", "Monitoring"]
    for name, claimed, part in parts:
        rows = re.findall(r"^\| (\d) \| .+? \| (0|0\.5|1) \| (.+) \|$", part, flags=re.MULTILINE)
        assert [number for number, _, _ in rows] == list("1234567"), name
        assert sum(float(score) for _, score, _ in rows) == float(claimed), name
        assert all("`test_" in shown or (score == "0" and "issing" in shown) for _, score, shown in rows), name
    least = min(float(claimed) for _, claimed, _ in parts)
    assert f"The score is **{least:g}**" in text


def test_the_documents_are_as_short_as_they_promise() -> None:
    """A project's README is a page, what assistants read is short, and the pages together can be read in an hour."""
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 120
    assert len((PROJECT / "AGENTS.md").read_text().splitlines()) <= 60
    assert sum(len(page.read_text().splitlines()) for page in PAGES) < 750


@pytest.mark.parametrize("document", COPIED, ids=place)
def test_pages_that_are_copied_hold_no_variable(document: Path) -> None:
    """Only the README is rendered; what is copied as it is says the same in every project."""
    assert "{{" not in document.read_text()
    assert "{%" not in document.read_text()


def test_ci_runs_the_readmes_test_command() -> None:
    """What CI calls is the command that the README gives."""
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
