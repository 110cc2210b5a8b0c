"""Existing repositories become projects: on a branch, with nothing of theirs overwritten or moved."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from gitops_ml.adoption import adopt, laying, unite
from gitops_ml.core.errors import UserError
from gitops_ml.update import update
from gitops_ml.versions.git import Git

from tests.automation.tables import PROJECT
from tests.automation.update.conftest import NOW, Versions, newer
from tests.automation.update.kills import kills
from tests.automation.world import git

pytestmark = pytest.mark.xdist_group("update-merge")
MAKEFILE = """.PHONY: data clean
SRC = src
data: requirements.txt
\tpython -m src.data
clean:
\trm -rf build
"""
# As cookiecutter-data-science lays one out, with its .gitignore.
SCIENCE = {
    ".gitignore": "__pycache__/\n/data/\n/models/*.pkl\n*.lock\n",
    "LICENSE": "The MIT License (MIT)\n",
    "Makefile": MAKEFILE,
    "README.md": "# Churn\n\nWho leaves us, and when.\n",
    "requirements.txt": "pandas\n",
    "data/raw/.gitkeep": "",
    "models/.gitkeep": "",
    "reports/figures/.gitkeep": "",
    "notebooks/1.0-look.ipynb": "{}",
    "src/__init__.py": "",
    "src/data.py": 'import os,sys\nprint( "data" )\n',
}
# With a pipeline of its own.
PIPELINE = {
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvc/config": "[core]\n    remote = ours\n['remote \"ours\"']\n    url = ../../our storage\n",
    ".dvcignore": "scratch\n",
    "clean.py": "print('clean')\n",
    "dvc.yaml": "# Ours.\nstages:\n  clean: # first\n    cmd: python clean.py\n    deps: [clean.py]\n",
    "dvc.lock": "schema: '2.0'\nstages:\n  clean:\n    cmd: python clean.py\n",
}
SCRIPT = {"explore.py": "import pandas\nprint( 1 )\n", "customers.csv": "age,churned\r\n1,0\r\n"}


def repository(folder: Path, files: Mapping[str, str]) -> Path:
    """A repository with files, also those that its .gitignore names."""
    root = folder / "churn-model"
    git(folder, "init", "--quiet", "--initial-branch=main", root.name)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "Ours")
    return root


def table(path: Path) -> Path:
    """A table from which something can be learned."""
    drawn = random.Random(0)  # noqa: S311
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "plan", "calls", "churned"])
        for _ in range(400):
            calls = drawn.randint(0, 9)
            writer.writerow([drawn.randint(18, 80), drawn.choice("abc"), calls, int(drawn.random() < calls / 10)])
    return path


def state(root: Path) -> tuple[str, ...]:
    """What its owner would notice."""
    return (
        git(root, "rev-parse", "HEAD"),
        git(root, "symbolic-ref", "-q", "HEAD"),
        git(root, "status", "--porcelain", "--ignored"),
        git(root, "for-each-ref", "refs/heads/main"),
    )


def run(root: Path, source: Path, **said: object) -> adopt.Adopting:
    """Adopt a repository; what is checked out stays as it is."""
    before = state(root)
    done = adopt.adopt(root, adopt.Wish.model_validate({"source": str(source), **said}))
    assert state(root) == before
    return done


def kept(root: Path, files: Mapping[str, str]) -> set[str]:
    """Those of its files that the branch has to the byte."""
    here = Git(root)
    return {path for path, text in files.items() if here.read(adopt.BRANCH, path) == text.encode()}


def test_a_data_science_project_keeps_its_files_and_is_updated_afterwards(history: Path, tmp_path: Path) -> None:
    """Its table is taken in, README and Makefile stay, and a newer version changes only what lies beside them."""
    root = repository(tmp_path, SCIENCE)
    data = table(root / "data/external/customers.csv")
    done = run(root, history, data=data.relative_to(root), target="churned", answers={"owner": "acme"})
    assert kept(root, SCIENCE) == set(SCIENCE) - {".gitignore", "data/raw/.gitkeep"}
    assert (done.answers["description"], done.answers["license"]) == ("Who leaves us, and when.", "Proprietary")
    assert done.verified.sentence.startswith("nothing verified: vendor/gitops-ml/template.pub on main holds no key")
    git(root, "switch", "--quiet", adopt.BRANCH)
    assert yaml.safe_load((root / "schema.yaml").read_text())["columns"]["churned"]["role"] == "target"
    assert (root / ".gitignore").read_text().startswith(SCIENCE[".gitignore"])
    wanted = ["data/raw.dvc", "dvc.lock", "uv.lock", "reports/figures/new.png", "vendor/gitops-ml/MANIFEST.sha256"]
    assert laying._ignored(Git(root), [*wanted, "data/external/customers.csv"]) == ["data/external/customers.csv"]
    assert Repo(str(root)).find_outs_by_path(str(root / "data/raw"))
    assert list((tmp_path / "churn-model-dvc/files/md5").rglob("*.dir"))
    listed = subprocess.run(
        ["make", "-f", "gitops-ml.mk", "help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "make repro" in listed.stdout
    (line,) = [note.split("`")[3] for note in done.notes if "this line in your Makefile" in note]
    (root / "Makefile").write_text(f"{MAKEFILE}{line}\n")
    asked = subprocess.run(["make", "--dry-run", "plan", "data"], cwd=root, capture_output=True, text=True, check=False)
    assert "make -f gitops-ml.mk plan" in asked.stdout
    assert "python -m src.data" in asked.stdout
    git(root, "checkout", "Makefile")
    called = "".join(path.read_text() for path in (root / ".github").rglob("*.yml"))
    assert "run: make -f gitops-ml.mk setup\n" in called
    assert "run: make setup\n" not in called

    git(tmp_path, "clone", "--quiet", "--bare", str(root), "origin.git")
    git(tmp_path / "origin.git", "branch", "--force", "main", adopt.BRANCH)
    git(root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    texts = {"make": ("Makefile", "# What somebody", "# All that somebody"), "read": ("README.md", "## Start", "## Go")}
    wish = update.Wish(source=str(newer(history, tmp_path, **texts)), check=False)
    changed = update.prepare(root, wish).outcome
    assert (changed.state, changed.new, changed.conflicts) == ("open", "0.3.0", [])
    paths = Git(root / update.PLACE / "project").changed(git(root, "rev-parse", "HEAD"), changed.commit or "")
    assert sorted(paths) == [
        ".template.json",
        "README.gitops-ml.md",
        "gitops-ml.mk",
        "vendor/gitops-ml/pyproject.toml",
    ]


def test_a_pipeline_and_a_storage_of_its_own_stay(history: Path, tmp_path: Path) -> None:
    """Stages of both stand in dvc.yaml, the lock is untouched, and the default remote is the project's storage, too."""
    root = repository(tmp_path, PIPELINE)
    done = run(root, history, answers={"license": "MIT"})
    assert kept(root, PIPELINE) == set(PIPELINE) - {"dvc.yaml", ".dvc/config", ".dvcignore"}
    here = Git(root)
    text = (here.read(adopt.BRANCH, "dvc.yaml") or b"").decode()
    assert text.startswith("# Ours.\nstages:\n  clean: # first\n")
    assert list(yaml.safe_load(text)["stages"]) == ["clean", "validate", "prepare", "train", "evaluate"]
    config = (here.read(adopt.BRANCH, ".dvc/config") or b"").decode()
    assert unite.storage_url(config) == str(tmp_path / "our storage")
    assert "url = ../../our storage\n" in config
    assert list((tmp_path / "our storage/files/md5").rglob("*.dir"))
    assert (here.read(adopt.BRANCH, "LICENSE") or b"").startswith(b"MIT License")
    assert any("template's example" in note for note in done.notes)


