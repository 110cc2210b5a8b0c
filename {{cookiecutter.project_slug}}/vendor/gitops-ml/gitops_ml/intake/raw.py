"""What stands in data/raw and in the settings files now, and what of it may be overwritten."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from gitops_ml.core import pointers
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.intake.take import RAW, Taken
from gitops_ml.versions.git import Git

# What the last `make data` wrote, by its hash: that may be overwritten, anybody's changes may not.
WRITTEN = Path("build/make-data.json")
POINTER = Path("data/raw.dvc")


def put(taken: Taken, keep: bool) -> None:
    """Move the new file into data/raw, and take the others away unless they are kept; then tell DVC."""
    RAW.mkdir(parents=True, exist_ok=True)
    for path in RAW.iterdir() if not keep else []:
        path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)
    os.replace(taken.path, RAW / taken.path.name)
    if POINTER.exists():
        run(*DVC, "add", "--quiet", str(RAW), cwd=Path.cwd())


def files_now() -> dict[str, str]:
    """The files of data/raw and their hashes."""
    return {path.name: sha256(path) for path in sorted(RAW.glob("*")) if path.is_file()}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_git() -> bool:
    return Path(".git").exists()


def first() -> list[str]:
    """What has to be done before the pipeline can run, in a project that has just been generated."""
    return [] if in_git() and POINTER.exists() else ["make init"]


def require_committed(changed: list[str], texts: dict[str, str]) -> None:
    """Refuse to overwrite what is neither committed nor of `make data` itself."""
    if not in_git():
        return
    ours = json.loads(WRITTEN.read_text()) if WRITTEN.exists() else {}
    watched = [path for path in changed if path in texts]
    dirty = Git(Path.cwd()).said("status", "--porcelain", "--", *watched) if watched else ""
    lost = [line[3:] for line in dirty.splitlines() if ours.get(line[3:]) != sha256(Path(line[3:]))]
    if str(RAW) in changed and ours.get(str(RAW)) != files_now() and not _raw_is_committed():
        lost.append(str(RAW))
    if lost:
        raise UserError(
            f"{', '.join(lost)} would be overwritten, and what {'they hold' if len(lost) > 1 else 'it holds'} is not "
            "committed; commit or restore first, nothing was changed"
        )


def _raw_is_committed() -> bool:
    """Whether Git knows what DVC knows of data/raw. Before `make init` nobody does, and a copy is kept instead."""
    if not POINTER.exists() or not files_now():
        return True
    if Git(Path.cwd()).said("status", "--porcelain", "--", str(POINTER)):
        return False
    return is_as_dvc_knows_it()


def is_as_dvc_knows_it() -> bool:
    return RAW.exists() and not pointers.differing(Path.cwd())


def keep(changed: list[str]) -> Path:
    """Copy what will be replaced, in a project that Git does not know yet."""
    stem = f"replaced-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path("build") / stem
    while folder.exists():
        folder = folder.with_name(f"{stem}-{len(list(folder.parent.glob(f'{stem}*')))}")
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            shutil.copytree(path, folder / path)
        elif Path(path).exists():
            shutil.copy(path, folder / path)
    return folder


def remember(texts: dict[str, str]) -> None:
    hashes: dict[str, Any] = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    WRITTEN.parent.mkdir(parents=True, exist_ok=True)
    WRITTEN.write_text(json.dumps(hashes | {str(RAW): files_now()}))
