"""What a project was made from, as `.template.json` says it, or else cruft's file."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import Git

# Where a Makefile was there before, the project's lies beside it.
MAKEFILE, BESIDE = "Makefile", "gitops-ml.mk"
FILE = ".template.json"
CRUFT = ".cruft.json"
VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
LICENSES = {"Apache License": "Apache-2.0", "MIT License": "MIT", "BSD 3-Clause License": "BSD-3-Clause"}


class Record(BaseModel):
    """What was baked.

    Attributes:
        template: where the template comes from, a URL or a folder; empty if nobody knows.
        version: of the template; empty if only the commit is known.
        commit: of the template; empty if only the version is known.
        bake: the hash of all baked files; empty if nobody knows.
        answers: to the template's questions.
        signed: record and signature of the version, as its tag has them; empty if it has none.
        moved: in an adopted repository, files of the template by where they lie there; nothing for what it has not.
    """

    template: str = ""
    version: str = ""
    commit: str = ""
    bake: str = ""
    answers: dict[str, str]
    signed: str = ""
    moved: dict[str, str] = {}

    @property
    def written(self) -> bytes:
        """The file, as the template's hook writes it."""
        left_out = {name for name in ("signed", "moved") if not getattr(self, name)}
        return (json.dumps(self.model_dump(exclude=left_out), indent=2, ensure_ascii=False) + "\n").encode()


def numbered(name: str) -> tuple[int, ...]:
    """A version's numbers; none of what has no version, which so is older than any."""
    found = VERSION.match(name)
    return tuple(map(int, found.groups())) if found else ()


def read(git: Git, commit: str) -> Record | None:
    """What a commit of the project says that it was made from; None if it says nothing.

    Raises:
        UserError: the file is damaged.
    """
    if (content := git.read(commit, FILE)) is not None:
        try:
            return Record.model_validate_json(content)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise UserError(f"{FILE} of main is damaged ({said}); restore it with `git checkout`") from error
    if (content := git.read(commit, CRUFT)) is not None:
        return _of_cruft(content)
    return None


def _of_cruft(content: bytes) -> Record:
    try:
        found: dict[str, Any] = json.loads(content)
        given = found["context"]["cookiecutter"]
        answers = {name: str(value) for name, value in given.items() if not name.startswith("_")}
        return Record(template=str(found["template"]), commit=str(found["commit"]), answers=answers)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{CRUFT} of main is damaged; restore it with `git checkout`") from error


def in_cruft(content: bytes, commit: str) -> bytes:
    """cruft's file, so that it takes the project for one of this commit."""
    found = json.loads(content)
    return (json.dumps(found | {"commit": commit}, indent=2, separators=(",", ": "), sort_keys=False) + "\n").encode()


def answers_of(git: Git, commit: str) -> dict[str, str]:
    """The answers that a project of a version without a record must have been given, by its files.

    Raises:
        UserError: this is no project of the template.
    """
    try:
        settings = yaml.safe_load(git.read(commit, "project.yaml") or b"")
        image, _, slug = str(settings["image"]).rpartition("/")
        said = {
            "project_name": settings["title"],
            "project_slug": slug,
            "description": settings["description"],
            "owner": settings["owner"],
            "image_registry": image,
        }
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError("main has no project.yaml of this template, so it is no project of it") from error
    first = (git.read(commit, "LICENSE") or b"").decode().strip().partition("\n")[0].strip()
    version = (git.read(commit, ".python-version") or b"").decode().strip()
    url = re.search(r"^\s*url = (.+)$", (git.read(commit, ".dvc/config") or b"").decode(), re.MULTILINE)
    said |= {"license": LICENSES.get(first, "Proprietary")}
    # Only .dvc/config holds the storage's place, and an update leaves that alone.
    remote = url[1] if url and ("://" in url[1] or url[1].startswith("/")) else f"../{slug}-dvc"
    return said | {"dvc_remote": remote} | ({"python_version": version} if version else {})
