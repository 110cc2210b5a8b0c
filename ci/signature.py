"""Signs the versions of the template, by the means of a project's releases; projects verify it before they update."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from gitops_ml.core import manifest, signing
from gitops_ml.core.errors import UserError
from gitops_ml.update import seal
from gitops_ml.update.record import VERSION, numbered
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import MACHINE

from ci.notes import notes
from ci.shell import ROOT

PROJECT = "{{cookiecutter.project_slug}}"
PUBLIC = f"{PROJECT}/{seal.PUBLIC}"
KEYS = replace(seal.KEYS, public=PUBLIC, where=PUBLIC)
# What is published with a version, beside the tag.
PUBLISHED = Path("build") / "release"
EXPECTED = Path("tests") / "expected_files.txt"

app = typer.Typer(help=__doc__, add_completion=False)


def make_key(root: Path, *, another: bool = False) -> Path | None:
    """Make the template's first key pair, or `another` one; where the private half is, None if there is a pair."""
    private: Path | None = signing.create_key(root, another=another, pair=KEYS)
    if private:
        manifest.write(root / PROJECT)
        files = {*(root / EXPECTED).read_text().splitlines(), seal.PUBLIC}
        (root / EXPECTED).write_text("".join(f"{path}\n" for path in sorted(files)))
    return private


def tag(root: Path, name: str, *, unvouched: bool = False) -> str:
    """Tag the commit that is checked out as a version, signed, or verify the tag if there is one; the key that signed.

    `unvouched`: by a key that the version before did not bring, as when all of those are lost.

    Raises:
        UserError: the tag does not fit what is checked out, there is no key, or another one signed.
    """
    git, version = Git(root), name.removeprefix("v")
    commit = git.commit_of("HEAD") or ""
    _require(git, name, commit)
    # Projects have the keys of the version before: the key that a version brings cannot vouch for itself.
    keys = (b"" if unvouched else _before(git, version)) or git.read(commit, PUBLIC) or b""
    what = seal.sealed(git, version, commit)
    if name not in git.refs(seal.TAGS, "v"):
        content = what.model_dump_json().encode()
        message = b"Version %b\n\n%b\n%b" % (version.encode(), content, signing.sign(content, keys, KEYS))
        how = ("--annotate", "--no-sign", "--cleanup=verbatim", "--file=-")
        git.said("tag", *how, name, commit, env=MACHINE, content=message)
    try:
        key: str = seal.held(git, version, commit, keys, KEYS)
    except signing.SignatureError as error:
        raise UserError(f"there is a tag {name} already, and not of what is checked out: {error}") from error
    _publish(root, git, version, commit)
    return key


def _before(git: Git, version: str) -> bytes:
    """The keys of the last version that was tagged before this one; nothing if it had none, or there is none."""
    names = [name for name in git.refs(seal.TAGS, "v") if VERSION.fullmatch(name)]
    older = [name for name in names if numbered(name) < numbered(version)]
    if not older:
        return b""
    last = max(older, key=numbered)
    return b"".join(seal.keys_of(git, git.commit_of(f"{seal.TAGS}{last}^{{commit}}") or "").values())


def _require(git: Git, name: str, commit: str) -> None:
    if not re.fullmatch(r"v\d+\.\d+\.\d+", name):
        raise UserError(f"{name!r} is no version's tag, such as v1.2.0")
    if changed := git.said("status", "--porcelain").splitlines():
        raise UserError(f"{len(changed)} files are not as committed, such as {changed[0][3:]}; a version is a commit")
    main = git.tip(MAIN)
    if main and not git.is_ancestor(commit, main):
        raise UserError(f"{commit[:12]} is not on origin's {MAIN}; a version is a commit of it: merge or push it first")
    said = tomllib.loads((git.read(commit, f"{PROJECT}/vendor/gitops-ml/pyproject.toml") or b"").decode())
    if (version := said["project"]["version"]) != name.removeprefix("v"):
        raise UserError(f"the vendored package has version {version}, and the tag would be {name}")
    if notes((git.read(commit, "CHANGELOG.md") or b"").decode(), version) is None:
        raise UserError(f"CHANGELOG.md says nothing under {version}")
    if manifest.differing(git.root / PROJECT):
        raise UserError(f"{manifest.FILE} is out of step with the vendored package: make manifest")
    if git.read(commit, PUBLIC) is None:
        raise UserError(f"{PUBLIC} is not there, so nobody could verify a signature; `make key` makes the first key")


def _publish(root: Path, git: Git, version: str, commit: str) -> None:
    """Write what was signed beside the tag, in the forms of sha256sum and OpenSSL."""
    folder = root / PUBLISHED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    content, signature = seal.seal_of(git, version, commit).split("\n")
    (folder / "files.sha256").write_text(seal.sums(git, commit))
    (folder / "version.json").write_text(content)
    (folder / "version.json.sig").write_text(f"{signature}\n")


@app.command("key")
def _key(
    another: Annotated[bool, typer.Option("--another", help="The next one, beside those there are.")] = False,
) -> None:
    """Make the key pair that signs versions: a public half to be committed, and a private one that stays outside."""
    private = make_key(ROOT, another=another)
    if private is None:
        typer.echo(f"{PUBLIC} is there already; --another makes the next key")
        return
    typer.echo(f"wrote {PUBLIC}, to be committed with the manifest, and {private}, to be kept secret")
    typer.echo(f"`gh secret set {KEYS.variable} --env release < {private}` gives it to the workflow `release`")


@app.command("tag")
def _tag(
    name: Annotated[str, typer.Argument(help="The tag, such as v1.2.0.")],
    unvouched: Annotated[
        bool,
        typer.Option("--unvouched", help="By a key that the version before did not bring; projects must name it."),
    ] = False,
) -> None:
    """Sign what is checked out as a version, or verify that it is; what is published of it is in build/release."""
    if Git(ROOT).tip(MAIN) is None:
        typer.echo(
            f"warning: origin's {MAIN} is not known here, so that this is a commit of it was not checked", err=True
        )
    key = tag(ROOT, name, unvouched=unvouched)
    typer.echo(f"{name} is signed by the key {key}; `git push origin {name}` publishes it")


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
