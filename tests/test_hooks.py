"""Answers are validated before anything is written, one sentence each, and are never more than data."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ci.shell import environment

MARK = "__import__('os').system('touch pwned')"


def attempt(template: Path, into: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    """Bake on the command line with the given answers."""
    command = ["cookiecutter", str(template), "--no-input", "--output-dir", str(into)]
    env = environment() | {"PATH": os.environ["PATH"], "HOME": str(into.parent)}
    given = [f"{name}={value}" for name, value in answers.items()]
    return subprocess.run([*command, *given], cwd=into, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """An empty folder to bake into."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("answer", "value", "sentence"),
    [
        ("project_slug", "Upper", "cannot name a folder"),
        ("project_slug", "-x", "cannot name a folder"),
        ("project_slug", "a--b", "cannot name a folder"),
        ("project_slug", "1x", "cannot name a folder"),
        ("project_slug", "a b", "cannot name a folder"),
        ("project_slug", "ünï", "cannot name a folder"),
        ("project_slug", "x" * 51, "cannot name a folder"),
        ("project_slug", "con", "reserved name"),
        ("project_slug", "kube-system", "reserved name"),
        ("project_name", " ", "project_name is empty"),
        ("description", "", "description is empty"),
        ("description", "one\ntwo", "control character"),
        ("project_name", "bell\x07", "control character"),
        ("owner", "-acme", "no GitHub name"),
        ("owner", "a b", "no GitHub name"),
        ("owner", "x" * 40, "no GitHub name"),
        ("image_registry", "GHCR.io/acme", "no registry"),
        ("image_registry", "https://ghcr.io/acme", "no registry"),
        ("image_registry", "ghcr.io/acme/", "no registry"),
        ("image_registry", "ghcr.io/acme:tag", "no registry"),
        ("dvc_remote", "s3://", "no storage"),
        ("dvc_remote", "ftp://host/path", "no storage"),
        ("dvc_remote", "a folder", "no storage"),
        ("dvc_remote", "x\n[core]\nanalytics = true", "control character"),
        ("dvc_remote", "", "dvc_remote is empty"),
        ("dvc_remote", "storage", "outside of the project"),
        ("dvc_remote", "s3://bucket/%(x)s", "no storage"),
        ("dvc_remote", "ssh://me:secret@host/path", "without a password"),
        ("description", "one\x90two", "control character"),
        ("description", "one\x85two", "control character"),
        ("description", "one\u202etwo", "control character"),
        ("description", "blank at the end ", "begins or ends with a blank"),
    ],
)
def test_a_bad_answer_gets_a_sentence_and_no_project(
    template: Path, into: Path, answer: str, value: str, sentence: str
) -> None:
    """An answer that cannot be used is named, the exit code is not 0, and nothing is left behind."""
    refused = attempt(template, into, **{"project_slug": "fine"} | {answer: value})
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert refused.returncode != 0
    assert any(answer in line and sentence in line for line in errors), refused.stderr
    assert not list(into.iterdir())


def test_a_slug_cannot_leave_the_folder(template: Path, into: Path) -> None:
    """A slug that climbs out of the output folder is refused, and nothing appears out there."""
    refused = attempt(template, into, project_slug="../outside")
    assert refused.returncode != 0
    assert not (into.parent / "outside").exists()


def test_all_bad_answers_are_named_at_once(template: Path, into: Path) -> None:
    """Two bad answers are both reported, so that one more try is enough."""
    refused = attempt(template, into, owner="-", image_registry="X")
    assert "error: owner" in refused.stderr
    assert "error: image_registry" in refused.stderr


@pytest.mark.parametrize("answer", ["project_name", "description", "owner", "image_registry", "dvc_remote"])
@pytest.mark.parametrize(
    "hostile",
    [
        f"''' + {MARK} + '''",
        f'""" + {MARK} + """',
        f'"]); {MARK} #',
        "\\",
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "%(x)s %s {0}",
    ],
)
def test_a_hostile_answer_is_data(template: Path, into: Path, answer: str, hostile: str) -> None:
    """An answer that looks like Python or shell is taken as text or refused with a sentence; neither is run.

    What cookiecutter itself does with an answer on its command line is not ours to change: it renders Jinja in it.
    """
    done = attempt(template, into, **{"project_slug": "fine", answer: hostile})
    assert done.returncode == 0 or f"error: {answer}" in done.stderr, done.stderr
    assert not list(into.parent.rglob("pwned"))


def test_an_existing_project_is_not_touched(template: Path, into: Path) -> None:
    """Baking over an existing folder is refused, and the folder keeps what it holds."""
    (into / "late-flights").mkdir()
    (into / "late-flights" / "mine").write_text("precious")
    assert attempt(template, into).returncode != 0
    assert [path.name for path in (into / "late-flights").iterdir()] == ["mine"]
