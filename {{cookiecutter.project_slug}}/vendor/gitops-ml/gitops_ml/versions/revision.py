"""Reads files of other revisions: from Git what Git holds, from the storage what DVC holds."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import dvc.api
import yaml
from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import Git

Form = TypeVar("Form", bound=BaseModel)


class Revision:
    """One commit of the project, or the working tree if `commit` is None."""

    def __init__(self, root: Path, commit: str | None) -> None:
        self.root = root
        self.commit = commit

    def text(self, path: str) -> str | None:
        """A file that Git holds; None if this revision has none."""
        if self.commit is None:
            return (self.root / path).read_text() if (self.root / path).is_file() else None
        content = Git(self.root).read(self.commit, path)
        return None if content is None else content.decode()

    def settings(self, path: str, form: type[Form]) -> Form:
        """A YAML file that Git holds, in its form.

        Raises:
            UserError: this revision has no such file, or it is wrong; the message names the setting.
        """
        text = self.text(path)
        if text is None:
            raise UserError(f"{path} of {self} is missing")
        try:
            return form.model_validate(yaml.safe_load(text) or {})
        except yaml.YAMLError as error:
            raise UserError(f"{path} of {self} is not valid YAML: {' '.join(str(error).split())}") from error
        except ValidationError as error:
            raise UserError(f"{path} of {self}: {_first(error)}") from error

    def facts(self, path: str, form: type[Form]) -> Form:
        """A JSON file that DVC holds, in its form.

        Raises:
            UserError: it cannot be had, or it is damaged.
        """
        try:
            return form.model_validate_json(self.output(path))
        except ValidationError as error:
            raise UserError(f"{path} of {self} is damaged: {_first(error)}") from error

    def output(self, path: str) -> bytes:
        """A file that DVC holds, from the working tree, the cache or the storage.

        Raises:
            UserError: this revision has no such output, or the storage cannot give it.
        """
        if self.commit is None and (self.root / path).is_file():
            return (self.root / path).read_bytes()
        try:
            content: bytes = dvc.api.read(path, repo=str(self.root), rev=self.commit, mode="rb")
        except Exception as error:  # each cloud's client has errors of its own
            raise UserError(f"{path} of {self} cannot be had: {_reason(error)}") from error
        return content

    def files(self, path: str) -> list[str]:
        """The files of an output: itself, or what is in the folder, in the order of the names; none if it is not there.

        Raises:
            UserError: the storage cannot give it.
        """
        if self.commit is None:
            place = self.root / path
            found = [place] if place.is_file() else [each for each in place.rglob("*") if each.is_file()]
            return sorted(each.relative_to(self.root).as_posix() for each in found)
        try:
            system = dvc.api.DVCFileSystem(str(self.root), rev=self.commit)
            return sorted(system.find(path)) if system.exists(path) else []
        except Exception as error:
            raise UserError(f"{path} of {self} cannot be had: {_reason(error)}") from error

    def __str__(self) -> str:
        return self.commit[:12] if self.commit else "the working tree"


def resolve(root: Path, name: str) -> str | None:
    """The commit that a branch names; None if there is no such branch.

    Where `origin` has the branch too, what was last fetched from there counts: a local branch may be anybody's.
    """
    git = Git(root)
    return git.tip(name) or git.commit_of(f"refs/heads/{name}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
