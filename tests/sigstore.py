"""A stand-in for what a workflow signs with: GitHub, which says who it is, and Sigstore's Fulcio, which certifies that.

cosign itself signs and verifies. There is no transparency log.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://token.actions.githubusercontent.com"
# Fulcio's own: who said that this is its owner. https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
ISSUER_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
MINUTES = timedelta(minutes=10)


@contextmanager
def sigstore(identity: str, root: Path) -> Iterator[str]:
    """Both, for one workflow, and where they are; the certificate to trust is written to `root`."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("the tests' own")
    authority = _certificate(name, name, key.public_key())
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    trusted = authority.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    root.write_bytes(trusted)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """A job's OIDC token, whose signature nobody here checks."""
            parts = ({"alg": "ES256"}, {"iss": ISSUER, "sub": identity, "aud": "sigstore", "exp": 2**31})
            token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
            self._answer(200, json.dumps({"value": f"{token}.c2ln"}).encode())

        def do_POST(self) -> None:
            """A certificate for a public key."""
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            public = serialization.load_pem_public_key(base64.b64decode(asked["publicKey"]["content"]))
            assert isinstance(public, ec.EllipticCurvePublicKey)
            made = _certificate(_name(""), name, public)
            made = made.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), True)
            made = made.add_extension(x509.UnrecognizedExtension(ISSUER_EXTENSION, ISSUER.encode()), False)
            made = made.add_extension(x509.ExtendedKeyUsage([x509.OID_CODE_SIGNING]), False)
            chain = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + trusted
            self._answer(201, chain)

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)] if common else [])


def _certificate(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    return made.not_valid_before(now - MINUTES).not_valid_after(now + MINUTES)
