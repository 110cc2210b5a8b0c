"""Whether a version of the template is what somebody signed whom the project trusts; asked before any of it runs.

The keys to trust came with the version that a project was made from, in the vendored package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from gitops_ml.core import manifest, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.signing import SignatureError
from gitops_ml.update import record, seal
from gitops_ml.update.record import VERSION, numbered
from gitops_ml.update.seal import KEYS, PUBLIC, TAGS, VENDORED
from gitops_ml.versions.git import MAIN, Git

# Letters of a hash.
SHA256 = 64


class Verified(BaseModel):
    """What is known of who made a version.

    Attributes:
        key: that signed it, by the beginning of its hash; None if nothing was verified.
        sentence: the same for people.
    """

    key: str | None
    sentence: str


UNKNOWN = Verified(key=None, sentence="nothing verified")


@dataclass(frozen=True)
class Trust:
    """What a project, or a person, takes for the template's.

    Attributes:
        keys: public ones in PEM; nothing where none is known, and then nothing is verified.
        where: who says so.
        made_from: a commit of the template whose code this project is made from already, by its record.
        version: what that commit is called, if it is known; only newer versions may have changed the keys since.
        unsigned: whether to go on with what none of the keys signed.
    """

    keys: bytes = b""
    where: str = KEYS.where
    made_from: str = ""
    version: str = ""
    unsigned: bool = False


def trust(git: Git, main: str, given: Path | None, *, unsigned: bool, known: record.Record | None = None) -> Trust:
    """What counts for a project: the keys that main has, or those of a file that a person gives instead.

    `known` is the project's record, if it has one; what it names was trusted once. If it has a signature, that says
    what it names, since anybody's pull request can change the rest of it.

    Raises:
        UserError: the file cannot be read, or holds no key.
    """
    made_from, version = (known.commit, known.version) if known else ("", "")
    if known and known.signed and seal.told(known.signed) not in (None, (version, made_from)):
        made_from = version = ""
    if given is None:
        return Trust(git.read(main, PUBLIC) or b"", KEYS.where, made_from, version, unsigned)
    try:
        content = given.read_bytes()
    except OSError as error:
        raise UserError(f"{given} cannot be read: {error.strerror}") from error
    if not signing.keys(content):
        raise UserError(f"{given} holds no public key in PEM, so nothing could be verified by it")
    return Trust(content, str(given), made_from, version, unsigned)


def verify(git: Git, version: str, commit: str, trusted: Trust) -> Verified:
    """Hold a version to the keys, before anything of it runs.

    Args:
        git: the template's repository.
        version: the name of the version.
        commit: its commit.
        trusted: what the project takes for the template's.

    Raises:
        UserError: keys are known, and none of them signed this.
    """
    brought = seal.keys_of(git, commit)
    if not trusted.keys:
        said = f"nothing verified: {trusted.where} holds no key of the template, and --key names none"
        if brought:
            said += f"; this version brings the key {', '.join(brought)}, by which the next ones are verified"
        return Verified(key=None, sentence=said)
    try:
        key = _signer(git, version, commit, trusted)
    except SignatureError as error:
        if commit == trusted.made_from:
            said = f"nothing verified: this project is made from {commit[:12]} already, by {record.FILE} on {MAIN}"
            return Verified(key=None, sentence=said)
        if trusted.unsigned:
            return Verified(key=None, sentence=f"nothing verified, as --unsigned said: {error}")
        raise UserError(
            f"version {version} of the template ({commit[:12]}) is not trusted, and nothing of it was run: {error}; "
            "--to names another version, --key a file with other keys, and --unsigned goes on with this one"
        ) from error
    known = signing.keys(trusted.keys)
    changes = [f"brings the key {name}" for name in brought if name not in known]
    changes += [f"trusts {name} no more" for name in known if brought and name not in brought]
    also = f"; it {' and '.join(changes)}" if changes else ""
    said = f"version {version} is signed by the key {key}, and every file of it is as it was signed{also}"
    return Verified(key=key, sentence=said)


def vendored(git: Git, main: str) -> tuple[bool, str]:
    """Whether the vendored package of a project is that of the signed version that its record names, and what to say.

    All that is needed stands on main: the record has the tag's message.
    """
    keys, known = git.read(main, PUBLIC), record.read(git, main)
    if not keys or known is None:
        lacking = PUBLIC if not keys else record.FILE
        return True, f"nothing is verified: {MAIN} has no {lacking}, so an update is trusted as its source is"
    version = known.version or known.commit[:12]
    try:
        key, told = seal.read(known.signed, keys, KEYS)
        has = seal.sums(git, main, VENDORED)
    except SignatureError as error:
        said = f"version {version} of the template, which {record.FILE} names, is not verified: {error}"
        return False, f"{said}; `make update` brings one that is"
    if (told.version, told.commit) != (version, known.commit or told.commit):
        signed = f"{told.version} ({told.commit[:12]})"
        return False, f"{record.FILE} names version {version} ({known.commit[:12]}), and what was signed is {signed}"
    noted = (git.read(main, f"{VENDORED}{manifest.FILE}") or b"").decode(errors="replace")
    own = f"  {manifest.FILE}\n"
    lines = "".join(line for line in has.splitlines(keepends=True) if line[SHA256:] != own)
    if seal.digest(noted.encode()) != told.vendored:
        return False, f"{VENDORED}{manifest.FILE} is not the one that was signed with version {version}"
    if lines != noted:
        paths = sorted({line.partition("  ")[2] for line in {*noted.splitlines()} ^ {*lines.splitlines()}})
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        said = f"{VENDORED}{paths[0]}{more}: not as they were signed with version {version}"
        return False, f"{said}; `gitops-ml repo vendored` names each"
    return True, f"vendor/ is that of version {version}, signed by the key {key}"


def _signer(git: Git, version: str, commit: str, trusted: Trust) -> str:
    """The key that signed exactly these files as this version."""
    pair = signing.Pair(PUBLIC, KEYS.variable, KEYS.command, trusted.where)
    # Whoever skips a version that changed the keys trusts as if it had not been skipped.
    return seal.held(git, version, commit, _handed_on(git, version, trusted, pair), pair)


def _handed_on(git: Git, version: str, trusted: Trust, pair: signing.Pair) -> bytes:
    """The keys as the versions between the project's own and this one have changed them, each signed by those before.

    What such a version brings takes the place of all keys: a key that it does not bring is trusted no more.
    """
    keys = trusted.keys
    since, until = numbered(trusted.version), numbered(version)
    names = [tag.removeprefix("v") for tag in git.refs(TAGS, "v") if VERSION.fullmatch(tag)]
    for name in sorted(names, key=numbered):
        if not since or not since < numbered(name) < until:
            continue
        commit = git.commit_of(f"{TAGS}v{name}^{{commit}}") or ""
        try:
            seal.held(git, name, commit, keys, pair)
        except SignatureError:
            continue
        keys = b"".join(seal.keys_of(git, commit).values()) or keys
    return keys
