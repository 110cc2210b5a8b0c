"""Reads files of other revisions: from Git what Git holds, from the storage what DVC holds."""

from __future__ import annotations

from pathlib import Path

import dvc.api
from dvc.exceptions import DvcException
from scmrepo.exceptions import SCMError

from ci.errors import UserError
from ci.run import run


class Revision:
    """One commit of the project, or the working tree if `commit` is None."""

    def __init__(self, root: Path, commit: str | None) -> None:
        self.root = root
        self.commit = commit

    def text(self, path: str) -> str | None:
        """A file that Git holds; None if this revision has none."""
        if self.commit is None:
            return (self.root / path).read_text() if (self.root / path).is_file() else None
        if not run("git", "ls-tree", "--name-only", self.commit, "--", path, cwd=self.root):
            return None
        return run("git", "show", f"{self.commit}:{path}", cwd=self.root)

    def output(self, path: str) -> bytes:
        """A file that DVC holds, from the working tree, the cache or the storage.

        Raises:
            UserError: this revision has no such output, or the storage cannot give it.
        """
        if self.commit is None and (self.root / path).is_file():
            return (self.root / path).read_bytes()
        try:
            content: bytes = dvc.api.read(path, repo=str(self.root), rev=self.commit, mode="rb")
        except (DvcException, SCMError, OSError) as error:
            name = self.commit[:12] if self.commit else "the working tree"
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path} of {name} cannot be had: {reason}") from error
        return content


def resolve(root: Path, name: str) -> str | None:
    """The commit that a branch names, as a local branch or as that of `origin`; None if there is no such branch."""
    for candidate in (f"refs/heads/{name}", f"refs/remotes/origin/{name}"):
        try:
            return run("git", "rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}", cwd=root)
        except UserError:
            continue
    return None
