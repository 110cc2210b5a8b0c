"""What decides about trust or quality, and changed between two revisions: in words, with before and after.

It reads Git's objects alone: nothing is checked out, nothing of a change is run, and what cannot be read is named.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gitops_ml.core import manifest
from gitops_ml.core.errors import UserError
from gitops_ml.report import forms, owners
from gitops_ml.report.content import Decisive
from gitops_ml.versions.git import Git

GONE = "000000"
FILES = ("100644", "100755", GONE)
# Far above what any project needs; a lock is long.
LARGEST, LARGEST_LOCK = 1_000_000, 20_000_000
VENDORED = manifest.FOLDER.as_posix()
LISTED = 5
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


@dataclass(frozen=True)
class Rule:
    """Files that decide: what they are about, and what of them is compared; without a reader, their lines."""

    paths: str
    words: str
    reader: Callable[[bytes | None], Mapping[str, str]] | None = None
    lines: bool = False


# What weighs most comes first; of two that fit a file, the first counts.
RULES = (
    Rule(r"project\.yaml", "what is asked of models and releases", forms.project),
    Rule(r"params\.yaml", "which rows judge a model, and how", forms.judging),
    Rule(r"deploy/release\.pub", "whose releases are trusted", forms.keys),
    Rule(r"\.template\.json|\.cruft\.json", "which version of the template this is, and so what an update trusts"),
    Rule(r"(\.github/|docs/)?CODEOWNERS", "who must approve"),
    Rule(
        r"\.github/(workflows|actions)/.*\.ya?ml", "what runs on GitHub, with which rights", forms.workflow, lines=True
    ),
    Rule(r"\.github(/.*)?", "what runs on GitHub"),
    Rule(r"uv\.lock", "where packages come from", forms.lock),
    Rule(r"requirements/.*", "where packages come from", forms.requirements),
    Rule(r"(.*/)?pyproject\.toml", "how packages are found and built, what is checked", forms.pyproject),
    Rule(r"(.*/)?(uv\.toml|setup\.py|setup\.cfg|hatch_build\.py|[^/]*\.pth|sitecustomize\.py)", "what installing runs"),
    Rule(r"(.*/)?[^/]+\.(dist|egg)-info(/.*)?", "what installing runs"),
    Rule(r"(.*/)?(__pycache__/.*|[^/]+\.(pyc|so|pyd|dylib|dll))", "code that nobody can read"),
    # make takes the others before `Makefile`, and tools such files before pyproject.toml.
    Rule(r"\.pre-commit-config\.yaml|GNUmakefile|[Mm]akefile|gitops-ml\.mk", "what is checked, what commands run"),
    Rule(r"conftest\.py|(\.?pytest|tox|\.?mypy)\.ini|\.?ruff\.toml|\.importlinter", "what is checked"),
    Rule(r"(ruff|checks)\.gitops-ml\.toml", "what is checked"),
    Rule(r"dvc\.yaml|\.dvcignore|\.dvc(/.*)?", "what stages run, where data lies"),
    # All but the table of trials, which nothing is trained from.
    Rule(r"(?!search\.dvc$)(.*/)?[^/]+\.dvc", "where data comes from", forms.pointer),
    Rule(r"\.gitmodules|(.*/)?\.gitattributes|\.python-version", "what a checkout holds"),
    Rule(r"(deploy|ci)(/.*)?", "how a release serves"),
    # All but what is only run to train: the automation imports it, or what it imports does.
    Rule(r"pipeline/(?!stages/train\.py$).*", "what measures and loads a model"),
    # Python may take it for a package that is installed.
    Rule(r"(?!(pipeline|service|tests|docs|notebooks|scripts)/)(\w+/)*\w+\.py", "what Python imports"),
)
# Of these, only what is removed.
REMOVED = Rule(r"tests/.*", "what a model or the code is tested for")


@dataclass(frozen=True)
class File:
    """A file before and after: its modes and its objects, as Git names them."""

    path: str
    modes: tuple[str, str]
    blobs: tuple[str, str]

    @property
    def is_plain(self) -> bool:
        """Whether it is a file now, or gone: no link, and no other repository."""
        return self.modes[1] in FILES

    @property
    def has_other_bytes(self) -> bool:
        """Whether more than the right to execute it differs."""
        return self.blobs[0] != self.blobs[1] or not set(self.modes) <= set(FILES)


def changes(git: Git, old: str, new: str, main: str) -> list[Decisive]:
    """What decides and differs between two commits or trees, with whom main's CODEOWNERS names for it."""
    named = owners.read(git, main)
    files = list(differing(git, old, new))
    vendored = [file for file in files if _is_vendored(file)]
    found = [
        each.model_copy(update={"owners": owners.of(named, file.path)})
        for rule in (*RULES, REMOVED)
        for file in files
        if file not in vendored and _rule(file) is rule
        for each in _read(git, rule, file)
    ]
    if vendored:
        everybody = dict.fromkeys(name for file in vendored for name in owners.of(named, file.path))
        # It is replaced as a whole, so it is one change.
        found.append(_vendored(git, new, vendored).model_copy(update={"owners": list(everybody)}))
    return found


