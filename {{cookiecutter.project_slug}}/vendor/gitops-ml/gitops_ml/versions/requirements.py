"""The exports of uv.lock: which packages train, and which serve. Stages and the Bento depend on these alone.

The whole lock names every tool of the project, and an update of one of them is no reason to train or to release again.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, model_validator
from uv import find_uv_bin

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.versions.revision import Revision

LOCK = "uv.lock"
TRAIN = "requirements/train.txt"
SERVE = "requirements/serve.txt"


Use = Literal["trains and serves", "trains", "serves", "a tool"]


class PackageChange(BaseModel):
    """A package that came, went or has another version; what it is used for says whether that asks for training."""

    name: str
    before: str | None
    after: str | None
    use: Use


def changes(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> list[PackageChange]:
    """The packages that differ between two commits, those that train first.

    Args:
        before: the texts of uv.lock and of both exports; None for what the commit does not have.
        after: the same of the other commit.
    """
    old, new = (_versions(texts.get(LOCK)) for texts in (before, after))
    trains, serves = (
        {name for texts in (before, after) for name in _names(texts.get(path))} for path in (TRAIN, SERVE)
    )
    uses: dict[tuple[bool, bool], Use] = {
        (True, True): "trains and serves",
        (True, False): "trains",
        (False, True): "serves",
        (False, False): "a tool",
    }
    found = [
        PackageChange(name=name, before=old.get(name), after=new.get(name), use=uses[name in trains, name in serves])
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return sorted(found, key=lambda change: get_args(Use).index(change.use))


def write(root: Path) -> list[str]:
    """Write the exports that are out of step with uv.lock and params.yaml; returns which."""
    found = {path: text for path, text in exports(root).items() if _stands(root, path) != text}
    for path, text in found.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return list(found)


def require_current(root: Path) -> None:
    """Hold the exports to uv.lock and params.yaml.

    Raises:
        UserError: one is out of step; the message says what to run.
    """
    if differing := [path for path, text in exports(root).items() if _stands(root, path) != text]:
        raise UserError(
            f"{', '.join(differing)} is not what uv.lock and the estimator of params.yaml give; "
            "run `gitops-ml lock export`, then `make repro`"
        )


def require_installed(root: Path) -> None:
    """Hold the packages that train here to uv.lock: what is not installed cannot train.

    Raises:
        UserError: others are installed, or another Python; the message ends with what uv would change.
    """
    check = ("sync", "--frozen", "--offline", "--check", "--inexact")
    # The environment that runs this, whatever is activated.
    environment = {"UV_PROJECT_ENVIRONMENT": sys.prefix}
    try:
        run(find_uv_bin(), *check, *_only(root, "train"), cwd=root, env=environment)
    except UserError as error:
        if "The environment is outdated" not in str(error):
            raise
        changes = ", ".join(re.findall(r"^ *([-+~] .+)$", str(error), re.MULTILINE)) or "another Python"
        raise UserError(f"what trains here is not installed as uv.lock says ({changes}); run `make setup`") from error


def exports(root: Path) -> dict[str, str]:
    """What each export has to hold; packages from folders, such as the automation itself, are in none.

    Raises:
        UserError: uv.lock is missing, or cannot be read.
    """
    plain = ("--no-header", "--no-annotate")
    return {
        # Versions decide what is trained; what is installed into an image is held to its bytes.
        TRAIN: export(root, "train", "--no-hashes", *plain) + "\n",
        SERVE: export(root, "serve", *plain) + "\n",
    }


def export(root: Path, group: str, *options: str) -> str:
    """What uv says of a group of pyproject.toml and the estimator's package, as uv.lock has them."""
    fixed = ("--frozen", "--quiet", "--no-emit-local")
    return run(find_uv_bin(), "export", *fixed, *_only(root, group), *options, cwd=root)


def estimator_groups(root: Path) -> list[str]:
    """The groups of pyproject.toml with the packages of the estimators in params.yaml; scikit-learn's need none.

    Raises:
        UserError: params.yaml is missing or wrong; the message names the setting.
    """
    train = Revision(root, None).settings("params.yaml", _Params).train
    packages = {each.path.partition(".")[0] for each in (train.estimator, *train.candidates) if each}
    return sorted(packages & groups(root))


def groups(root: Path) -> set[str]:
    """The names of the dependency groups of pyproject.toml.

    Raises:
        UserError: the file is missing or wrong.
    """
    try:
        return set(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"])
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"pyproject.toml has no dependency groups that can be read: {error}") from error


def _only(root: Path, group: str) -> list[str]:
    return [word for name in (group, *estimator_groups(root)) for word in ("--only-group", name)]


class _Estimator(BaseModel):
    path: str


class _Train(BaseModel):
    estimator: _Estimator | None = None
    candidates: list[_Estimator] = []

    @model_validator(mode="after")
    def _something_is_named(self) -> Self:
        if self.estimator is None and not self.candidates:
            raise ValueError("names neither an estimator nor candidates")
        return self


class _Params(BaseModel):
    """What is asked of params.yaml here; the stages hold all of it to its form."""

    train: _Train


def _versions(lock: str | None) -> dict[str, str]:
    """The packages of a uv.lock; where Pythons need different ones, all versions."""
    versions: dict[str, set[str]] = {}
    for package in tomllib.loads(lock or "").get("package", []):
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
    return {name: ", ".join(sorted(found)) for name, found in versions.items()}


def _names(export: str | None) -> set[str]:
    """The packages of an export; the lines with their hashes are indented."""
    return set(re.findall(r"^[A-Za-z0-9][A-Za-z0-9._-]*", export or "", re.MULTILINE))


def _stands(root: Path, path: str) -> str | None:
    return (root / path).read_text(encoding="utf-8") if (root / path).is_file() else None
