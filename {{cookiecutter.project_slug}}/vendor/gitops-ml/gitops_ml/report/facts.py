"""What Git alone says of a change: settings, packages, stages, and what decides; whoever may have written it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitops_ml.core.errors import UserError
from gitops_ml.report import decisive, forms
from gitops_ml.report.content import Change, Facts, Stage
from gitops_ml.versions import requirements
from gitops_ml.versions.git import Git

PACKAGES = (requirements.LOCK, requirements.TRAIN, requirements.SERVE)
READ = ("dvc.lock", "params.yaml", "schema.yaml", *PACKAGES)
UNCHANGED = "as at the base"
COMPUTED = "new result"


def read(git: Git, old: str, new: str, main: str) -> Facts:
    """What Git alone says of a change from one commit or tree to another, which anybody may have written.

    Raises:
        UserError: a file of one of the two cannot be read; the message names it.
    """
    texts = {path: (git.read(old, path), git.read(new, path)) for path in READ}
    before, after = (stages(content) for content in texts["dvc.lock"])
    fates = [Stage(name=name, fate=UNCHANGED if before.get(name) == after[name] else COMPUTED) for name in after]
    params = _changes("params.yaml", *texts["params.yaml"])
    with _readable("dvc.lock"):
        # As the lock has it, the right to execute a file is no part of it.
        changed = [file.path for file in decisive.differing(git, old, new) if file.has_other_bytes]
        stale = sorted(set(_stale(git, new, before, after, changed)))
    return Facts(
        changed=any(stage.fate != UNCHANGED for stage in fates),
        decisive=decisive.changes(git, old, new, main),
        stale=stale,
        # What judges is decisive.
        params=[each for each in params if not forms.is_judging(each.name)],
        schema_changes=_changes("schema.yaml", *texts["schema.yaml"]),
        packages=_packages(texts),
        stages=fates,
    )


def working_tree(git: Git) -> str:
    """The tree that a commit of everything here would have; the index stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.said("read-tree", "HEAD", env=index)
        git.said("add", "--all", env=index)
        return git.said("write-tree", env=index)


def stages(content: bytes | str | None) -> dict[str, Any]:
    """The stages of a dvc.lock, by their names; none where there is none yet.

    Raises:
        UserError: it is no dvc.lock.
    """
    with _readable("dvc.lock"):
        found: dict[str, Any] = (forms.load_as_dvc(content) or {"stages": {}})["stages"]
        return {name: dict(stage) for name, stage in found.items()}


def _stale(git: Git, tree: str, before: dict[str, Any], after: dict[str, Any], changed: list[str]) -> Iterator[str]:
    """The inputs of stages that are not what dvc.lock says that they were."""
    tracked = {path.removesuffix(".dvc") for path in git.paths(tree) if path.endswith(".dvc")}
    for name, stage in after.items():
        known = before.get(name, {}).get("deps", [])
        for entry in stage.get("deps", []):
            path = entry["path"]
            if path in tracked:
                is_other = entry["md5"] != _loaded(git, tree, f"{path}.dvc")["outs"][0]["md5"]
            else:
                is_other = entry in known and any(each == path or each.startswith(f"{path}/") for each in changed)
            if is_other:
                yield path
        for path, values in stage.get("params", {}).items():
            current = _loaded(git, tree, path)
            yield from (f"{setting} of {path}" for setting, value in values.items() if _at(current, setting) != value)


def _loaded(git: Git, tree: str, path: str) -> Any:
    if not path.isprintable():
        raise ValueError(f"{path!r} is no path")
    return forms.load_as_dvc(git.read(tree, path))


def _at(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _changes(path: str, before: bytes | None, after: bytes | None) -> list[Change]:
    """The settings that differ between two YAML files, by their dotted names."""
    with _readable(path):
        old, new = (forms.settings(content) for content in (before, after))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [Change(name=name, before=old.get(name), after=new.get(name)) for name in names]


def _packages(texts: dict[str, tuple[bytes | None, bytes | None]]) -> list[requirements.PackageChange]:
    with _readable(requirements.LOCK):
        before, after = (
            {path: None if (content := texts[path][side]) is None else content.decode() for path in PACKAGES}
            for side in (0, 1)
        )
        # The lock is long, and mostly the same.
        return requirements.changes(before, after) if before != after else []


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from error
