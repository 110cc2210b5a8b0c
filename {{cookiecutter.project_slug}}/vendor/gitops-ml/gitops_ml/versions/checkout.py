"""A checkout of its own beside the working tree, for work that nobody's files are to be touched by."""

from __future__ import annotations

import shutil
from pathlib import Path

from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import REMOTE

NAME = "project"
FETCHED = f"+refs/remotes/{REMOTE}/*:refs/remotes/{REMOTE}/*"
# DVC's settings of this clone alone, credentials among them.
LOCAL = Path(".dvc") / "config.local"


def beside(root: Path, place: Path, commit: str) -> Path:
    """A fresh clone at a commit, which shares objects and credentials with the one at `root`; where it is.

    `place` is a folder below `root`; what an earlier run left there is removed.
    """
    shutil.rmtree(root / place, ignore_errors=True)
    clone = root / place / NAME
    clone.parent.mkdir(parents=True)
    Git(root).said("clone", "--quiet", "--shared", "--no-checkout", str(root), str(clone))
    copy = Git(clone)
    # What was fetched, from here: the credentials for the real origin may be settings of this clone alone.
    copy.said("fetch", "--quiet", "--prune", REMOTE, FETCHED)
    copy.said("checkout", "--quiet", "--detach", commit)
    if (root / LOCAL).exists():
        shutil.copy(root / LOCAL, clone / LOCAL)
    return clone
