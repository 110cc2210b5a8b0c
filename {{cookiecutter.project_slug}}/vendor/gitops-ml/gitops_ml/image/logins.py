"""The logins to registries that docker, podman or buildah keep for whoever works here, in a file or with a helper."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A helper may ask a question that nobody answers.
SECONDS = 20
# docker knows Docker Hub by another name than the one that images have.
NAMES = {"docker.io": "https://index.docker.io/v1/"}


def basic(host: str) -> str | None:
    """User and password for a registry as HTTP's basic authentication has them; None if nobody has logged in."""
    for kept in _kept():
        helpers = kept.get("credHelpers")
        for name in dict.fromkeys((NAMES.get(host, host), host)):
            helper = (helpers.get(name) if isinstance(helpers, dict) else None) or kept.get("credsStore")
            if found := (helper and _asked(str(helper), name)) or _written(kept, name):
                return found
    return None


def _kept() -> Iterator[dict[str, Any]]:
    """The files with logins: docker's, then the one that podman and buildah share."""
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    running = os.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    podman = Path(os.environ.get("REGISTRY_AUTH_FILE") or f"{running}/containers/auth.json")
    for path in (docker, podman):
        try:
            kept = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(kept, dict):
            yield kept


def _written(kept: dict[str, Any], name: str) -> str | None:
    try:
        known = kept["auths"][name]["auth"]
        base64.b64decode(known, validate=True)
    except (ValueError, KeyError, TypeError):
        return None
    return str(known)


def _asked(helper: str, name: str) -> str | None:
    """What a helper keeps, by docker's protocol of credential helpers: a name to its input, JSON from its output."""
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=name,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        said = json.loads(done.stdout)
        user, secret = said["Username"], said["Secret"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
    # This user's secret is no password, but a token that only its registry exchanges.
    return None if user == "<token>" else base64.b64encode(f"{user}:{secret}".encode()).decode()
