"""The release record: one document that names everything that was tested together. It is written once."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gitops_ml.core.errors import UserError

FILE = "release.json"
SIGNATURE = "release.sig"
CARD = "MODEL_CARD.md"
FORM = 2

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# The Bento's tag; what stands behind the colon is a hash over all that the Bento holds.
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*:[0-9a-f]{16}$")]
# Registry and repository of an image, without a tag.
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$")]
Tier = Literal["fast", "encoder", "pipeline"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bento(_Part):
    """The archive of the Bento in the storage."""

    digest: Digest
    bytes: int = Field(ge=1)


class Image(_Part):
    """The container image in its registry."""

    name: ImageName = Field(description="Registry and repository, no tag")
    digest: Digest


class Proof(_Part):
    """What was compared, answer by answer, with what the fitted Pipeline itself says; see gitops_ml.image.proof."""

    tier: Tier = Field(description="The way by which rows are scored; no faster one gave the Pipeline's answers")
    rows: int = Field(ge=0, description="Rows of the evaluation set, scored in batches: all of them")
    alone: int = Field(ge=0, description="How many of these were scored one by one, too")
    random: int = Field(ge=0, description="Random rows of the schema, scored one by one and in a batch")
    seed: int = Field(description="What the random rows were drawn from")
    unequal: Literal[0] = Field(description="Answers that differed in any bit")
    processor: str = Field(description="Where it was tried; another one may add and multiply at once")


class _Facts(_Part):
    """release.json, in any of its forms."""

    version: int = Field(description="The form of this document")
    release: Tag = Field(description="The tag of the Bento, and the name of the release")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="The source commit, on main")
    model: Sha256 = Field(description="Hash of the model's file")
    data: str = Field(description="Hash of data/raw, as dvc.lock names it")
    lock: Sha256 = Field(description="Hash of dvc.lock")
    evaluation: Sha256 = Field(description="Hash of the evaluation set")
    bento: Bento
    image: Image | None = None
    card: Sha256 = Field(description="Hash of the model card")
    metrics: dict[str, float]
    verdict: str = Field(description="What the gate said when the release was made")
    champion: str | None = Field(description="Hash of the model that it was compared with")
    created: datetime
    hash: Sha256 = Field("0" * 64, description="sha256 of this document, written without this field")

    @property
    def tier(self) -> str:
        """The way by which its answers were proven; empty if nobody proved them."""
        return ""

    @property
    def short(self) -> str:
        """The release's name without the project's: 16 hexadecimal digits."""
        return self.release.partition(":")[2]


class Unproven(_Facts):
    """Form 1, of versions before 0.2: nothing is known of the way by which rows are scored."""

    version: Literal[1] = Field(1, description="The form of this document")


class Proven(_Facts):
    """Form 2."""

    version: Literal[2] = Field(2, description="The form of this document")
    proof: Proof

    @property
    def tier(self) -> str:
        """See _Facts."""
        return self.proof.tier


Release = Unproven | Proven
FORMS: dict[Any, type[Release]] = {1: Unproven, 2: Proven}


def seal(**facts: Any) -> Release:
    """A record with its own hash, of form 1 if its facts have no proof."""
    unsealed = (Proven if "proof" in facts else Unproven)(**facts)
    return unsealed.model_copy(update={"hash": _hash(unsealed.model_dump(mode="json"))})


def write(release: Release) -> bytes:
    """The one way in which a record is written: sorted keys, two spaces, a newline at the end."""
    return _canonical(release.model_dump(mode="json"))


def read(content: bytes | str, place: str) -> Release:
    """A record that is whole and was not edited.

    Raises:
        UserError: it is not; the message says in what, and names `place`.
    """
    content = content.encode() if isinstance(content, str) else content
    try:
        document = json.loads(content)
    except ValueError as error:
        raise UserError(f"{FILE} on {place} is not valid JSON: {error}") from error
    form = document.get("version") if isinstance(document, dict) else None
    if type(form) is int and form > FORM:
        raise UserError(
            f"{FILE} on {place} has form {form}, and this checkout reads up to {FORM}; update it: "
            "`git pull` and `make setup`, or apply the template's newer version"
        )
    try:
        release = FORMS.get(form, Unproven).model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise UserError(f"{FILE} on {place} cannot be read: {where}: {first['msg']}") from error
    if release.hash != _hash(release.model_dump(mode="json")):
        raise UserError(f"{FILE} on {place} was edited: its content is not what its hash says")
    if content != write(release):
        raise UserError(f"{FILE} on {place} was edited: its bytes are not those that a release is written with")
    return release


def _hash(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical({name: value for name, value in document.items() if name != "hash"})).hexdigest()


def _canonical(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
