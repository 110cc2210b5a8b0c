"""Asks a container registry for an image, as the OCI Distribution Specification 1.1 says."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import httpx

from ci.errors import UserError
from ci.record import Image

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
SECONDS = 20.0
LOOPBACK = re.compile(r"^(localhost|127\.0\.0\.1)(:|$)")


def require(image: Image, seconds: float = SECONDS) -> str:
    """Have the registry say that it holds an image under its digest.

    Raises:
        UserError: it does not, does not let us ask, or does not answer; each is another sentence.
    """
    host, _, name = image.name.partition("/")
    scheme = "http" if LOOPBACK.match(host) else "https"
    url = f"{scheme}://{host}/v2/{name}/manifests/{image.digest}"
    try:
        with httpx.Client(timeout=seconds, follow_redirects=True) as client:
            answer = client.head(url, headers={"accept": MANIFESTS})
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                token = _authorization(client, answer.headers.get("www-authenticate", ""), host)
                answer = client.head(url, headers={"accept": MANIFESTS} | token)
    except httpx.TimeoutException as error:
        raise UserError(f"the registry {host} does not answer within {seconds:g} seconds; try again") from error
    except (httpx.HTTPError, ValueError) as error:
        raise UserError(f"the registry {host} cannot be reached: {error}") from error
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise UserError(f"the registry {host} does not let us ask for {name} ({answer.status_code}); log in to it")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise UserError(f"the registry {host} has no image {name}@{image.digest}")
    if not answer.is_success:
        raise UserError(f"the registry {host} answers {answer.status_code} when asked for {name}; try again later")
    if answer.headers.get("docker-content-digest", image.digest) != image.digest:
        raise UserError(f"the registry {host} has another image under {name}@{image.digest}")
    return f"the registry has {name}@{image.digest[:19]}"


def _authorization(client: httpx.Client, challenge: str, host: str) -> dict[str, str]:
    """What `docker login` left for a registry, exchanged for a token where the registry asks for one."""
    basic = _login(host)
    if challenge.lower().startswith("basic"):
        return basic
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if "realm" not in asked:
        return basic
    wanted = {name: asked[name] for name in ("service", "scope") if name in asked}
    answer = client.get(asked["realm"], params=wanted, headers=basic)
    if not answer.is_success:
        return basic
    given = answer.json()
    return {"authorization": f"Bearer {given.get('token') or given.get('access_token')}"}


def _login(host: str) -> dict[str, str]:
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        known = json.loads(path.read_text())["auths"][host]["auth"]
        base64.b64decode(known, validate=True)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"authorization": f"Basic {known}"}
