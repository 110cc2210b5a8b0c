"""Signatures of records: ECDSA P-256 over SHA-256, as `cosign sign-blob --key` and OpenSSL make them."""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gitops_ml.core.errors import UserError

PUBLIC = "deploy/release.pub"
VARIABLE = "RELEASE_KEY"
FOLDER_VARIABLE = "RELEASE_KEY_FOLDER"
ALGORITHM = ec.ECDSA(hashes.SHA256())
PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Pair:
    """Key pairs for one purpose, and how people know them.

    Attributes:
        public: the file with the public halves.
        variable: holds the private half where it is in no file.
        command: makes the first one.
        where: whose file of public halves counts.
    """

    public: str
    variable: str
    command: str
    where: str


# What signs a project's releases.
RELEASES = Pair(PUBLIC, VARIABLE, "gitops-ml release key", f"{PUBLIC} on main")


class SignatureError(UserError):
    """A record is not signed by anybody that this project trusts."""


def create_key(root: Path, *, another: bool = False, pair: Pair = RELEASES) -> Path | None:
    """Make the key pair of a project that has none yet, or `another` one, which signs from then on.

    The public half is in a file of the project, the newest first; the private one stays outside of it, where its owner
    alone can read it. Returns where that is, or None if the project has a public key already.
    """
    public = root / pair.public
    if public.exists() and not another:
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    content = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = _private_path(content)
    private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    public.parent.mkdir(parents=True, exist_ok=True)
    public.write_bytes(content + (public.read_bytes() if public.exists() else b""))
    return private


def keys(trusted: bytes) -> dict[str, bytes]:
    """The public keys of a file, by the beginning of their hashes, in their order."""
    return {_name(pem): pem for pem in PEM.findall(trusted)}


def sign(content: bytes, trusted: bytes, pair: Pair = RELEASES) -> bytes:
    """Sign with the private half of one of the trusted keys; base64 and a newline.

    Raises:
        UserError: there is no such private key here.
    """
    key = _private_key(trusted, pair)
    return base64.b64encode(key.sign(content, ALGORITHM)) + b"\n"


def verify(content: bytes, signature: bytes | None, trusted: bytes) -> None:
    """Hold a signature to the trusted public keys, one or several in PEM.

    Raises:
        SignatureError: there is no signature, or none of the keys made it.
    """
    signer(content, signature, trusted)


def signer(content: bytes, signature: bytes | None, trusted: bytes, pair: Pair = RELEASES) -> str:
    """Which of the trusted public keys made a signature, by the beginning of its hash.

    Raises:
        SignatureError: there is no signature, or none of the keys made it.
    """
    if signature is None:
        raise SignatureError("it is not signed")
    known = keys(trusted)
    if not known:
        raise SignatureError(f"{pair.where} names no key to trust; `{pair.command}` makes the first")
    try:
        raw = base64.b64decode(signature.strip(), validate=True)
    except binascii.Error as error:
        raise SignatureError("its signature is not base64") from error
    for name, pem in known.items():
        try:
            _public_key(pem, pair).verify(raw, content, ALGORITHM)
        except InvalidSignature:
            continue
        return name
    raise SignatureError(f"it is signed by none of the keys in {pair.where}")


def _private_key(trusted: bytes, pair: Pair) -> ec.EllipticCurvePrivateKey:
    secret = os.environ.get(pair.variable, "").encode()
    pems = PEM.findall(trusted)
    if not secret:
        found = next((path for path in map(_private_path, pems) if path.exists()), None)
        if found is None:
            raise UserError(
                f"only who has the private half of {pair.public} can make a release; it is neither in the variable "
                f"{pair.variable} nor in {_folder()}"
            )
        secret = found.read_bytes()
    try:
        key = serialization.load_pem_private_key(secret, password=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"the private key cannot be read; {pair.variable} must hold an unencrypted PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"the private key is no elliptic-curve key; `{pair.command}` makes the right kind")
    own = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if own.strip() not in [pem.strip() for pem in pems]:
        raise UserError(f"the private key is not the other half of {pair.where}, so nobody would trust its signature")
    return key


def _public_key(pem: bytes, pair: Pair) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise SignatureError(f"a key in {pair.where} is damaged") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise SignatureError(f"a key in {pair.where} is no elliptic-curve key")
    return key


def _private_path(public: bytes) -> Path:
    """Named by its public half, so that the projects of one person do not share a file."""
    return _folder() / f"{_name(public)}.pem"


def _name(public: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.strip())
    return digest.finalize().hex()[:16]


def _folder() -> Path:
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gitops-ml"
