"""What baking gives: the expected files, nothing left of the template in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ci.bake import bake, variants
from ci.shell import ROOT, run
from tests.conftest import SLUG

EXPECTED = set((ROOT / "tests" / "expected_files.txt").read_text().split())
PACKAGE = f"{SLUG}/vendor/gitops-ml/pyproject.toml"
NOT_OWNED = (".template.json", "uv.lock", "dvc.lock", "requirements/", "data/", "vendor/")
QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text())
VARIABLE = re.compile(rf"cookiecutter\.({'|'.join(QUESTIONS)})")
# The template's own cookiecutter and cruft.
ENV = {"PATH": os.environ["PATH"]}


def documents(text: str) -> list[object]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(text))


PARSERS = {".json": json.loads, ".toml": tomllib.loads, ".yaml": documents, ".yml": documents}


def files_of(project: Path) -> set[str]:
    """The files of a project, relative to it."""
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=variants())
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each named variant, baked."""
    return bake(variants()[request.param], tmp_path_factory.mktemp(request.param))


def test_the_files_are_the_expected_ones_and_no_others(variant: Path) -> None:
    """Every variant has the same set of files."""
    assert files_of(variant) == EXPECTED


def read(path: Path) -> list[str]:
    """The lines of a file that somebody reads; of a notebook those of its cells, not the JSON around them."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text.splitlines()
    return [line for cell in json.loads(text)["cells"] for line in cell["source"]]


def test_a_team_owns_what_it_can_read(baked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a team owns, without locks, exports, data and the vendored package, is at most 110 files and 8,000 lines."""
    owned = [name for name in sorted(files_of(baked)) if not name.startswith(NOT_OWNED)]
    lines = sum(len(read(baked / name)) for name in owned)
    with capsys.disabled():
        print(f"\na team owns {len(owned)} files with {lines:,} lines")
    assert len(owned) <= 110
    assert lines <= 8000


def test_workflows_are_the_same_in_every_project(variant: Path) -> None:
    """What is linted and executed in the template are the very files that each variant gets."""
    own = ROOT / SLUG / ".github"
    names = files_of(own)
    assert "workflows/pull-request.yml" in names
    assert [name for name in names if (variant / ".github" / name).read_bytes() != (own / name).read_bytes()] == []


def test_nothing_of_the_template_is_left(variant: Path) -> None:
    """No file holds a variable of the template, and what was rendered holds no tag of Jinja."""
    for name in EXPECTED:
        assert not VARIABLE.search((variant / name).read_text(errors="replace")), name
    for name in ("LICENSE", "README.md", "project.yaml", ".python-version", ".dvc/config"):
        assert not re.search(r"\{\{|\{%|%\}|\{#", (variant / name).read_text()), name


def test_every_settings_file_parses(variant: Path) -> None:
    """TOML, YAML and JSON files of every variant are valid."""
    parsed = [name for name in EXPECTED if Path(name).suffix in PARSERS]
    assert len(parsed) >= 7
    for name in parsed:
        parsed_file = PARSERS[Path(name).suffix]((variant / name).read_text())
        assert parsed_file
        assert None not in parsed_file


def test_answers_arrive_as_they_were_given(tmp_path: Path) -> None:
    """Quotes, backslashes, tags and letters of any script reach project.yaml unchanged."""
    answers = {
        "project_name": "It's \"quoted\" \\ 'twice'",
        "project_slug": "quoted",
        "description": "a: b # c, <script>alert(1)</script> $(id) `id` %s {x} 日本語 😀 '''\"\"\"",
        "owner": "Some-Org",
        "image_registry": "localhost:5000/a/b",
    }
    project = yaml.safe_load((bake(answers, tmp_path) / "project.yaml").read_text())
    assert project["title"] == answers["project_name"]
    assert project["description"] == answers["description"]
    assert project["image"] == "localhost:5000/a/b/quoted"


@pytest.mark.parametrize(
    ("answer", "url"),
    [
        ("s3://bucket/path", "s3://bucket/path"),
        ("/srv/dvc", "/srv/dvc"),
        ("~/dvc", "~/dvc"),
        ("../shared", "../../shared"),
    ],
)
def test_the_storage_is_where_the_answer_says(tmp_path: Path, answer: str, url: str) -> None:
    """URLs and absolute folders are kept; a folder relative to the project is written as DVC reads it."""
    config = (bake({"dvc_remote": answer}, tmp_path) / ".dvc" / "config").read_text()
    assert f"    url = {url}\n" in config


@pytest.mark.parametrize("license_name", ["Apache-2.0", "MIT", "BSD-3-Clause", "Proprietary"])
def test_each_license_is_whole(tmp_path: Path, license_name: str) -> None:
    """The license's text names its owner and is the one asked for."""
    text = (bake({"license": license_name, "owner": "acme"}, tmp_path) / "LICENSE").read_text()
    first = {"Apache-2.0": "Apache License", "MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause License"}
    assert text.split("\n", 1)[0].strip() == first.get(license_name, "Copyright (c) acme. All rights reserved.")
    assert "acme" in text


def test_a_bake_is_repeatable(tmp_path: Path, baked: Path) -> None:
    """Two bakes with the same answers are the same to the byte."""
    again = bake({}, tmp_path)
    for name in EXPECTED:
        assert (again / name).read_bytes() == (baked / name).read_bytes(), name


