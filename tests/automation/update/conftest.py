from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gitops_ml.update import bakes
from gitops_ml.update.record import Record
from gitops_ml.update.template import Template
from gitops_ml.versions.git import Git

from tests.automation.world import git

# The first version that landed, the last with copied automation, the last without a record, and this one.
FIRST, BEFORE, PACKAGED, NOW = "0.0.1", "0.1.0", "f86d312cf238ea9ac062b760789fedeadd90e3fa", "now"
EACH = (FIRST, BEFORE, PACKAGED)
ANSWERS = {"python_version": "3.11"}


def newer(history: Path, into: Path, **files: tuple[str, str, str]) -> Path:
    """A template with a version 0.3.0: its changelog says so, and in each file one text is exchanged."""
    git(into, "clone", "--quiet", str(history), "newer")
    folder = into / "newer"
    project = next(folder.glob("*/vendor")).parent
    changes = {
        "version": (f"{project.name}/vendor/gitops-ml/pyproject.toml", 'version = "0.2.0"', 'version = "0.3.0"'),
        "changes": ("CHANGELOG.md", "## Unreleased", "## 0.3.0\n\n### What you must do\n\n- Dance.\n\n## 0.2.0"),
        **{name: (f"{project.name}/{path}", before, after) for name, (path, before, after) in files.items()},
    }
    for path, before, after in changes.values():
        text = (folder / path).read_text()
        assert before in text
        (folder / path).write_text(text.replace(before, after, 1))
    git(folder, "commit", "--quiet", "--all", "--message", "0.3.0")
    return folder


class Team:
    """A project's `origin`, and the clone in which its team works."""

    def __init__(self, origin: Path, into: Path, bakes: Path) -> None:
        git(into.parent, "clone", "--quiet", str(origin), str(into))
        self.root = into
        # So that bakes need not be copied.
        (into / ".git/objects/info/alternates").write_text(f"{bakes / 'objects'}\n")

    def edit(self, path: str, before: str, after: str) -> None:
        """Exchange a text of a file on main, and push."""
        text = (self.root / path).read_text()
        assert before in text
        (self.root / path).write_text(text.replace(before, after, 1))
        self.push(f"Edit {path}")

    def push(self, message: str) -> None:
        """Commit everything on the branch that is checked out, and push it."""
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", message)
        git(self.root, "push", "--quiet", "origin", "HEAD")

    def shown(self, branch: str, path: str) -> str:
        """A file as a branch of `origin` has it."""
        git(self.root, "fetch", "--quiet")
        return git(self.root, "show", f"origin/{branch}:{path}")


class Versions:
    """The trees that versions of this template give, in one repository; each is baked once."""

    def __init__(self, history: Path, folder: Path) -> None:
        git(folder, "init", "--quiet", "--bare", "store.git")
        self.folder, self.store = folder, Git(folder / "store.git")
        self.template = Template(str(history), folder / "template.git")
        self.known: dict[str, str] = {}

    def tree(self, name: str) -> str:
        """The tree of a version, or of what is here now."""
        if name not in self.known:
            version = self.template.newest() if name == NOW else self.template.named(name)
            made = bakes.made(self.store, self.template, version, Record(answers=ANSWERS), self.folder / name)
            self.known[name] = made.tree
        return self.known[name]


@pytest.fixture(scope="session")
def versions(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """What the versions of this template bake."""
    return Versions(history, tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="session")
def origins(versions: Versions, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An `origin` whose main is the bake of a version."""
    folder = tmp_path_factory.mktemp("origins")
    store = versions.store

    def made(name: str) -> Path:
        place = folder / f"{name}.git"
        if not place.exists():
            commit = store.commit(versions.tree(name), None, "Start", machine=True)
            git(folder, "clone", "--quiet", "--bare", str(store.root), str(place))
            store.said("push", "--quiet", str(place), f"{commit}:refs/heads/main")
            git(place, "symbolic-ref", "HEAD", "refs/heads/main")
        return place

    return made


@pytest.fixture
def team(origins: Callable[[str], Path], versions: Versions, tmp_path: Path) -> Callable[[str], Team]:
    """A team with a project of a version, and an `origin` of its own."""

    def made(name: str = BEFORE) -> Team:
        origin = tmp_path / "origin.git"
        git(tmp_path, "clone", "--quiet", "--bare", str(origins(name)), str(origin))
        return Team(origin, tmp_path / "late-flights", versions.store.root)

    return made
