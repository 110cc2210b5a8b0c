"""Bakes a version of the template with answers, as cookiecutter does, and stores the result as a tree of Git."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.main import cookiecutter

from gitops_ml.core.errors import UserError
from gitops_ml.update import record, seal
from gitops_ml.update.record import Record
from gitops_ml.update.template import Template, Version
from gitops_ml.versions.git import Git

# The branch of bakes, which only machines write, and how a commit says which bake it is.
BRANCH = "template"
BAKED = "Template-Bake: "


@dataclass(frozen=True)
class Bake:
    """A version with answers, and the tree that they give; the folder where it was just made."""

    version: Version
    record: Record
    tree: str
    folder: Path | None = None


def made(git: Git, template: Template, version: Version, known: Record, into: Path) -> Bake:
    """Bake a version with the answers of a record, and store it; `into` is a folder that is not there yet.

    Raises:
        UserError: the template refuses the answers.
    """
    folder = bake(template, version, known.answers, into)
    said = folder / record.FILE
    # Those of new questions, too.
    answers = Record.model_validate_json(said.read_bytes()).answers if said.exists() else known.answers
    said.unlink(missing_ok=True)
    found = Record(
        template=known.template,
        version=version.name,
        commit=version.commit,
        bake=digest(folder),
        answers=answers,
        moved=known.moved,
        signed=seal.seal_of(template.git, version.name, version.commit),
    )
    move(folder, known.moved)
    return Bake(version, found, stored(git, folder), folder)


def bake(template: Template, version: Version, answers: dict[str, str], into: Path) -> Path:
    """Generate a project into a new folder; where it is.

    Args:
        template: where the version is.
        version: what to bake.
        answers: to the template's questions; whatever it does not ask is left out, and the rest is its defaults.
        into: a folder that is not there yet.

    Raises:
        UserError: the version is not trusted, or the template refuses the answers.
    """
    unpacked = template.unpack(version, into / "template")
    try:
        return Path(
            # Nothing of the person's own settings, which are defaults for what a project was not asked.
            cookiecutter(str(unpacked), no_input=True, extra_context=answers, output_dir=str(into), default_config=True)
        )
    except (CookiecutterException, ValueError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"version {version.name} of the template refuses the answers: {said}") from error


def digest(folder: Path) -> str:
    """The hash of a bake, as the template's hook computes it."""
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in paths
        if path.relative_to(folder).as_posix() != record.FILE
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def stored(git: Git, folder: Path) -> str:
    """Store a folder's files as one tree, those too that its .gitignore names; the tree's name."""
    place = {"GIT_DIR": git.said("rev-parse", "--absolute-git-dir"), "GIT_WORK_TREE": str(folder)}
    with tempfile.TemporaryDirectory() as temporary:
        # An index of its own, and file modes and line ends as the folder's .gitattributes say.
        env = place | {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        at = Git(folder)
        at.said("add", "--all", "--force", ".", env=env)
        return at.said("write-tree", env=env)


def without(git: Git, tree: str, beginnings: tuple[str, ...]) -> str:
    """A tree without the files whose paths begin so."""
    left = "".join(f"{path}\0" for path in git.paths(tree) if path.startswith(beginnings))
    with tempfile.TemporaryDirectory() as temporary:
        env = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        git.said("read-tree", tree, env=env)
        git.said("update-index", "-z", "--force-remove", "--stdin", env=env, content=left.encode())
        return git.said("write-tree", env=env)


def move(baked: Path, moved: dict[str, str]) -> None:
    """Have a bake's files lie where an adopted repository has them, also those of later versions."""
    for path, to in moved.items():
        if not (baked / path).exists():
            continue
        if to:
            (baked / path).rename(baked / to)
        else:
            (baked / path).unlink()
    if moved.get(record.MAKEFILE):
        # The workflows call what is theirs no more than they must.
        for file in (baked / ".github").rglob("*.yml"):
            text = re.sub(
                r"\bmake (?=[a-z]+$)", f"make -f {moved[record.MAKEFILE]} ", file.read_text(), flags=re.MULTILINE
            )
            file.write_text(text)
