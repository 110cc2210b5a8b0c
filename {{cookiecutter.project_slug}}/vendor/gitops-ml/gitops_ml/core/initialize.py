"""The first commit of a new project."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from gitops_ml.core import signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run, shown

STORAGE_CONFIG = "remote.storage.url"


def initialize(root: Path) -> None:
    """Put the data into the storage, then commit everything. What is done already is left as it is.

    Raises:
        UserError: Git does not know who commits, or the storage cannot be written to; nothing is committed then.
    """
    if not (root / ".git").exists():
        run("git", "init", "--initial-branch=main", cwd=root)
    # In a commit, not in the index alone, where an attempt that failed to reach the storage has left it.
    if run("git", "rev-list", "--all", "--max-count=1", "--", "data/raw.dvc", cwd=root):
        typer.echo("the data is under DVC already: nothing to do")
        return
    if not _identity_known(root):
        raise UserError(
            "Git does not know who you are; run `git config --global user.name 'Your Name'` and "
            "`git config --global user.email you@example.org`, then this again"
        )
    typer.echo(f"storage: {_fix_storage(root)}")
    if private := signing.create_key(root):
        typer.echo(f"releases are signed with {private}; keep it secret, and give it to CI as {signing.VARIABLE}")
    shown(*_dvc("add", "data/raw"), cwd=root)
    shown(*_dvc("push"), cwd=root)
    run(sys.executable, "-m", "pre_commit", "install", cwd=root)
    run("git", "add", "--all", cwd=root)
    shown("git", "commit", "--quiet", "--no-verify", "--message", "Start from cookiecutter-gitops-ml", cwd=root)
    typer.echo("committed to main; `make repro` trains the first model")


def _fix_storage(root: Path) -> str:
    """Where the storage is. A folder is made absolute, so that every clone on this machine finds the same one."""
    url = run(*_dvc("config", STORAGE_CONFIG), cwd=root)
    if "://" not in url:
        # DVC reads a relative folder from where its config file is.
        url = str((root / ".dvc" / Path(url).expanduser()).resolve())
        if Path(url).is_relative_to(root.resolve()):
            raise UserError(f"the storage {url} is inside the project, where Git would take it; put it elsewhere")
        if not url.isascii():
            raise UserError(
                f"DVC cannot write the storage {url} into its settings: its path may hold ASCII letters only"
            )
        run(*_dvc("config", STORAGE_CONFIG, url), cwd=root)
    return url


def _dvc(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "dvc", *arguments)


def _identity_known(root: Path) -> bool:
    try:
        run("git", "var", "GIT_COMMITTER_IDENT", cwd=root)
    except UserError:
        return False
    return True