def merged(git: Git, main: str, head: str) -> tuple[str, str]:
    """What merging would change: main, and the tree that it would have then.

    If the two are in conflict somebody has to settle that first, so it is then what `head` itself has changed.
    """
    try:
        return main, git.said("merge-tree", "--write-tree", "--no-messages", main, head)
    except UserError:
        return git.merge_base(main, head) or main, head


def _is_vendored(file: File) -> bool:
    # A link or another repository in place of the folder around it is one in place of it.
    place, own = f"{file.path}/", f"{VENDORED}/"
    return place.startswith(own) or own.startswith(place)


def _rule(file: File) -> Rule | None:
    if re.fullmatch(REMOVED.paths, file.path, re.DOTALL):
        return REMOVED if file.modes[1] == GONE else None
    # A link, or another repository, may be a package.
    names = [file.path] if file.is_plain else [file.path, f"{file.path}/__init__.py"]
    return next((rule for rule in RULES for name in names if re.fullmatch(rule.paths, name, re.DOTALL)), None)


def differing(git: Git, old: str, new: str) -> Iterator[File]:
    """The files in which two commits or trees differ."""
    options = ("-r", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff")
    # Without -z, a path that is more than plain text is a literal of ASCII, which no name can break.
    for line in git.said("-c", "core.quotePath=true", "diff-tree", *options, old, new).splitlines():
        if line.startswith(":"):
            facts, _, path = line[1:].partition("\t")
            before, after, was, now, _ = facts.split()
            yield File(_unquoted(path), (before, after), (was, now))


def _unquoted(path: str) -> str:
    if not path.startswith('"'):
        return path
    return path[1:-1].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "backslashreplace")


def _read(git: Git, rule: Rule, file: File) -> Iterator[Decisive]:
    """What differs in a file; whom that asks for is left out."""
    if not file.is_plain:
        yield _found(rule, file, "", None, "no plain file, but a link or another repository", readable=False)
        return
    sides = zip(file.modes, file.blobs, strict=True)
    before, after = (git.read_all([blob])[0] if mode in FILES[:2] else None for mode, blob in sides)
    if rule.reader is None or rule.lines:
        yield _found(rule, file, "", *_lines(before, after))
    if rule.reader is None:
        return
    try:
        now = rule.reader(_held(file, after))
    except UNREADABLE as error:
        yield _found(rule, file, "", None, f"cannot be read: {' '.join(str(error).split())[:200]}", readable=False)
        return
    try:
        was = rule.reader(_held(file, before))
    except UNREADABLE:
        # It is main's, and this change may be what mends it.
        was = {"": "could not be read"}
    for name in {**was, **now}:
        if was.get(name) != now.get(name):
            yield _found(rule, file, name, was.get(name), now.get(name))


def _held(file: File, content: bytes | None) -> bytes | None:
    limit = LARGEST_LOCK if file.path == "uv.lock" else LARGEST
    if content is not None and len(content) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    return content


def _found(
    rule: Rule, file: File, name: str, before: str | None, after: str | None, *, readable: bool = True
) -> Decisive:
    words = (forms.meaning(name) if rule.reader is forms.project else None) or rule.words
    return Decisive(path=file.path, name=name, what=words, before=before, after=after, readable=readable)


def _lines(before: bytes | None, after: bytes | None) -> tuple[str | None, str | None]:
    """The lines that only one of two files has."""
    was, now = (Counter((content or b"").decode(errors="replace").splitlines()) for content in (before, after))
    if before is not None and after is not None and was == now:
        return "the same lines", "in another order, or of another mode"
    return _joined(before, was - now), _joined(after, now - was)


def _joined(content: bytes | None, lines: Counter[str]) -> str | None:
    return None if content is None else " ⏎ ".join(filter(None, map(str.strip, lines.elements())))[:2000] or "nothing"


def _vendored(git: Git, new: str, files: list[File]) -> Decisive:
    if odd := [file.path for file in files if not file.is_plain]:
        said = f"no folder of files alone, but holds links or other repositories: {_names(odd)}"
        return Decisive(
            path=VENDORED, name="", what="the automation itself", before="as on main", after=said, readable=False
        )
    own = f"{VENDORED}/{manifest.FILE}"
    lines = (git.read(new, own) or b"").decode(errors="replace").splitlines()
    wanted = {f"{VENDORED}/{name}": digest for digest, _, name in (line.partition("  ") for line in lines)}
    contents = git.read_all(file.blobs[1] for file in files if file.modes[1] != GONE)
    kept = [file.path for file in files if file.modes[1] != GONE]
    digests = {path: hashlib.sha256(content or b"").hexdigest() for path, content in zip(kept, contents, strict=True)}
    foreign = [f.path for f in files if f.path != own and digests.get(f.path) != wanted.get(f.path)]
    said = f"{len(files)} files differ: {_names([file.path for file in files])}"
    if foreign:
        said += f"; not as {manifest.FILE} says: {_names(foreign)}"
    return Decisive(path=VENDORED, name="", what="the automation itself", before="as on main", after=said)


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return ", ".join(path.removeprefix(f"{VENDORED}/") for path in paths[:LISTED]) + more
