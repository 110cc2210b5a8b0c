"""What this machine lacks so that an agent could work on it; asked before something serves, not found out after."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gitops_ml.core import programs
from gitops_ml.core.errors import UserError, said
from gitops_ml.core.project import Environment
from gitops_ml.core.storage import digest_of
from gitops_ml.host import units
from gitops_ml.host.host import Host
from gitops_ml.promotion import health
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions.git import MAIN
from gitops_ml.versions.objects import COMMAND, REMOTE

# A release with its packages takes about a third of that, and there are two while one replaces the other.
ROOM = 1024**3


def here(repository: Repository) -> list[Environment]:
    """The environments that serve on this machine: where an agent was at work, or all if one is set up and was not."""
    root = repository.git.root
    able = [each for each in repository.policy.environments if each.runner != "cluster"]
    begun = [each for each in able if (root / ".deploy" / each.name).exists()]
    return begun or (able if units.installed(root) else [])


def lacking(repository: Repository, settings: Environment) -> Iterator[str]:
    """A sentence for each thing that an agent would miss, with what to do about it; nothing is changed."""
    root = repository.git.root
    host = Host(root, root / ".deploy" / settings.name)
    questions: list[Callable[[], object]] = [
        lambda: _may_report(repository, host, settings),
        lambda: repository.storage.has(digest_of(b"")),
        lambda: _programs(root, settings),
        lambda: _room(host.folder),
        lambda: host.port.require_free_or_ours(settings.port),
    ]
    for question in questions:
        try:
            question()
        except (UserError, OSError) as error:
            yield said(error)


def _may_report(repository: Repository, host: Host, settings: Environment) -> None:
    ref = f"refs/heads/{health.PREFIX}{settings.name}/{health.host_of(host.folder, settings)}"
    main = repository.git.tip(MAIN)
    try:
        programs.run(
            *COMMAND,
            *("push", "--dry-run", "--quiet", "--force", REMOTE, f"{main}:{ref}"),
            cwd=repository.git.root,
            limit=programs.NETWORK_SECONDS,
        )
    except UserError as error:
        raise UserError(f"it may not push to {REMOTE}, so it cannot report: give this clone a key that may") from error


def _programs(root: Path, settings: Environment) -> None:
    if settings.runner == "compose":
        try:
            programs.run("docker", "compose", "version", cwd=root, limit=programs.NETWORK_SECONDS)
            programs.run("docker", "info", cwd=root, limit=programs.NETWORK_SECONDS)
        except UserError as error:
            raise UserError(
                f"`runner: compose` needs docker with its compose plug-in, and this user in its group: {error}"
            ) from error
        return
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    above = next(each for each in (cache, *cache.parents) if each.exists())
    if not os.access(above, os.W_OK):
        raise UserError(f"packages cannot be kept in {cache}: give this user a home, or UV_CACHE_DIR in its unit")


def _room(folder: Path) -> None:
    above = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(above, os.W_OK):
        raise UserError(f"nothing can be written to {above}: give it to the agent's user")
    if (free := shutil.disk_usage(above).free) < ROOM:
        raise UserError(
            f"{above} has room for {free / ROOM:.1f} GiB, and a release beside the one before needs 1: make room"
        )
