"""Repositories of others, only read: folders in place, URLs by what is fetched of them into a cache.

Nobody is asked for a password, nothing takes longer than it may, and no command is a line for a shell.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import TooLongError
from gitops_ml.fleet.listing import SCHEMES, SHORT, URL, Source
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import REMOTE, DamagedError

# Under this name, Git is told a URL by its environment: neither the list of processes nor the cache has it then.
LISTED = "listed"
HEADS = "refs/heads/"
WANTED = re.compile(
    rf"{MAIN}|holds|freezes|(env|health|monitor)/[a-z0-9-]+|agents/[a-z0-9-]+/[A-Za-z0-9-]+"
    r"|(promote|rollback)/[a-z0-9-]+/[0-9a-f]{16}-[0-9a-f]{8}"
)
REF = re.compile(r"(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})\trefs/heads/(?P<branch>\S+)")
# What is larger is no record or setting of a project.
BYTES = 4_000_000
SILENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "force",
    "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
Found = TypeVar("Found")


class FailedError(UserError):
    """Git itself failed; the message is what it says."""


class Clone(Git):
    """A repository, with the branches that it had when it was opened."""

    def __init__(self, root: Path, deadline: float, env: Mapping[str, str] | None = None) -> None:
        """Open it.

        Args:
            root: where it is.
            deadline: until when it may be asked, by `time.monotonic`.
            env: what Git is told beside what it is told of all.
        """
        super().__init__(root)
        self.deadline, self.env = deadline, {**SILENT, **(env or {})}
        self.tips: dict[str, str] = {}

    def tip(self, branch: str) -> str | None:
        """See Git."""
        return self.tips.get(branch)

    def branches(self, prefix: str) -> dict[str, str]:
        """See Git."""
        return {branch: commit for branch, commit in self.tips.items() if branch.startswith(prefix)}

    def read_all(self, names: Iterable[str]) -> list[bytes | None]:
        """See Git; what is larger than anything of ours is refused."""
        wanted = list(names)
        if any("\n" in name for name in wanted):
            raise UserError("a file has a line break in its name, as none of a project has")
        lines = "".join(f"{each}\n" for each in wanted).encode()
        sizes = self.said("cat-file", "--batch-check=%(objectsize)", content=lines)
        if any(size.isdigit() and int(size) > BYTES for size in sizes.splitlines()):
            raise UserError(f"a file of it has more than {BYTES:,} bytes, as none that is read here should have")
        return super().read_all(wanted)

    def _git(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooLongError("out of time")
        limit = left if limit is None else min(left, limit)
        return super()._git(*command, env={**self.env, **(env or {})}, content=content, limit=limit)

    def _failure(self, done: subprocess.CompletedProcess[bytes]) -> UserError:
        lines = done.stderr.decode(errors="replace").splitlines()
        said = [re.sub(r"^(fatal|error|remote): *", "", line.strip()) for line in lines]
        return FailedError(" ".join(line for line in said if line) or f"git {done.args[-1]} failed")


def opened(source: Source, cache: Path, deadline: float, use: Callable[[Clone], Found]) -> Found:
    """What is found in a repository.

    What a cache had is thrown away if it is of no use, and fetched anew, once.

    Raises:
        UserError: it cannot be read; what the message says may have the URL in it.
    """
    if source.folder:
        return use(_here(source.folder, deadline))
    named = asking(source, cache, deadline)
    listed = _listed(named)
    folder = cache / f"{source.key}.git"
    with _alone(folder, deadline):
        was_there = folder.exists()
        try:
            return use(_fetched(folder, named, listed))
        except (DamagedError, FailedError):
            if not was_there:
                raise
        shutil.rmtree(folder)
        return use(_fetched(folder, named, listed))


def asking(source: Source, cache: Path, deadline: float) -> Clone:
    """Git in the cache's folder, with a source that it knows as LISTED.

    Raises:
        UserError: it is no URL that is asked here.
    """
    place = str(source.folder.resolve()) if source.folder else source.given
    found = URL.fullmatch(source.given)
    if not source.folder and not (found and found["scheme"].lower() in SCHEMES) and not SHORT.fullmatch(place):
        raise UserError(f"only {', '.join(f'{each}://' for each in SCHEMES)}, host:path and folders are read")
    cache.mkdir(parents=True, exist_ok=True)
    number = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    env = {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": f"remote.{LISTED}.url",
        f"GIT_CONFIG_VALUE_{number}": place,
        "GIT_CEILING_DIRECTORIES": str(cache.resolve()),
    }
    return Clone(cache, deadline, env)


def last_fetched(git: Clone) -> datetime | None:
    """When a clone last asked its origin, or was made; None of what is no clone."""
    names = ("FETCH_HEAD", f"refs/remotes/{REMOTE}/HEAD")
    paths = (git.root / git.said("rev-parse", "--git-path", name) for name in names)
    path = next((each for each in paths if each.exists()), None)
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0) if path else None


def _here(folder: Path, deadline: float) -> Clone:
    """A repository of this machine. Where a clone knows branches of its origin, these count, as in every command."""
    if not folder.is_dir():
        raise UserError("there is no such folder")
    folder = folder.resolve()
    git = Clone(folder, deadline, {"GIT_CEILING_DIRECTORIES": str(folder.parent)})
    git.tips = git.refs(HEADS, "") | git.refs(f"refs/remotes/{REMOTE}/", "")
    return git


def _listed(named: Clone) -> dict[str, str]:
    """What the repository has now, of what is looked at."""
    lines = (REF.fullmatch(line) for line in named.said("ls-remote", "--heads", LISTED).splitlines())
    return {line["branch"]: line["commit"] for line in lines if line and WANTED.fullmatch(line["branch"])}


def _fetched(folder: Path, named: Clone, listed: Mapping[str, str]) -> Clone:
    """The newest commit of each branch, without what came before."""
    if not folder.exists():
        named.said("init", "--quiet", "--bare", folder.name)
    git = Clone(folder, named.deadline, named.env)
    known = git.refs(HEADS, "")
    if known != listed:
        if gone := sorted(set(known) - set(listed)):
            git.said("update-ref", "--stdin", content="".join(f"delete {HEADS}{each}\n" for each in gone).encode())
        wanted = "".join(f"+{HEADS}{each}:{HEADS}{each}\n" for each in listed).encode()
        how = ("--quiet", "--depth=1", "--no-tags", "--force", "--no-write-fetch-head", "--stdin")
        if listed:
            # What tidies the cache now and then ends with the command.
            git.said("-c", "gc.autoDetach=false", "fetch", *how, LISTED, content=wanted)
    git.tips = git.refs(HEADS, "")
    return git


@contextmanager
def _alone(folder: Path, deadline: float) -> Iterator[None]:
    """Keep others that read the same list off a folder of the cache."""
    try:
        with FileLock(f"{folder}.lock", timeout=max(deadline - time.monotonic(), 0)):
            yield
    except Timeout as error:
        raise TooLongError("somebody else reads it into the same cache") from error
