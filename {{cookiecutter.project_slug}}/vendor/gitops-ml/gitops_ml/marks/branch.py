"""Marks: what people say of releases and environments, on a branch for each kind, with who, when and why in its log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import Git, RejectedError

ATTEMPTS = 5


class Mark(BaseModel):
    """One file of the branch."""

    reason: str
    since: datetime


Form = TypeVar("Form", bound=Mark)


@dataclass(frozen=True)
class Marks(Generic[Form]):
    """A branch of marks of one form; machines write it, and each change is a commit of whoever wanted it."""

    branch: str
    form: type[Form]
    readme: bytes

    def read(self, git: Git) -> list[Form]:
        """The marks that there are now.

        Raises:
            UserError: the branch holds a file that cannot be read; it would be wrong to take it for no mark.
        """
        tip = git.tip(self.branch)
        paths = [path for path in git.paths(tip) if path.endswith(".json")] if tip else []
        found: list[Form] = []
        for path, content in zip(paths, git.read_all(f"{tip}:{path}" for path in paths), strict=True):
            try:
                found.append(self.form.model_validate_json(content or b""))
            except ValidationError as error:
                raise UserError(f"{path} on {self.branch} cannot be read, so nothing is promoted: {error}") from error
        return found

    def added(self, git: Git, path: str, mark: Form, message: str) -> str | None:
        """A commit for the branch's tip that has the mark too; None if one is there already. Nothing is pushed."""
        content = mark.model_dump_json(indent=2).encode() + b"\n"
        return self._changed(git, lambda files: files.setdefault(path, content) is content, message)

    def removed(self, git: Git, path: str, message: str) -> str | None:
        """A commit for the branch's tip that has the mark no more; None if there is none. Nothing is pushed."""
        return self._changed(git, lambda files: files.pop(path, None) is not None, message)

    def pushed(self, git: Git, make: Callable[[], str | None]) -> bool:
        """Push a change, made anew each time that somebody else's came first; False if nothing is to be changed."""
        for _ in range(ATTEMPTS):
            commit = make()
            if commit is None:
                return False
            try:
                git.push(commit, f"refs/heads/{self.branch}")
            except RejectedError:
                git.fetch()
                continue
            return True
        raise UserError(f"the branch {self.branch} does not take a change; is it protected against whoever runs this?")

    def _changed(self, git: Git, change: Callable[[dict[str, bytes]], bool], message: str) -> str | None:
        tip = git.tip(self.branch)
        paths = git.paths(tip) if tip else []
        contents = git.read_all(f"{tip}:{path}" for path in paths)
        files = {path: content for path, content in zip(paths, contents, strict=True) if content is not None}
        if not change(files):
            return None
        return git.commit(git.write(files | {"README.md": self.readme}), tip, message)
