from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.automation.world import PROJECT, PROOF

FACTS: dict[str, Any] = {
    "release": f"flights:{'a' * 16}",
    "commit": "b" * 40,
    "model": "c" * 64,
    "data": "d.dir",
    "lock": "e" * 64,
    "evaluation": "f" * 64,
    "bento": record.Bento(digest=f"sha256:{'0' * 64}", bytes=1),
    "image": record.Image(name="ghcr.io/acme/flights", digest=f"sha256:{'1' * 64}"),
    "card": "2" * 64,
    "metrics": {"roc_auc": 0.75},
    "verdict": "promote",
    "champion": None,
    "created": datetime(2026, 1, 1, tzinfo=UTC),
}
MADE = record.seal(**FACTS, proof=PROOF)
# As version 0.1 wrote it.
OLD = record.seal(**FACTS)


@pytest.mark.parametrize("made", [MADE, OLD], ids=["form 2", "form 1"])
def test_a_record_is_read_as_it_was_written(made: record.Release) -> None:
    """Writing and reading give the same record, and the same bytes."""
    assert record.read(record.write(made), "here") == made
    assert record.write(record.read(record.write(made), "here")) == record.write(made)


def test_old_records_keep_their_bytes() -> None:
    """A record of form 1 has the hash that version 0.1 gave it, and says of no proof."""
    assert OLD.hash == "94823029cfea0e8de5b86445ff5726b317a5ab3df96dc21d813a1d33d6fdc109"
    assert "proof" not in json.loads(record.write(OLD))
    assert (OLD.tier, MADE.tier) == ("", "fast")


def test_no_record_says_that_answers_differ() -> None:
    """A proof with unequal answers is none, and a form 2 without a proof is refused."""
    with pytest.raises(ValidationError, match="unequal"):
        record.Proof.model_validate(PROOF.model_dump() | {"unequal": 1})
    document = {name: value for name, value in json.loads(record.write(MADE)).items() if name != "proof"}
    with pytest.raises(UserError, match="proof: Field required"):
        record.read(json.dumps(document), "here")


@given(place=st.integers(0, len(record.write(MADE)) - 1), byte=st.integers(0, 255))
def test_no_byte_can_be_changed(place: int, byte: int) -> None:
    """A record of which any byte was changed, whitespace included, is refused in a sentence."""
    content = bytearray(record.write(MADE))
    if content[place] == byte:
        return
    content[place] = byte
    with pytest.raises(UserError, match=record.FILE):
        record.read(bytes(content), "here")


def test_a_record_of_a_later_form_names_the_way_out() -> None:
    """A record that a newer automation wrote is refused with what to update."""
    newer = json.loads(record.write(MADE)) | {"version": 3, "more": "than is known here"}
    with pytest.raises(UserError, match=r"has form 3, and this checkout reads up to 2; update it: `git pull`"):
        record.read(json.dumps(newer), "here")


def test_the_published_schema_is_that_of_the_records() -> None:
    """release.schema.json is the schema of both forms, and refuses a record with a missing or unknown field."""
    published = json.loads((PROJECT / "vendor/gitops-ml/gitops_ml/core/release.schema.json").read_text())
    generated = TypeAdapter(record.Release).json_schema(mode="serialization")
    assert published == {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}
    for made in (MADE, OLD):
        document = json.loads(record.write(made))
        jsonschema.validate(document, published)
        for wrong in (document | {"more": 1}, {name: value for name, value in document.items() if name != "model"}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, published)


def test_openssl_checks_a_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature is one that OpenSSL accepts with the published key, and refuses for another content."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    signing.create_key(tmp_path)
    public = tmp_path / signing.PUBLIC
    (tmp_path / "signature").write_bytes(base64.b64decode(signing.sign(record.write(MADE), public.read_bytes())))
    command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(tmp_path / "signature")]
    for content, code in ((record.write(MADE), 0), (b"another one", 1)):
        assert subprocess.run(command, input=content, capture_output=True, check=False).returncode == code


def test_a_key_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that has a public key keeps it."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    assert signing.create_key(tmp_path) is not None
    before = (tmp_path / signing.PUBLIC).read_bytes()
    assert signing.create_key(tmp_path) is None
    assert (tmp_path / signing.PUBLIC).read_bytes() == before
