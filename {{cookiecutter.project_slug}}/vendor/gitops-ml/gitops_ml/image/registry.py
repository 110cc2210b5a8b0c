"""Talks to a container registry, as the OCI Distribution Specification 1.1 says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.core.record import Image
from gitops_ml.core.storage import digest_of
from gitops_ml.image import logins

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MANIFESTS = ", ".join(
    (
        MANIFEST,
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
BINARY = {"content-type": "application/octet-stream"}
SECONDS = 20.0
# Docker Hub's images are named after another host than the one that has them.
SERVERS = {"docker.io": "registry-1.docker.io"}
LOOPBACK = re.compile(r"^(localhost|127\.0\.0\.1)(:|/|$)")


class Descriptor(BaseModel):
    """What a manifest names: its kind, its digest, and notes about it."""

    media_type: str = Field(default="", alias="mediaType")
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    annotations: dict[str, str] | None = None


class Manifest(BaseModel):
    """An image's manifest, or the list of several; what else it says is of no matter here."""

    media_type: str = Field(default=MANIFEST, alias="mediaType")
    config: Descriptor | None = None
    layers: list[Descriptor] = []
    manifests: list[Descriptor] = []


class _Token(BaseModel):
    token: str | None = None
    access_token: str | None = None


class Repository:
    """The repository of an image's name, in its registry."""

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.host, _, self.name = name.partition("/")
        self.seconds = seconds
        self._authorization: dict[str, str] = {}
        self._url = f"{_api(self.host)}{self.name}/"

    def manifest(self, reference: str) -> bytes | None:
        """The manifest of a digest or a tag; None if there is none."""
        return self._found(f"manifests/{reference}", {"accept": MANIFESTS})

    def held(self, content: bytes, reference: str) -> Manifest:
        """What a manifest from here says.

        Raises:
            UserError: it is none, or another one than its digest says.
        """
        if reference.startswith("sha256:") and digest_of(content) != reference:
            raise UserError(f"the registry {self.host} has another manifest under {self.name}@{reference}")
        try:
            return Manifest.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "all of it"
            raise UserError(
                f"the registry {self.host} answers what is no manifest when asked for {reference} of {self.name}: "
                f"{place}: {first['msg']}"
            ) from error

    def blob(self, digest: str) -> bytes | None:
        """A layer, or what else is stored under its digest; None if there is none, or another one."""
        content = self._found(f"blobs/{digest}", {})
        return content if content is not None and digest_of(content) == digest else None

    def put_blob(self, content: bytes) -> dict[str, Any]:
        """Store a layer; returns size and digest, as a manifest names it."""
        where = self._asked("POST", "blobs/uploads/").headers.get("location")
        if where is None:
            raise UserError(f"the registry {self.host} does not say where to put what belongs to {self.name}")
        self._asked("PUT", where, params={"digest": digest_of(content)}, content=content, headers=BINARY)
        return {"size": len(content), "digest": digest_of(content)}

    def put_manifest(self, reference: str, content: bytes, kind: str = MANIFEST) -> None:
        """Store a manifest under its digest or a tag."""
        self._asked("PUT", f"manifests/{reference}", content=content, headers={"content-type": kind})

    def copy(self, reference: str, target: Repository) -> bool:
        """Copy a manifest and what it names to another repository, to the byte; False if there is none here.

        Raises:
            UserError: what it names is not here, or one of the two does not let us.
        """
        content = self.manifest(reference)
        if content is None:
            return False
        manifest = self.held(content, reference)
        for each in manifest.manifests:
            self.copy(each.digest, target)
        for each in [*([manifest.config] if manifest.config else []), *manifest.layers]:
            self._copy_blob(each.digest, target)
        target.put_manifest(reference, content, manifest.media_type)
        return True

    def _copy_blob(self, digest: str, target: Repository) -> None:
        if target._asked("HEAD", f"blobs/{digest}", expected=(httpx.codes.NOT_FOUND,)).is_success:
            return
        if self.host == target.host:
            # A registry need not be sent what it has; one that does not do this just waits for an upload.
            mount = str(httpx.QueryParams({"mount": digest, "from": self.name}))
            if target._asked("POST", f"blobs/uploads/?{mount}").status_code == httpx.codes.CREATED:
                return
        content = self.blob(digest)
        if content is None:
            raise UserError(f"the registry {self.host} has lost {digest} of {self.name}")
        target.put_blob(content)

    def _found(self, path: str, headers: dict[str, str]) -> bytes | None:
        answer = self._asked("GET", path, headers=headers, expected=(httpx.codes.NOT_FOUND,))
        return None if answer.status_code == httpx.codes.NOT_FOUND else answer.content

    def _asked(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (),
        params: Mapping[str, str] | None = None,
        **what: Any,
    ) -> httpx.Response:
        """Ask, as who has logged in if the registry wants that.

        Raises:
            UserError: it does not let us, or does not answer, or says something else than yes; each another sentence.
        """
        host = self.host
        with _reached(host, self.seconds), httpx.Client(timeout=self.seconds, follow_redirects=True) as client:
            url = httpx.URL(self._url).join(path).copy_merge_params(params or {})
            answer = client.request(method, url, headers={**(headers or {}), **self._authorization}, **what)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                # Kept, so that a large layer is not sent first to be refused and then once more.
                self._authorization = _authorization(client, answer.headers.get("www-authenticate", ""), host)
                answer = client.request(method, url, headers={**(headers or {}), **self._authorization}, **what)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise UserError(
                f"the registry {host} does not let us {'read' if method in ('GET', 'HEAD') else 'write'} {self.name} "
                f"({answer.status_code}); log in to it"
            )
        if not answer.is_success and answer.status_code not in expected:
            raise UserError(
                f"the registry {host} answers {answer.status_code} when asked for {self.name}; try again later"
            )
        return answer


def has(image: Image) -> bool:
    """Whether the registry hands out a manifest under an image's digest.

    Raises:
        UserError: it does not let us ask, or does not answer.
    """
    return Repository(image.name).manifest(image.digest) is not None


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


def require_answer(host: str) -> None:
    """Have a registry answer, whatever it says.

    Raises:
        UserError: it does not.
    """
    with _reached(host, SECONDS):
        httpx.get(_api(host), timeout=SECONDS)


def is_loopback(name: str) -> bool:
    """Whether a registry, or the one of an image, is on this machine; such a one is asked without encryption."""
    return LOOPBACK.match(name) is not None


def _api(host: str) -> str:
    return f"{'http' if is_loopback(host) else 'https'}://{SERVERS.get(host, host)}/v2/"


@contextmanager
def _reached(host: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise UserError(f"the registry {host} does not answer within {seconds:g} seconds; try again") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UserError(f"the registry {host} cannot be reached: {error}") from error


def _authorization(client: httpx.Client, challenge: str, host: str) -> dict[str, str]:
    """What `docker login` left for a registry, exchanged for a token where the registry asks for one."""
    known = logins.basic(host)
    basic = {"authorization": f"Basic {known}"} if known else {}
    if challenge.lower().startswith("basic"):
        return basic
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if "realm" not in asked:
        return basic
    wanted = {name: asked[name] for name in ("service", "scope") if name in asked}
    answer = client.get(asked["realm"], params=wanted, headers=basic)
    if not answer.is_success:
        return basic
    try:
        given = _Token.model_validate_json(answer.content)
    except ValidationError as error:
        raise UserError(
            f"the registry {host} answers in another form when asked for a token; try again later"
        ) from error
    token = given.token or given.access_token
    return {"authorization": f"Bearer {token}"} if token else basic
