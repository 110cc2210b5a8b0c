"""The exports of uv.lock: which packages train, and which serve. Stages and the Bento depend on these alone.

The whole lock names every tool of the project, and an update of one of them is no reason to train or to release again.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml
from uv import find_uv_bin

from gitops_ml.core.errors import UserError
from gitops_ml.core.run import run

TRAIN = "requirements/train.txt"
SERVE = "requirements/serve.txt"
# Versions decide what is trained; what is installed into an image is held to its bytes.
OPTIONS = {TRAIN: ("--no-hashes", "--only-group", "train"), SERVE: ("--only-group", "serve")}


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


def exports(root: Path) -> dict[str, str]:
    """What each export has to hold; packages from folders, such as the automation itself, are in none.

    Raises:
        UserError: uv.lock is missing or does not fit pyproject.toml.
    """
    estimator = [word for group in estimators_group(root) for word in ("--only-group", group)]
    how = ("export", "--frozen", "--quiet", "--no-header", "--no-annotate", "--no-emit-local")
    return {path: run(find_uv_bin(), *how, *options, *estimator, cwd=root) + "\n" for path, options in OPTIONS.items()}


def estimators_group(root: Path) -> list[str]:
    """The group of pyproject.toml with the package of the estimator in params.yaml; scikit-learn's need none."""
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    package = str(params["train"]["estimator"]["path"]).partition(".")[0]
    return [package] if package in groups(root) else []


def groups(root: Path) -> set[str]:
    """The names of the dependency groups of pyproject.toml."""
    return set(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"])


def _stands(root: Path, path: str) -> str | None:
    return (root / path).read_text(encoding="utf-8") if (root / path).is_file() else None
