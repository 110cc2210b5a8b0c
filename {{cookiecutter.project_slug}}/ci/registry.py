"""Talks to a container registry, as the OCI Distribution Specification 1.1 says."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from ci.errors import UserError
from ci.record import Image
from ci.storage import digest_of

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
BINARY = {"content-type": "application/octet-stream"}
SECONDS = 20.0
LOOPBACK = re.compile(r"^(localhost|127\.0\.0\.1)(:|/|$)")


class Repository:
    """The repository of an image's name, in its registry."""

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.host, _, self.name = name.partition("/")
        self.seconds = seconds
        self._url = f"{'http' if is_loopback(self.host) else 'https'}://{self.host}/v2/{self.name}/"

    def manifest(self, reference: str) -> bytes | None:
        """The manifest of a digest or a tag; None if there is none."""
        return self._found(f"manifests/{reference}", {"accept": MANIFESTS})

    def blob(self, digest: str) -> bytes | None:
        """A layer, or what else is stored under its digest; None if there is none, or another one."""
        content = self._found(f"blobs/{digest}", {})
        return content if content is not None and digest_of(content) == digest else None

    def put_blob(self, content: bytes) -> dict[str, Any]:
        """Store a layer; returns size and digest, as a manifest names it."""
        where = httpx.URL(self._asked("POST", "blobs/uploads/").headers["location"])
        where = where.copy_merge_params({"digest": digest_of(content)})
        self._asked("PUT", str(where), content=content, headers=BINARY)
        return {"size": len(content), "digest": digest_of(content)}

    def put_manifest(self, tag: str, manifest: dict[str, Any]) -> None:
        """Store a manifest under a tag."""
        kind = {"content-type": manifest["mediaType"]}
        self._asked("PUT", f"manifests/{tag}", content=json.dumps(manifest).encode(), headers=kind)

    def _found(self, path: str, headers: dict[str, str]) -> bytes | None:
        answer = self._asked("GET", path, headers=headers, expected=(httpx.codes.NOT_FOUND,))
        return None if answer.status_code == httpx.codes.NOT_FOUND else answer.content

    def _asked(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (),
        **what: Any,
    ) -> httpx.Response:
        """Ask, as who has logged in if the registry wants that.

        Raises:
            UserError: it does not let us, or does not answer, or says something else than yes; each another sentence.
        """
        host = self.host
        try:
            with httpx.Client(timeout=self.seconds, follow_redirects=True) as client:
                url = httpx.URL(self._url).join(path)
                answer = client.request(method, url, headers=headers, **what)
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    token = _authorization(client, answer.headers.get("www-authenticate", ""), host)
                    answer = client.request(method, url, headers={**(headers or {}), **token}, **what)
        except httpx.TimeoutException as error:
            raise UserError(
                f"the registry {host} does not answer within {self.seconds:g} seconds; try again"
            ) from error
        except (httpx.HTTPError, ValueError) as error:
            raise UserError(f"the registry {host} cannot be reached: {error}") from error
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise UserError(
                f"the registry {host} does not let us {'read' if method == 'GET' else 'write'} {self.name} "
                f"({answer.status_code}); log in to it"
            )
        if not answer.is_success and answer.status_code not in expected:
            raise UserError(
                f"the registry {host} answers {answer.status_code} when asked for {self.name}; try again later"
            )
        return answer


def require(image: Image, seconds: float = SECONDS) -> str:
    """Have the registry hand out an image's manifest under its digest.

    Raises:
        UserError: it does not, does not let us ask, or does not answer; each is another sentence.
    """
    repository = Repository(image.name, seconds)
    content = repository.manifest(image.digest)
    if content is None:
        raise UserError(f"the registry {repository.host} has no image {repository.name}@{image.digest}")
    if digest_of(content) != image.digest:
        raise UserError(f"the registry {repository.host} has another image under {repository.name}@{image.digest}")
    return f"the registry has {repository.name}@{image.digest[:19]}"


def is_loopback(name: str) -> bool:
    """Whether a registry, or the one of an image, is on this machine; such a one is asked without encryption."""
    return LOOPBACK.match(name) is not None


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
