"""Which repositories there are: from a file, or named one by one; what is secret in a URL is never shown."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from gitops_ml.core.errors import UserError

URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
SCHEMES = ("file", "git", "http", "https", "ssh")
# As SSH takes it: [user@]host:path.
SHORT = re.compile(r"([\w.-]+@)?[\w.-]+:(?![:/]/?)[^\s]+")
# Whoever is named before the host of a URL, and what follows a question mark, may be a secret.
USER = re.compile(r"(?<=://)[^/\s@\"'<>\\]*@")
HIDDEN = "***"
BYTES = 1_000_000


@dataclass(frozen=True)
class Source:
    """A repository as it was named: a URL, or a folder of this machine."""

    given: str
    folder: Path | None = None  # None of a URL

    @property
    def shown(self) -> str:
        """How it is called where others read it: without user, password and query."""
        return self.given if self.folder else USER.sub("", re.split(r"[?#]", self.given)[0])

    @property
    def key(self) -> str:
        """A folder's name for it, the same whoever asks."""
        name = re.sub(r"[^a-z0-9]+", "-", self.shown.lower().removesuffix(".git"))[-60:].strip("-")
        # What begins with - would be an option of Git.
        return "-".join(filter(None, (name, hashlib.sha256(self.shown.encode()).hexdigest()[:12])))

    def clean(self, text: str) -> str:
        """A text without what is secret in this URL, or may be in any other."""
        text = text.replace(self.given, self.shown)
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return USER.sub("", text)

    @property
    def _secrets(self) -> set[str]:
        if self.folder or not (found := URL.fullmatch(self.given)):
            return set()
        user = found["rest"].rpartition("@")[0].partition("/")[0] if "@" in found["rest"] else ""
        name, _, password = user.partition(":")
        # Of SSH, the name alone is nobody's secret; where there is a password, it is not one either.
        secrets = {password} if password else {name} if found["scheme"].lower().startswith("http") else set()
        pairs = (pair.partition("=") for pair in urlsplit(self.given).query.split("&"))
        secrets |= {value or name for name, _, value in pairs}
        return {form for each in secrets for form in (each, unquote(each)) if len(form) > 2}


@dataclass(frozen=True)
class Listing:
    """The repositories, each once, and the template whose versions theirs are held against, if somebody named one."""

    sources: list[Source]
    template: Source | None


def read(named: list[str], template: str | None) -> Listing:
    """What is named on the command line: each word is a list, if it is a file, or else a repository.

    Raises:
        UserError: a list cannot be read.
    """
    sources: list[Source] = []
    for each in named:
        path = Path(each)
        if not _is_url(each) and path.is_file():
            listed, said = _file(path)
            sources += listed
            template = template or said
        else:
            sources.append(source(each, Path()))
    # Of two ways to write the same one, the first.
    once: dict[Path | str, Source] = {}
    for found in sources:
        once.setdefault(found.folder.resolve() if found.folder else found.shown, found)
    return Listing(list(once.values()), source(template, Path()) if template else None)


def source(given: str, base: Path) -> Source:
    """A repository by its URL or path; a path is relative to `base`."""
    return Source(given) if _is_url(given) else Source(given, base / Path(given).expanduser())


def _is_url(given: str) -> bool:
    return bool(URL.fullmatch(given) or SHORT.fullmatch(given))


def _file(path: Path) -> tuple[list[Source], str | None]:
    """The repositories that a file lists, and the template that it names."""
    try:
        if path.stat().st_size > BYTES:
            raise UserError(f"{path} is no list of repositories: it has more than {BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no list of repositories: it is not text in UTF-8") from error
    found, template = _entries(path, text)
    if wrong := [each for each in found if not isinstance(each, str) or not each.strip()]:
        raise UserError(f"{path}: each repository is one URL or path, and {str(wrong[0])[:60]!r} is neither")
    if template is not None and not isinstance(template, str):
        raise UserError(f"{path}: template is one URL or path")
    said = source(template, path.parent) if template else None
    return [source(each.strip(), path.parent) for each in found], (str(said.folder or said.given) if said else None)


def _entries(path: Path, text: str) -> tuple[list[Any], Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if re.search(r"^(repositories|template)\s*:", text, re.MULTILINE):
            said = USER.sub("", " ".join(str(error).split()))
            raise UserError(f"{path} is not valid YAML: {said}") from error
        content = text
    if isinstance(content, dict):
        listed = content.get("repositories")
        if not isinstance(listed, list) or set(content) - {"repositories", "template"}:
            raise UserError(f"{path}: a list has the key repositories, with a list below it, and may have template")
        return listed, content.get("template")
    if isinstance(content, list):
        return content, None
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines())
    return [line for line in lines if line], None