def test_a_table_and_a_script_are_added_to_alone(history: Path, tmp_path: Path) -> None:
    """Nothing of theirs is changed, not even line ends, or held to the project's rules; nobody gets a license."""
    root = repository(tmp_path, SCRIPT)
    git(root, "branch", "--move", "trunk")
    git(root, "branch", "main")
    done = run(root, history)
    assert {line[0] for line in git(root, "diff", "--name-status", "main", adopt.BRANCH).splitlines()} == {"A"}
    assert Git(root).read(adopt.BRANCH, "LICENSE") is None
    hooks = yaml.safe_load(Git(root).read(adopt.BRANCH, ".pre-commit-config.yaml") or b"")
    assert hooks["exclude"] == r"^(customers\.csv$|explore\.py$)"
    git(root, "switch", "--quiet", adopt.BRANCH)
    assert git(root, "status", "--porcelain") == ""
    assert (root / "customers.csv").read_bytes() == SCRIPT["customers.csv"].encode()
    said = json.loads((root / ".template.json").read_text())
    assert (said["template"], said["moved"]) == (str(history), {"LICENSE": ""})
    assert "`git branch -m trunk main`" in " ".join(done.notes)
    with pytest.raises(UserError, match="is a project of the template already; `make update` brings"):
        adopt.adopt(root, adopt.Wish(source=str(history)))


