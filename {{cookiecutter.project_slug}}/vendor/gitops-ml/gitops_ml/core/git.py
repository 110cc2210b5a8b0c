"""Reads and writes commits, trees and branches of `origin` without touching the working tree."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run

REMOTE = "origin"
MAIN = "main"
FETCHED = (
    f"+refs/heads/*:refs/remotes/{REMOTE}/*",
    "+refs/tags/release/*:refs/tags/release/*",
)


# What Git says where somebody else was quicker; a protected branch, or a hook, is another matter.
MOVED = re.compile(r"\[rejected\]|cannot lock ref|reference already exists|remote ref does not exist")


class RejectedError(UserError):
    """`origin` has moved on since it was fetched."""


class Git:
    """A clone, and the `origin` that everybody shares."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fetch(self) -> None:
        """Learn what `origin` has now.

        Raises:
            UserError: there is no `origin`, or it does not answer.
        """
        if REMOTE not in run("git", "remote", cwd=self.root).split():
            raise UserError(
                "releases and environments live in the repository `origin`, and this clone has none; "
                "run `git remote add origin URL` and `git push -u origin main`"
            )
        shallow = run("git", "rev-parse", "--is-shallow-repository", cwd=self.root) == "true"
        # A checkout of CI may hold one commit only; what served when is told by the whole history.
        how = ("--quiet", "--prune", "--no-tags", "--force", *(["--unshallow"] if shallow else []))
        run("git", "fetch", *how, REMOTE, *FETCHED, cwd=self.root)

    def tip(self, branch: str) -> str | None:
        """The commit that a branch of `origin` had when it was fetched; None if there is no such branch."""
        return self.commit_of(f"refs/remotes/{REMOTE}/{branch}")

    def commit_of(self, name: str) -> str | None:
        """The commit that a name stands for; None if there is none."""
        try:
            return run("git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", cwd=self.root)
        except UserError:
            return None

    def branches(self, prefix: str) -> dict[str, str]:
        """The branches of `origin` that begin with a prefix, and their commits."""
        return self.refs(f"refs/remotes/{REMOTE}/", prefix)

    def tags(self, prefix: str) -> dict[str, str]:
        """The tags that begin with a prefix, and their commits."""
        return self.refs("refs/tags/", prefix)

    def refs(self, place: str, prefix: str) -> dict[str, str]:
        """The refs of a place that begin with a prefix, without the place, and their commits."""
        listed = run("git", "for-each-ref", "--format=%(refname) %(objectname)", f"{place}{prefix}", cwd=self.root)
        pairs = (line.split(" ") for line in listed.splitlines())
        return {name.removeprefix(place): commit for name, commit in pairs}

    def tree(self, commit: str) -> str:
        """The name of a commit's tree: equal for equal content."""
        return run("git", "rev-parse", f"{commit}^{{tree}}", cwd=self.root)

    def parents(self, commit: str) -> list[str]:
        """A commit's parents, the first one first."""
        return run("git", "rev-list", "--parents", "--max-count=1", commit, cwd=self.root).split()[1:]

    def history(self, commit: str) -> list[str]:
        """A branch's own commits, the newest first."""
        return run("git", "rev-list", "--first-parent", commit, cwd=self.root).splitlines()

    def ancestors(self, commit: str) -> list[str]:
        """A commit and all that came before it, none before its descendants."""
        return run("git", "rev-list", "--topo-order", commit, cwd=self.root).splitlines()

    def time(self, commit: str) -> int:
        """When a commit was made, in seconds since 1970."""
        return int(run("git", "show", "--no-patch", "--format=%ct", commit, cwd=self.root))

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether a commit's history holds another one."""
        done = subprocess.run(
            ["git", "merge-base", "--is-ancestor", older, newer], cwd=self.root, capture_output=True, check=False
        )
        return done.returncode == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that two histories share; None if there is none."""
        try:
            return run("git", "merge-base", one, other, cwd=self.root)
        except UserError:
            return None

    def paths(self, tree: str, under: str = "") -> list[str]:
        """The files of a commit or tree, in a folder if one is named."""
        listed = run(
            "git", "ls-tree", "-r", "-z", "--name-only", tree, "--", *([under] if under else []), cwd=self.root
        )
        return [path for path in listed.split("\0") if path]

    def changed(self, old: str, new: str) -> list[str]:
        """The paths in which two commits or trees differ."""
        listed = run("git", "diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new, cwd=self.root)
        return [path for path in listed.split("\0") if path]

    def read(self, commit: str, path: str) -> bytes | None:
        """A file of a commit or tree, byte by byte; None if it has none."""
        return self.read_all([f"{commit}:{path}"])[0]

    def read_all(self, names: Iterable[str]) -> list[bytes | None]:
        """Files, each by `commit:path`, in one go; None for each that does not exist."""
        wanted = list(names)
        done = subprocess.run(
            ["git", "cat-file", "--batch"],
            cwd=self.root,
            input="".join(f"{name}\n" for name in wanted).encode(),
            capture_output=True,
            check=True,
        )
        found: list[bytes | None] = []
        rest = done.stdout
        for _ in wanted:
            head, _, rest = rest.partition(b"\n")
            if head.endswith((b" missing", b" ambiguous")):
                found.append(None)
                continue
            size = int(head.rsplit(b" ", 1)[1])
            found.append(rest[:size])
            rest = rest[size + 1 :]
        return found

    def write(self, files: Mapping[str, bytes]) -> str:
        """Store files as one tree and return its name."""
        with tempfile.TemporaryDirectory() as folder:
            # An index of its own, so that the one of whoever works here stays as it is.
            environment = os.environ | {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            entries = "".join(f"100644 {self._blob(content)}\t{path}\0" for path, content in sorted(files.items()))
            for command in (["update-index", "-z", "--index-info"], ["write-tree"]):
                done = subprocess.run(
                    ["git", *command],
                    cwd=self.root,
                    env=environment,
                    input=entries.encode(),
                    capture_output=True,
                    check=True,
                )
            return done.stdout.decode().strip()

    def with_file(self, commit: str, path: str, content: bytes) -> str:
        """The tree of a commit with one file's content put in, or exchanged; all others as they are."""
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            put = f"100644,{self._blob(content)},{path}"
            run("git", "read-tree", commit, cwd=self.root, env=environment)
            run("git", "update-index", "--add", "--cacheinfo", put, cwd=self.root, env=environment)
            return run("git", "write-tree", cwd=self.root, env=environment)

    def _blob(self, content: bytes) -> str:
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=self.root, input=content, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, tree: str, parent: str | None, message: str) -> str:
        """Make a commit that no branch has yet."""
        parents = ("-p", parent) if parent else ()
        return run("git", "commit-tree", tree, *parents, "-m", message, cwd=self.root)

    def push(self, commit: str, ref: str, expected: str | None = None) -> None:
        """Put a commit on a branch or tag of `origin`, in one step that nobody can come between.

        Without `expected` the ref must be new, or hold an ancestor of the commit; with it, exactly that commit, which
        is then replaced.

        Raises:
            RejectedError: it is otherwise.
            UserError: `origin` does not answer.
        """
        lease = (f"--force-with-lease={ref}:{expected}",) if expected else ()
        self._push(*lease, REMOTE, f"{commit}:{ref}")

    def delete(self, ref: str) -> None:
        """Remove a branch of `origin`; nothing happens if it is gone already."""
        try:
            self._push(REMOTE, f":{ref}")
        except RejectedError as error:
            if "remote ref does not exist" not in str(error):
                raise

    def _push(self, *what: str) -> None:
        done = subprocess.run(
            ["git", "push", "--porcelain", *what],
            cwd=self.root,
            env=os.environ | {"LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            self.fetch()
            return
        said = "\n  ".join([*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()][-8:])
        if MOVED.search(said):
            raise RejectedError(f"`git push {' '.join(what)}` was rejected:\n  {said}")
        raise UserError(f"`git push {' '.join(what)}` failed:\n  {said}")
