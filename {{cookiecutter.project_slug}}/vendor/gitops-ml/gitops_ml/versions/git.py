"""What a clone shares with everybody: the branches and tags of `origin`, fetched, and pushed in one step."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import NETWORK_SECONDS, TooLongError
from gitops_ml.versions.objects import FETCHED, REMOTE, TAGS, Objects

MAIN = "main"
# What Git says where somebody else was quicker; a protected branch, or a hook, is another matter.
MOVED = re.compile(r"\[rejected\]|cannot lock ref|reference already exists|remote ref does not exist")


class RejectedError(UserError):
    """`origin` has moved on since it was fetched."""


class Git(Objects):
    """A clone, and the `origin` that everybody shares."""

    def fetch(self) -> None:
        """Learn what `origin` has now.

        Raises:
            UserError: there is no `origin`, it does not answer, or the project is a folder of a larger repository.
        """
        self.require_origin()
        # A checkout of CI may hold one commit only; what served when is told by the whole history.
        shallow = self.said("rev-parse", "--is-shallow-repository") == "true"
        how = ("--quiet", "--prune", "--no-tags", "--force", *(["--unshallow"] if shallow else []))
        self._over_network("fetch", *how, REMOTE, *FETCHED)

    def require_origin(self) -> None:
        """Have this be a clone that releases and environments can live in.

        Raises:
            UserError: it has no `origin`, or the project is a folder of a larger repository.
        """
        if inside := self.said("rev-parse", "--show-prefix"):
            raise UserError(
                f"{self.root} is the folder {inside} of a larger repository, whose branches and tags would be used; "
                "give the project a repository of its own"
            )
        remotes = self.said("remote").split()
        if REMOTE not in remotes:
            make = f"`git remote rename {remotes[0]} {REMOTE}`" if remotes else f"`git remote add {REMOTE} URL`"
            raise UserError(
                f"releases and environments live in the repository `{REMOTE}`, and this clone has none; "
                f"run {make} and `git push -u {REMOTE} {MAIN}`"
            )

    def at_origin(self, ref: str) -> bool:
        """Whether `origin` has a ref now, fetched or not.

        Raises:
            UserError: `origin` does not answer.
        """
        return bool(self._over_network("ls-remote", REMOTE, ref))

    def default_branch(self) -> str | None:
        """The branch that whoever clones `origin` gets; None if it has none yet.

        Raises:
            UserError: `origin` does not answer.
        """
        said = self._over_network("ls-remote", "--symref", REMOTE, "HEAD")
        found = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
        return found[1] if found else None

    def tip(self, branch: str) -> str | None:
        """The commit that a branch of `origin` had when it was fetched; None if there is no such branch.

        Raises:
            DamagedError: the branch is there, and its commit is not.
        """
        name = f"refs/remotes/{REMOTE}/{branch}"
        found = self._refs(name)
        return self._commit(found[name], name) if name in found else None

    def branches(self, prefix: str) -> dict[str, str]:
        """The branches of `origin` that begin with a prefix, and their commits."""
        return self.refs(f"refs/remotes/{REMOTE}/", prefix)

    def tags(self, prefix: str) -> dict[str, str]:
        """The tags of `origin` that begin with a prefix, and their commits."""
        return self.refs(TAGS, prefix)

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

    def push_together(self, commits: Mapping[str, str]) -> None:
        """Put commits on several refs of `origin`: all of them, or none.

        Raises:
            RejectedError: one of the refs holds something that is no ancestor of its commit.
            UserError: `origin` does not answer.
        """
        self._push("--atomic", REMOTE, *(f"{commit}:{ref}" for ref, commit in commits.items()))

    def delete(self, ref: str) -> None:
        """Remove a branch of `origin`; nothing happens if it is gone already."""
        try:
            self._push(REMOTE, f":{ref}")
        except RejectedError as error:
            if "remote ref does not exist" not in str(error):
                raise

    def _push(self, *what: str) -> None:
        done = self._asked("push", "--porcelain", *what)
        if done.returncode == 0:
            self.fetch()
            return
        whole = (done.stdout + done.stderr).decode(errors="replace")
        said = "\n  ".join([line.strip() for line in whole.splitlines() if line.strip()][-8:])
        if MOVED.search(whole):
            raise RejectedError(f"`git push {' '.join(what)}` was rejected:\n  {said}")
        raise UserError(f"`git push {' '.join(what)}` failed:\n  {said}")

    def _over_network(self, *command: str) -> str:
        done = self._asked(*command)
        if done.returncode:
            raise self._failure(done)
        return done.stdout.decode(errors="replace")

    def _asked(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return self._git(*command, limit=NETWORK_SECONDS)
        except TooLongError as error:
            said = f"`{REMOTE}` does not answer: `git {command[0]}` did not end within {NETWORK_SECONDS:g} seconds"
            raise UserError(said) from error
