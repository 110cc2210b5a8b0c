"""What stands beside an image in its registry: a signature, its bill of materials, where it comes from.

All as cosign writes and reads them, with the key that signs release records: `cosign verify --key deploy/release.pub`.
An admission controller of a cluster, which knows nothing of releases, can so refuse an image of somebody else.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

from gitops_ml.core import signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.record import Image
from gitops_ml.core.storage import digest_of
from gitops_ml.image import registry
from gitops_ml.image.registry import MANIFEST, Repository

CONFIG = "application/vnd.oci.image.config.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT = "application/vnd.in-toto+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
MATERIALS = "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"


def attach(image: Image, statements: dict[str, Any], trusted: bytes) -> None:
    """Sign an image and what is stated about it, by the kind of statement, and put that beside it.

    Raises:
        UserError: there is no key to sign with, or the registry does not take it.
    """
    repository = Repository(image.name)
    payload = _canonical(_claim(image))
    signature = signing.sign(payload, trusted).decode().strip()
    _put(repository, image, "sig", [(SIMPLE, payload, {SIGNATURE: signature})])
    envelopes = [
        (ENVELOPE, _canonical(_envelope(image, kind, stated, trusted)), {SIGNATURE: "", "predicateType": kind})
        for kind, stated in statements.items()
    ]
    _put(repository, image, "att", envelopes)


def copy(image: Image, name: str, trusted: bytes) -> None:
    """Have a signed image, and all that stands beside it, in another repository too, under the same digests.

    What is there already is not asked of the first repository: it may have forgotten what another one still serves.

    Raises:
        UserError: the image is not there or not signed by who is trusted, or one of the two does not let us.
    """
    with suppress(UserError):
        registry.require(image.model_copy(update={"name": name}))
        require_signed(image, trusted, copied_to=name)
        return
    registry.require(image)
    require_signed(image, trusted)
    source, target = Repository(image.name), Repository(name)
    # The signature last: what is signed is whole.
    for reference in (image.digest, _tag(image, "att"), _tag(image, "sig")):
        source.copy(reference, target)


def require_signed(image: Image, trusted: bytes, copied_to: str | None = None) -> str:
    """Hold the signature beside an image, or beside its copy in another repository, to the trusted keys.

    Raises:
        UserError: there is none, it is of another image or repository, nobody trusted made it, or the registry
            cannot be asked.
    """
    repository = Repository(copied_to or image.name)
    shown = f"{copied_to or image.name}@{image.digest}"
    content = repository.manifest(_tag(image, "sig"))
    if content is None:
        raise UserError(f"the image {shown} is not signed")
    reason = "its signature cannot be read"
    for layer in repository.held(content, _tag(image, "sig")).layers:
        payload = repository.blob(layer.digest) if layer.media_type == SIMPLE else None
        if payload is None:
            continue
        try:
            signing.verify(payload, (layer.annotations or {}).get(SIGNATURE, "").encode(), trusted)
        except signing.SignatureError as error:
            reason = str(error)
            continue
        if _critical(payload) == _claim(image)["critical"]:
            return "signed"
        reason = "its signature is that of another image"
    raise UserError(f"the image {shown} cannot be trusted: {reason}")


def _claim(image: Image) -> dict[str, Any]:
    return {
        "critical": {
            "identity": {"docker-reference": image.name},
            "image": {"docker-manifest-digest": image.digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }


def _critical(payload: bytes) -> Any:
    """What was signed, if it is about an image: the key signs release records too."""
    try:
        return json.loads(payload)["critical"]
    except (ValueError, KeyError, TypeError):
        return None


def _envelope(image: Image, kind: str, stated: Any, trusted: bytes) -> dict[str, Any]:
    """A statement of in-toto, signed as DSSE says."""
    subject = {"name": image.name, "digest": {"sha256": image.digest.partition(":")[2]}}
    statement = _canonical(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": kind,
            "subject": [subject],
            "predicate": stated,
        }
    )
    signed = b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(statement), statement)
    return {
        "payloadType": STATEMENT,
        "payload": base64.b64encode(statement).decode(),
        "signatures": [{"sig": signing.sign(signed, trusted).decode().strip()}],
    }


def _put(repository: Repository, image: Image, suffix: str, layers: list[tuple[str, bytes, dict[str, str]]]) -> None:
    diffs = [digest_of(content) for _, content, _ in layers]
    settings = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **repository.put_blob(_canonical(settings))},
        "layers": [
            {"mediaType": kind, **repository.put_blob(content), "annotations": notes} for kind, content, notes in layers
        ],
    }
    repository.put_manifest(_tag(image, suffix), json.dumps(manifest).encode())


def _tag(image: Image, suffix: str) -> str:
    return f"{image.digest.replace(':', '-')}.{suffix}"


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
