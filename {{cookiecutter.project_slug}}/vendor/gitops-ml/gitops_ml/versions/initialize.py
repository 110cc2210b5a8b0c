"""The first commit of a new project."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from gitops_ml.core import signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run, shown
from gitops_ml.versions.git import MAIN

POINTER = "data/raw.dvc"
STORAGE_CONFIG = "remote.storage.url"


def initialize(root: Path) -> None:
    """Put the data into the storage, then commit everything; each thing that was done is told.

    What is done already is left as it is.

    Raises:
        UserError: the folder is part of another repository, the branch is not main, Git cannot commit or sign here, or
            the storage cannot be written to; nothing is committed then.
    """
    begun = _git(root, "rev-list", "--all", "--max-count=1", "--", POINTER) if (root / ".git").exists() else ""
    # In a commit, not in the index alone, where an attempt that failed to reach the storage has left it.
    if begun:
        typer.echo(f"{POINTER} is in commit {begun[:12]} already: nothing was done")
        return
    _require_own_repository(root)
    if not (root / ".git").exists():
        _git(root, "init", "--quiet", f"--initial-branch={MAIN}")
        typer.echo(f"made a Git repository with the branch {MAIN}")
    _stand_on_main(root)
    _require_commits(root)
    typer.echo(f"storage: {_fix_storage(root)}")
    if private := signing.create_key(root):
        typer.echo(f"releases are signed with {private}; keep it secret, and give it to CI as {signing.VARIABLE}")
    shown(*DVC, "add", "data/raw", cwd=root)
    shown(*DVC, "push", cwd=root)
    typer.echo(_install_hooks(root))
    _git(root, "add", "--all")
    shown("git", "commit", "--quiet", "--no-verify", "--message", "Start from cookiecutter-gitops-ml", cwd=root)
    files = len(_git(root, "show", "--format=", "--name-only", "--no-show-signature", "HEAD").splitlines())
    typer.echo(f"committed {files} files to {MAIN} as {_git(root, 'rev-parse', '--short=12', 'HEAD')}")
    typer.echo("next: `make repro` trains the first model")


def _require_own_repository(root: Path) -> None:
    """Environments are branches, so a project has a repository to itself; a folder that one ignores is not in it."""
    if (root / ".git").exists() or _answer(root, "rev-parse", "--is-inside-work-tree") != "true":
        return
    around = _git(root, "rev-parse", "--show-toplevel")
    if _answer(root, "check-ignore", "--quiet", ".") is None:
        raise UserError(
            f"{root} is inside the repository {around}, and a project needs one of its own, since environments are "
            "branches; move the folder out, or run `git init` in it if a repository inside of another is what you want"
        )


def _stand_on_main(root: Path) -> None:
    """Have a repository without commits begin with main; what has commits is not renamed for anybody."""
    branch = _answer(root, "symbolic-ref", "--short", "HEAD")
    if branch == MAIN:
        return
    if branch and _answer(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        _git(root, "symbolic-ref", "HEAD", f"refs/heads/{MAIN}")
        typer.echo(
            f"the branch {branch}, which has no commit, is {MAIN} now: that is the one that releases are made of"
        )
        return
    here = f"the branch {branch} is" if branch else "a commit without a branch is"
    raise UserError(
        f"releases are made of the branch {MAIN}, and {here} checked out; run `git switch {MAIN}`, or if there is none "
        f"yet `git branch --move {MAIN}` (`git switch --create {MAIN}` without a branch), then this again"
    )


def _require_commits(root: Path) -> None:
    """Try what the first commit needs, before anything is stored."""
    if _answer(root, "var", "GIT_COMMITTER_IDENT") is None:
        raise UserError(
            "Git does not know who you are; run `git config --global user.name 'Your Name'` and "
            "`git config --global user.email you@example.org`, then this again"
        )
    if _answer(root, "config", "--type=bool", "commit.gpgsign") == "true":
        try:
            _git(root, "commit-tree", "--gpg-sign", "-m", "Can it be signed?", _git(root, "write-tree"))
        except UserError as error:
            raise UserError(
                "your Git signs commits (commit.gpgsign), and cannot; mend that, or run `git config commit.gpgsign "
                f"false` for this project, then this again: {error}"
            ) from error


def _install_hooks(root: Path) -> str:
    """Have commits checked; where Git looks for hooks elsewhere, what is there stays, and that is said."""
    if elsewhere := _answer(root, "config", "core.hooksPath"):
        return f"no hooks installed: Git takes them from {elsewhere} (core.hooksPath); `make check` runs the same"
    run(sys.executable, "-m", "pre_commit", "install", cwd=root)
    return "hooks check each commit"


def _fix_storage(root: Path) -> str:
    """Where the storage is. A folder is made absolute, so that every clone on this machine finds the same one."""
    url = run(*DVC, "config", STORAGE_CONFIG, cwd=root)
    if "://" not in url:
        url = storage_folder(root, url)
        run(*DVC, "config", STORAGE_CONFIG, url, cwd=root)
    return url


def storage_folder(root: Path, url: str) -> str:
    """The absolute path of a storage that is a folder, as .dvc/config of a project names it.

    Raises:
        UserError: it is inside of the project, or DVC cannot write its name.
    """
    # DVC reads a relative folder from where its config file is.
    path = str((root / ".dvc" / Path(url).expanduser()).resolve())
    if Path(path).is_relative_to(root.resolve()):
        raise UserError(f"the storage {path} is inside the project, where Git would take it; put it elsewhere")
    if not path.isascii():
        raise UserError(f"DVC cannot write the storage {path} into its settings: its path may hold ASCII letters only")
    return path


def _git(root: Path, *arguments: str) -> str:
    return run("git", *arguments, cwd=root)


def _answer(root: Path, *question: str) -> str | None:
    """What Git says to a question; None if it says no by its exit code."""
    try:
        return _git(root, *question)
    except UserError:
        return None
