"""Logins are found where the container engines keep them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from gitops_ml.image import logins

LOGIN = base64.b64encode(b"somebody:secret").decode()
ANOTHER = base64.b64encode(b"another:secret").decode()
# By docker's protocol: the registry comes in, JSON goes out.
HELPER = """#!/bin/sh
test "$1" = get && test "$(cat)" = kept.example.com && echo '{"Username": "somebody", "Secret": "secret"}'
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which docker and podman keep what they keep in a folder of the test."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def keep(path: Path, **kept: Any) -> None:
    """Write what an engine keeps."""
    path.write_text(json.dumps(kept))


def test_a_login_in_a_file_is_found(tmp_path: Path) -> None:
    """docker's file comes first, podman's after it; Docker Hub has a name of its own there."""
    assert logins.basic("docker.io") is None
    keep(
        tmp_path / "auth.json",
        auths={name: {"auth": LOGIN} for name in ("a.example.com", "b.example.com", "docker.io")},
    )
    assert logins.basic("docker.io") == LOGIN
    keep(
        tmp_path / "config.json",
        auths={"b.example.com": {"auth": ANOTHER}, "https://index.docker.io/v1/": {"auth": ANOTHER}},
    )
    assert logins.basic("a.example.com") == LOGIN
    assert logins.basic("b.example.com") == ANOTHER
    assert logins.basic("docker.io") == ANOTHER
    assert logins.basic("c.example.com") is None


def test_a_login_that_a_helper_keeps_is_asked_for(tmp_path: Path) -> None:
    """The helper for all registries, or for one, is asked; one that knows nothing, or is not there, has none."""
    (tmp_path / "docker-credential-own").write_text(HELPER)
    (tmp_path / "docker-credential-own").chmod(0o755)
    for kept in ({"credsStore": "own"}, {"credHelpers": {"kept.example.com": "own"}}):
        keep(tmp_path / "config.json", **kept)
        assert logins.basic("kept.example.com") == LOGIN
        assert logins.basic("other.example.com") is None
    keep(tmp_path / "config.json", credsStore="gone", auths={"kept.example.com": {"auth": ANOTHER}})
    assert logins.basic("kept.example.com") == ANOTHER


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"auths": []}', '{"credHelpers": null}', '{"credHelpers": []}', '{"auths": {"a": {"auth": "%"}}}'],
)
def test_a_damaged_file_holds_no_login(tmp_path: Path, text: str) -> None:
    """What cannot be read is no login, and no failure."""
    (tmp_path / "config.json").write_text(text)
    assert logins.basic("a") is None
