"""A repository with the template's versions: a clone on this machine, or one behind a URL."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import yaml

from gitops_ml.core.errors import UserError
from gitops_ml.update import seal, signed
from gitops_ml.update.record import VERSION, numbered
from gitops_ml.update.signed import Trust, Verified
from gitops_ml.versions.git import Git

# Where the version is said, since there is a package.
PACKAGE = "/vendor/gitops-ml/pyproject.toml"
SAID = re.compile(r'^version = "(.+)"$', re.MULTILINE)
TABLE = "versions.yaml"
CHANGELOG = "CHANGELOG.md"
HEADING = re.compile(r"^## \[?(?P<version>[^\]\s]+)\]?.*$", re.MULTILINE)


@dataclass(frozen=True)
class Version:
    """A version of the template."""

    name: str
    commit: str

    @property
    def number(self) -> tuple[int, ...]:
        """To compare versions by."""
        return numbered(self.name)


class Template:
    """A repository with the template, copied from where it is."""

    def __init__(self, source: str, into: Path, trust: Trust | None = None) -> None:
        """Copy it.

        Args:
            source: a folder or a URL.
            into: where the copy is made, or is.
            trust: what the versions are held to that are unpacked; without it, nothing is known to hold them to.

        Raises:
            UserError: there is no repository there, or it does not answer.
        """
        self.source = source
        self.trust = trust or Trust()
        if into.parent.is_dir() and not source.startswith("-"):
            try:
                Git(into.parent).said("clone", "--quiet", "--bare", "--", source, str(into))
            except UserError as error:
                said = str(error).splitlines()[-1].strip().removeprefix("fatal: ")
                raise UserError(f"the template {source} cannot be reached from here: {said}") from error
        self.git = Git(into)
        self.head = self.git.commit_of("HEAD")
        if self.head is None or self.git.read(self.head, "cookiecutter.json") is None:
            raise UserError(f"{source} is no repository of a template that cookiecutter knows")

    def newest(self) -> Version:
        """The last version that was released; of a clone without tags, what it has checked out."""
        tagged = [Version(name.lstrip("v"), commit) for name, commit in self._tags().items()]
        return max(tagged, key=lambda version: version.number) if tagged else self.at(self.head or "")

    def named(self, name: str) -> Version:
        """The version of a name: a tag, a line of the table, what is checked out, or a commit.

        Raises:
            UserError: there is none.
        """
        bare = name.removeprefix("v")
        known = {found.removeprefix("v"): commit for found, commit in self._tags().items()}
        for commit in (known.get(bare), self._table().get(bare)):
            if commit and (found := self.git.commit_of(commit)):
                return Version(bare, found)
        if self.head and self._says(self.head) == bare:
            return Version(bare, self.head)
        if not VERSION.fullmatch(name) and (found := self.git.commit_of(f"{name}^{{commit}}")):
            return self.at(found)
        has = ", ".join(sorted({*known, *self._table(), self._says(self.head or "")} - {""}, key=numbered))
        raise UserError(f"{self.source} has no version {name} (it has {has}), or a shallow clone lacks it")

    def at(self, commit: str) -> Version:
        """The version that a commit is."""
        listed = {known: name for name, known in self._table().items()}
        return Version(self._says(commit) or listed.get(commit, commit[:12]), commit)

    def verified(self, version: Version) -> Verified:
        """Who signed a version, or why that is not known.

        Raises:
            UserError: keys are known, and none of them signed it.
        """
        return signed.verify(self.git, version.name, version.commit, self.trust)

    def made_from(self, version: Version) -> None:
        """Take a version for the one that a project was made from, and so for one that ran already."""
        self.trust = replace(self.trust, made_from=version.commit, version=version.name)

    def unpack(self, version: Version, into: Path) -> Path:
        """The template's files of a version, in a folder.

        Raises:
            UserError: it is not trusted.
        """
        self.verified(version)
        content = self.git.archive(version.commit)
        with tarfile.open(fileobj=BytesIO(content)) as tar:
            # Python has filters from 3.11.4 on, and the archive is Git's own.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(into)  # noqa: S202
        return into

    def changes(self, old: Version, new: Version) -> dict[str, str]:
        """The changelog's sections of what is newer than a version up to another one, the newest first."""
        text = (self.git.read(new.commit, CHANGELOG) or b"").decode()
        headings = list(HEADING.finditer(text))
        found = {}
        for heading, following in zip(headings, [*headings[1:], None], strict=True):
            # What is not released yet is what a commit has beyond the last version.
            name = new.name if heading["version"] == "Unreleased" else heading["version"]
            if old.number < numbered(name) <= new.number and name not in found:
                found[name] = text[heading.end() : following.start() if following else None].strip()
        return found

    def _tags(self) -> dict[str, str]:
        names = [name for name in self.git.refs(seal.TAGS, "v") if VERSION.fullmatch(name)]
        return {name: self.git.commit_of(f"{seal.TAGS}{name}^{{commit}}") or "" for name in names}

    def _table(self) -> dict[str, str]:
        said = yaml.safe_load(self.git.read(self.head or "", TABLE) or b"") if self.head else None
        return {str(name): str(commit) for name, commit in said.items()} if isinstance(said, dict) else {}

    def _says(self, commit: str) -> str:
        package = next((path for path in self.git.paths(commit) if path.endswith(PACKAGE)), None) if commit else None
        found = SAID.search((self.git.read(commit, package) or b"").decode()) if package else None
        return found[1] if found else ""
