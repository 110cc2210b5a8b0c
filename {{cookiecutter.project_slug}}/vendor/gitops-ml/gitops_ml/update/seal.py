"""What is signed of a version of the template, where that stands, and whether it holds.

A released version is an annotated tag whose message holds a record and its signature. The record names the commit, and
one hash over the SHA-256 of every file: Git's own name of a commit is SHA-1.
"""

from __future__ import annotations

import hashlib
import re

from pydantic import BaseModel, ValidationError

from gitops_ml.core import manifest, signing
from gitops_ml.core.signing import SignatureError
from gitops_ml.versions.git import MAIN, Git

VENDORED = f"{manifest.FOLDER.as_posix()}/"
PUBLIC = f"{VENDORED}template.pub"
KEYS = signing.Pair(PUBLIC, "TEMPLATE_KEY", "make key", f"{PUBLIC} on {MAIN}")
MESSAGE = re.compile(r"^(?P<record>\{.*\})\n(?P<signature>[A-Za-z0-9+/=]+)$", re.MULTILINE)
PLAIN = ("100644", "100755")
TAGS = "refs/tags/"


class Sealed(BaseModel):
    """What is signed of a version.

    Attributes:
        version: its name, without the tag's `v`.
        commit: of the template.
        files: the SHA-256 of `sums` of the whole commit.
        vendored: the SHA-256 of the vendored package's MANIFEST.sha256.
    """

    version: str
    commit: str
    files: str
    vendored: str


def sums(git: Git, commit: str, under: str = "") -> str:
    """The SHA-256 of each file of a commit, or of a folder, as `sha256sum` writes them.

    Raises:
        SignatureError: it holds a link, another repository, or a name that such a line cannot have.
    """
    names = {}
    for entry in filter(None, git.said("ls-tree", "-r", "-z", commit, "--", *([under] if under else [])).split("\0")):
        facts, _, path = entry.partition("\t")
        mode, _, name = facts.split(" ")
        if mode not in PLAIN or re.search(r"[\\\r\n\ufffd]", path):
            raise SignatureError(f"{path!r} is no plain file, which no signature covers")
        names[path.removeprefix(under)] = name
    contents = git.read_all(names.values())
    lines = zip(names, (hashlib.sha256(content or b"").hexdigest() for content in contents), strict=True)
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(lines))


def sealed(git: Git, version: str, commit: str) -> Sealed:
    """What is to be signed of a version, or was; the vendored package's manifest is held to its files elsewhere.

    Raises:
        SignatureError: the commit holds something that no signature covers, or no vendored package.
    """
    package = next((path for path in git.paths(commit) if path.endswith(f"/{VENDORED}{manifest.FILE}")), None)
    if package is None:
        raise SignatureError(f"it has no {VENDORED}{manifest.FILE}")
    return Sealed(
        version=version,
        commit=commit,
        files=digest(sums(git, commit).encode()),
        vendored=digest(git.read(commit, package) or b""),
    )


def seal_of(git: Git, version: str, commit: str) -> str:
    """Record and signature of a version, a line each, as its tag has them; nothing if it has none."""
    name = f"{TAGS}v{version}"
    # Of a tag that is no object of its own, the message would be the commit's.
    told = git.said("for-each-ref", "--format=%(objecttype) %(*objectname)%0a%(contents)", name)
    head, _, message = told.partition("\n")
    found = MESSAGE.search(message)
    return found[0] if found and head == f"tag {commit}" else ""


def keys_of(git: Git, commit: str) -> dict[str, bytes]:
    """The keys that a version of the template brings."""
    path = next((path for path in git.paths(commit) if path.endswith(f"/{PUBLIC}")), None)
    return signing.keys(git.read(commit, path) or b"") if path else {}


def held(git: Git, version: str, commit: str, keys: bytes, pair: signing.Pair) -> str:
    """The one of the keys by which the tag of a version signs exactly this commit.

    Raises:
        SignatureError: there is no such tag, or it signs something else.
    """
    tagged = git.refs(TAGS, f"v{version}").get(f"v{version}")
    if tagged is None:
        raise SignatureError(f"there is no tag v{version}, so it is no released version")
    if git.commit_of(f"{tagged}^{{commit}}") != commit:
        raise SignatureError(f"the tag v{version} names another commit, so it is no released version")
    key, told = read(seal_of(git, version, commit), keys, pair)
    if told.version != version:
        raise SignatureError(f"its tag holds the signature of version {told.version}")
    if told.commit != commit:
        raise SignatureError(f"its tag was moved: signed was {told.commit[:12]}")
    if told != sealed(git, version, commit):
        raise SignatureError("its files are not those that were signed")
    return key


def told(text: str) -> tuple[str, str] | None:
    """Version and commit that a record and its signature speak of; None if it cannot be read."""
    found = MESSAGE.search(text)
    try:
        sealed = Sealed.model_validate_json(found["record"]) if found else None
    except ValidationError:
        sealed = None
    return (sealed.version, sealed.commit) if sealed else None


def read(text: str, keys: bytes, pair: signing.Pair) -> tuple[str, Sealed]:
    """Who signed what a tag says, and what that is."""
    if not signing.keys(keys):
        raise SignatureError(f"{pair.where} is damaged: no public key in PEM is in it")
    found = MESSAGE.search(text)
    if found is None:
        raise SignatureError("it is not signed")
    content = found["record"].encode()
    key = signing.signer(content, found["signature"].encode(), keys, pair)
    try:
        return key, Sealed.model_validate_json(content)
    except ValidationError as error:
        raise SignatureError("what was signed has another form") from error


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
