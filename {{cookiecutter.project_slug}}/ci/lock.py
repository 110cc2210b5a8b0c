"""dvc.lock: which bytes the pipeline's results have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import yaml

from ci.errors import UserError


def locked(root: Path) -> dict[str, str]:
    """The hash of each input and output of the pipeline, by path.

    Raises:
        UserError: nothing was trained yet.
    """
    try:
        lock = yaml.safe_load((root / "dvc.lock").read_text())
    except FileNotFoundError as error:
        raise UserError("there is no dvc.lock yet; `make repro` trains the first model") from error
    return {
        entry["path"]: entry["md5"]
        for stage in lock["stages"].values()
        for entry in stage.get("deps", []) + stage.get("outs", [])
    }


def require(root: Path, paths: Iterable[str]) -> None:
    """Hold files of the working tree to dvc.lock, as far as it names them.

    Raises:
        UserError: one is missing, or is another one; the message says what to run.
    """
    named = locked(root)
    for path in paths:
        if path in named and (not (root / path).exists() or _md5(root / path) != named[path]):
            raise UserError(
                f"{path} is not the one that dvc.lock names; `make pull` gets what is missing, `make repro` computes "
                "what was changed"
            )


def _md5(path: Path) -> str:
    # DVC's hash; it names the content, and is no protection. The service checks sha256.
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
