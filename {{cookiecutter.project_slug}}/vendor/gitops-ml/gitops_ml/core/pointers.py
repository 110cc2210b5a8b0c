"""data/*.dvc: which bytes the data has. Git moves these pointers and DVC the data, so that the two can differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run


def found(root: Path) -> list[str]:
    """The pointers of the project."""
    return sorted(path.relative_to(root).as_posix() for path in (root / "data").glob("*.dvc"))


def hashes(root: Path) -> dict[str, str]:
    """The hash of the data that each pointer names, by the data's path.

    Raises:
        UserError: a pointer has not the form of one.
    """
    named: dict[str, str] = {}
    for pointer in found(root):
        try:
            outs = yaml.safe_load((root / pointer).read_text(encoding="utf-8"))["outs"]
            named |= {f"{Path(pointer).parent.as_posix()}/{out['path']}": str(out["md5"]) for out in outs}
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise UserError(f"{pointer} names no data; restore it with `git checkout {pointer}`") from error
    return named


@progress.doing("comparing the data with what Git names")
def differing(root: Path) -> list[str]:
    """The data that stands there and is not what its pointer names; what does not stand there is no other data."""
    if not (pointers := found(root)):
        return []
    said: dict[str, list[Any]] = json.loads(run(*DVC, "status", "--json", *pointers, cwd=root))
    changed = [entry.get("changed outs", {}) for entries in said.values() for entry in entries]
    return sorted(path for outs in changed for path, how in outs.items() if how not in ("deleted", "not in cache"))


def require_followed(root: Path) -> None:
    """Hold the data that stands there to what Git names: it may be that of another branch.

    Raises:
        UserError: it is not; the message says how to settle that either way.
    """
    if paths := differing(root):
        each = ", ".join(paths)
        raise UserError(
            f"{each} is not what {', '.join(f'{path}.dvc' for path in paths)} names: `make pull` brings that, as after "
            f"`git switch`, `git pull` or `git merge`, which move the pointer alone; if what stands there is right, "
            f"`.venv/bin/dvc add {' '.join(paths)}` makes it the data"
        )