def dirty(root: Path) -> None:
    (root / "explore.py").write_text("other\n")


def untracked(root: Path) -> None:
    (root / "new.py").write_text("new\n")


def detached(root: Path) -> None:
    git(root, "checkout", "--quiet", "--detach")


def adopted(root: Path) -> None:
    git(root, "branch", adopt.BRANCH)


def bare(root: Path) -> None:
    shutil.rmtree(root / ".git")


def empty(root: Path) -> None:
    bare(root)
    git(root, "init", "--quiet")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (dirty, r"explore\.py is not committed: commit it, or have Git ignore it"),
        (untracked, r"new\.py is not committed"),
        (detached, "a commit without a branch is checked out"),
        (adopted, "there is a branch adopt/gitops-ml already: merge it, or"),
        (bare, "is in no Git repository: `git init`, commit what is there"),
        (empty, "this repository has no commit"),
    ],
)
def test_what_cannot_be_adopted_is_refused(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    """Each reason is a sentence of its own, before anything is fetched."""
    root = repository(tmp_path, SCRIPT)
    spoil(root)
    with pytest.raises(UserError, match=said):
        adopt.adopt(root, adopt.Wish(source="nowhere"))


def test_a_folder_of_a_repository_is_refused(tmp_path: Path) -> None:
    """A project has a repository of its own."""
    root = repository(tmp_path, SCIENCE)
    with pytest.raises(UserError, match="is the folder src/ of a larger repository"):
        adopt.adopt(root / "src", adopt.Wish(source="nowhere"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"tests/conftest.py": "theirs\n", "service": "a file\n"},
            r"both of service, tests/conftest\.py: rename yours",
        ),
        ({"docs/readme.MD": "x\n", "Pipeline/model.py": "x\n"}, r"both of Pipeline/model\.py"),
        ({"dvc.yaml": "stages: {train: {cmd: x}}\n"}, r"dvc\.yaml \(both have stages that are called train\)"),
        ({"dvc.yaml": "stages: [\n"}, r"dvc\.yaml \(dvc\.yaml cannot be read"),
        ({"params.yaml": "fit: {a: 1}\n"}, r"params\.yaml \(give yours another name, and name that in dvc\.yaml"),
        ({"pyproject.toml": "[project\n"}, r"pyproject\.toml \(pyproject\.toml cannot be read"),
        ({"data/raw/a.csv": "a\n1\n"}, r"holds data/raw/a\.csv: move that elsewhere"),
        (
            {"data/.gitignore": "*\n", "data/a/.gitkeep": ""},
            r"ignore data/\.gitignore, data/raw\.dvc, which",
        ),
    ],
)
def test_a_clash_that_no_rule_settles_is_named(
    versions: Versions, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    """All names are in the sentence, with what to do."""
    root = repository(tmp_path, files)
    with pytest.raises(UserError, match=said):
        laid(root, versions, tmp_path)


def laid(root: Path, versions: Versions, folder: Path) -> laying.Laid:
    """Lay this version's bake around a clone of a repository."""
    tree = versions.tree(NOW)
    (baked,) = [path for path in (versions.folder / NOW).iterdir() if path.name != "template"]
    shutil.copytree(baked, folder / "baked")
    git(folder, "clone", "--quiet", str(root), "checkout")
    return laying.lay(folder / "checkout", root, folder / "baked", Git(versions.store.root).paths(tree))


def test_files_of_both_are_united_with_theirs_first(versions: Versions, tmp_path: Path) -> None:
    """Their patterns, attributes and hooks stay as they are; the project's hooks leave their files alone."""
    files = {
        ".gitattributes": "*.md text eol=crlf\n",
        ".pre-commit-config.yaml": "repos:\n  - repo: https://example.org/x\n    rev: v1\n    hooks: [{id: x}]\n",
        "makefile": "all:\n",
        "Readme.rst": "x\n",
        "tests/test_ours.py": "x = 1\n",
        ".github/CODEOWNERS": "* @us\n",
        "mypy.ini": "[mypy]\n",
    }
    done = laid(repository(tmp_path, files), versions, tmp_path)
    has = tmp_path / "checkout"
    assert done.moved == {"README.md": "README.gitops-ml.md", "Makefile": "gitops-ml.mk", "CODEOWNERS": ""}
    assert not (has / "README.md").exists()
    assert (has / ".gitattributes").read_text().endswith(files[".gitattributes"])
    hooks = yaml.safe_load((has / ".pre-commit-config.yaml").read_text())["repos"]
    assert hooks[0] == {"repo": "https://example.org/x", "rev": "v1", "hooks": [{"id": "x"}]}
    (ruff,) = [hook for hook in hooks[1]["hooks"] if hook["id"] == "ruff"]
    assert r"tests/test_ours\.py$" in ruff["exclude"]
    assert "tests/test_split" not in ruff["exclude"]
    # What theirs says to a tool is for their code.
    (mypy,) = [hook["entry"] for hook in hooks[1]["hooks"] if hook["id"] == "mypy"]
    assert mypy == ".venv/bin/mypy --config-file checks.gitops-ml.toml"
    checks = tomllib.loads((has / "checks.gitops-ml.toml").read_text())["tool"]
    assert (checks["mypy"]["strict"], list(checks)) == (True, ["mypy", "importlinter"])


def test_a_pyproject_of_theirs_gets_groups_and_tools_and_keeps_its_own() -> None:
    """Keys and packages that both name stay theirs, comments too; both say which Pythons."""
    theirs = """[project]
name = "churn" # ours
dynamic = ["version"]
requires-python = ">=3.10"
dependencies = ["pandas<4"]

[build-system]
requires = ["hatchling"]

[dependency-groups]
dev = ["Pytest==9.2", "black"]

[tool.ruff]
line-length = 99

[tool.pytest.ini_options]
testpaths = ["ours"]
"""
    text = unite.packages(theirs, (PROJECT / "pyproject.toml").read_text())
    assert text.startswith('[project]\nname = "churn" # ours\n')
    made = tomllib.loads(text)
    assert made["project"] == {
        "name": "churn",
        "dynamic": ["version"],
        "requires-python": ">=3.10,>=3.11,<3.15",
        "dependencies": ["pandas<4"],
    }
    dev = made["dependency-groups"]["dev"]
    assert dev[:2] == ["Pytest==9.2", "black"]
    assert "gitops-ml" in dev
    assert [entry for entry in dev if isinstance(entry, str) and entry.startswith("pytest")] == []
    assert made["dependency-groups"]["train"]
    assert made["tool"]["ruff"] == {"line-length": 99}
    ((file, ruff),) = unite.tools(theirs, (PROJECT / "pyproject.toml").read_text()).items()
    assert (file, tomllib.loads(ruff)["line-length"]) == ("ruff.gitops-ml.toml", 120)
    assert list(made["tool"]["pytest"]) == ["ini_options"]
    assert made["tool"]["pytest"]["ini_options"]["testpaths"] == ["ours"]
    assert "package" not in made["tool"]["uv"]
    assert made["tool"]["uv"]["sources"] == {"gitops-ml": {"path": "vendor/gitops-ml", "editable": True}}


def test_an_adoption_that_is_killed_changes_nothing_or_all(history: Path, tmp_path: Path) -> None:
    """Whenever it is killed, main and the working tree are as they were, and its branch is not there, or whole."""
    root = repository(tmp_path, SCRIPT)
    before = state(root)
    adopt.adopt(root, adopt.Wish(source=str(history)))
    whole = git(root, "rev-parse", f"{adopt.BRANCH}^{{tree}}")
    git(root, "branch", "--quiet", "-D", adopt.BRANCH)
    for killed in kills(root, "repo", "adopt", "--from", str(history), TMPDIR=str(tmp_path)):
        assert state(root) == before
        made = git(root, "for-each-ref", f"refs/heads/{adopt.BRANCH}")
        assert made or killed
        if made:
            assert git(root, "rev-parse", f"{adopt.BRANCH}^{{tree}}") == whole
            git(root, "branch", "--quiet", "-D", adopt.BRANCH)
        assert git(root, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    git(root, "fsck", "--no-dangling")


def test_answers_that_the_template_does_not_ask_for_are_refused(history: Path, tmp_path: Path) -> None:
    """A misspelt one is named with those that there are; so is a Python that cannot be chosen."""
    root = repository(tmp_path, SCRIPT | {".python-version": "3.9\n"})
    with pytest.raises(UserError, match=r"does not ask for 'ownr'; it asks for project_name, "):
        adopt.adopt(root, adopt.Wish(source=str(history), answers={"ownr": "acme"}))
    with pytest.raises(UserError, match=r"\.python-version says 3\.9, and the template has 3\.11"):
        adopt.adopt(root, adopt.Wish(source=str(history)))