@pytest.mark.parametrize("source", ["path", "git URL"])
def test_the_command_line_bakes_from_a_path_and_from_git(template: Path, tmp_path: Path, source: str) -> None:
    """`cookiecutter PATH` and `cookiecutter URL` give the same project."""
    location = str(template) if source == "path" else template.as_uri()
    home = tmp_path / "home"
    home.mkdir()
    env = ENV | {"HOME": str(home)}
    run("cookiecutter", location, "--no-input", "--output-dir", str(tmp_path), cwd=tmp_path, env=env)
    assert files_of(tmp_path / "late-flights") == EXPECTED


def test_cruft_creates_a_project_that_can_be_updated(template: Path, tmp_path: Path) -> None:
    """`cruft create` gives the project and remembers its template; `cruft check` finds it up to date."""
    env = ENV | {"HOME": str(tmp_path)}
    run("cruft", "create", template.as_uri(), "--no-input", "--output-dir", str(tmp_path), cwd=tmp_path, env=env)
    project = tmp_path / "late-flights"
    assert files_of(project) == EXPECTED | {".cruft.json"}
    assert "up to date" in run("cruft", "check", cwd=project, env=env)


def test_cruft_leaves_data_and_settings_alone(template: Path, tmp_path: Path) -> None:
    """Whatever the template does to its example, `cruft update` changes neither a team's table nor its settings."""
    env = ENV | {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": os.devnull}
    moving, project = tmp_path / "template", tmp_path / "late-flights"
    run("git", "clone", "--quiet", str(template), str(moving), cwd=tmp_path)
    run("cruft", "create", str(moving), "--no-input", "--output-dir", str(tmp_path), cwd=tmp_path, env=env)
    own = ("data/raw/2013-01.parquet", "schema.yaml", "params.yaml", "project.yaml", "dvc.lock", ".dvc/config")
    for name in own:
        (project / name).write_text("ours\n")
    run("git", "init", "--quiet", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "Ours", cwd=project)
    for name in (*own, "deploy/Dockerfile"):
        (moving / SLUG / name).write_text("theirs\n")
    run("git", "add", "--all", "--force", cwd=moving)
    run("git", "commit", "--quiet", "--message", "Theirs", cwd=moving)
    run("cruft", "update", "--skip-apply-ask", cwd=project, env=env)
    assert (project / "deploy/Dockerfile").read_text() == "theirs\n"
    assert {(project / name).read_text() for name in own} == {"ours\n"}


def test_a_project_knows_what_it_was_made_from(template: Path, tmp_path: Path) -> None:
    """cookiecutter and cruft write down template, commit, version, answers and the bake's hash, and nothing secret."""
    commit = run("git", "rev-parse", "HEAD", cwd=template).strip()
    env = ENV | {"HOME": str(tmp_path)}
    run("cookiecutter", str(template), "--no-input", "--output-dir", str(tmp_path / "a"), cwd=tmp_path, env=env)
    run("cruft", "create", str(template), "--no-input", "--output-dir", str(tmp_path / "b"), cwd=tmp_path, env=env)
    one, other = ((tmp_path / each / "late-flights/.template.json").read_bytes() for each in "ab")
    assert one == other
    written = json.loads(one)
    assert (written["template"], written["commit"]) == (str(template), commit)
    assert written["answers"]["project_slug"] == "late-flights"
    assert written["version"] == tomllib.loads((template / PACKAGE).read_text())["project"]["version"]
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", str(template), str(clone), cwd=tmp_path)
    run("git", "remote", "set-url", "origin", "https://me:secret@example.org/t.git", cwd=clone)
    run("cookiecutter", str(clone), "--no-input", "--output-dir", str(tmp_path / "c"), cwd=tmp_path, env=env)
    shared = json.loads((tmp_path / "c/late-flights/.template.json").read_text())
    assert shared == written | {"template": "https://example.org/t.git"}


def test_a_project_has_the_python_that_generates_it(template: Path, tmp_path: Path) -> None:
    """Offered first is the Python that runs cookiecutter, as far as it can be chosen; the others can be chosen, too."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    choices = json.loads((template / "cookiecutter.json").read_text())["python_version"]
    assert own in choices
    for version in choices:
        baked = bake({"python_version": version}, tmp_path / version)
        assert (baked / ".python-version").read_text() == f"{version}\n"
    assert (bake({}, tmp_path) / ".python-version").read_text() == f"{own}\n"


def test_a_python_that_no_project_can_have_is_not_offered(template: Path, tmp_path: Path) -> None:
    """An interpreter that is too old or too new changes nothing in what is offered."""
    for version in ((3, 9), (4, 0)):
        questions = shutil.copy(template / "cookiecutter.json", tmp_path)
        pretending = (
            f"import sys, types; sys.version_info = types.SimpleNamespace(major={version[0]}, minor={version[1]})"
        )
        code = f"{pretending}\nexec(open({str(template / 'hooks/pre_prompt.py')!r}).read())"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        offered = json.loads(Path(questions).read_text())
        assert offered == json.loads((template / "cookiecutter.json").read_text())


def test_the_project_holds_no_variable_where_it_runs(template: Path) -> None:
    """Python, workflows, the pipeline and the lock hold no variable of the template, so that they run unbaked."""
    unrendered = ["*.py", "*.yml", "dvc.yaml", "params.yaml", "schema.yaml", "pyproject.toml", "uv.lock", "Makefile"]
    found = [path for pattern in unrendered for path in (template / SLUG).rglob(pattern)]
    assert len(found) > 30
    assert not [path for path in found if VARIABLE.search(path.read_text())]
