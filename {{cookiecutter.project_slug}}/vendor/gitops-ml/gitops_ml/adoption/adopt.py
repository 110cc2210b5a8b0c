"""Brings an existing repository into the template: a branch with the project laid around what is there.

All work is done in a temporary clone, and the branch is made by one step of Git at the end. So whatever ends it before
that leaves branches and working tree as they were.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from gitops_ml.adoption import laying, unite
from gitops_ml.adoption.laying import Laid
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.update import bakes, checks, record, signed
from gitops_ml.update.bakes import Bake
from gitops_ml.update.signed import Verified
from gitops_ml.update.template import Template
from gitops_ml.versions import initialize
from gitops_ml.versions.forge import GITHUB
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import MACHINE

BRANCH = "adopt/gitops-ml"
MADE = "refs/adopt/made"
SUBJECT = "Lay a project of cookiecutter-gitops-ml around what is here"
QUESTIONS = "cookiecutter.json"
LENGTH = 200


class Wish(BaseModel):
    """What the person said.

    Attributes:
        source: a clone or a URL of the template.
        to: a version; the newest by default.
        answers: those that the repository does not tell.
        target: the column to predict, of the table `data`.
        data: a file with a table; without it, the project has the template's example.
        key: a file with the template's public keys; without it, nothing is known to verify a version by.
        unsigned: whether to go on with a version that none of the keys signed.
    """

    source: str
    to: str | None = None
    answers: dict[str, str] = {}
    target: str | None = None
    data: Path | None = None
    key: Path | None = None
    unsigned: bool = False


class Adopting(BaseModel):
    """What came of it; the JSON that other programs read."""

    version: Literal[1] = 1
    branch: str
    commit: str
    template: str
    verified: Verified
    answers: dict[str, str]
    files: int
    notes: list[str]
    next: list[str]


def adopt(root: Path, wish: Wish, told: Callable[[str], object] = lambda step: None) -> Adopting:
    """Make the branch `adopt/gitops-ml` of what is checked out, with the project around it.

    Raises:
        UserError: the repository cannot be adopted as it is, a name clashes, or the table cannot be taken; nothing was
            changed then, but that the storage may hold the data already.
    """
    git = Git(root)
    start, branch = _require_adoptable(git, wish.data)
    trusted = signed.trust(git, start, wish.key and root / wish.key, unsigned=wish.unsigned)
    source = str((root / wish.source).resolve()) if (root / wish.source).is_dir() else wish.source
    with tempfile.TemporaryDirectory(prefix="gitops-ml-adopt-") as temporary:
        told("template")
        checkout = Path(temporary) / "project"
        git.said("clone", "--quiet", "--shared", "--no-checkout", str(root), str(checkout))
        copy = Git(checkout)
        copy.said("checkout", "--quiet", "--detach", start)
        here = Template(source, Path(temporary) / "template.git", trusted)
        made = _baked(copy, root, here, wish, Path(temporary) / "new")
        verified = here.verified(made.version)
        assert made.folder is not None  # noqa: S101 - for the type checker: it was just baked
        if wish.data is not None:
            told("table")
            _take(made.folder, root / wish.data, wish.target or "")
        told("files")
        # Whether others may use what is there is not for a template to say.
        without = () if "license" in wish.answers else ("LICENSE",)
        laid = laying.lay(checkout, root, made.folder, copy.paths(made.tree), without)
        _finish(copy, root, made, laid, told)
        commit = _committed(git, copy, start, made)
        copy.said("update-ref", MADE, commit)
        git.said("fetch", "--quiet", "--no-tags", str(checkout), f"{MADE}:refs/heads/{BRANCH}")
    notes = [*laid.notes]
    if branch != MAIN:
        notes.append(f"releases are made of the branch {MAIN}, and yours is {branch}: `git branch -m {branch} {MAIN}`")
    if wish.data is None:
        notes.append("its table is the template's example: `make data FILE=... TARGET=...` takes one of yours in")
    make = (
        " ".join(checks.made_by(root))
        if record.MAKEFILE not in laid.moved
        else f"make -f {laid.moved[record.MAKEFILE]}"
    )
    return Adopting(
        branch=BRANCH,
        commit=commit,
        template=made.version.name,
        verified=verified,
        answers=made.record.answers,
        files=len(git.changed(start, commit)),
        notes=[*notes, *_how_to_include(git, commit, laid)],
        next=[f"git switch {BRANCH}", f"{make} setup", f"{make} repro", f"{make} check", "gitops-ml release key"],
    )


def _require_adoptable(git: Git, data: Path | None) -> tuple[str, str]:
    """The commit and the branch that are checked out.

    Raises:
        UserError: this is no repository that can be adopted as it is.
    """
    if inside := _answer(git, "rev-parse", "--show-prefix"):
        raise UserError(f"{git.root} is the folder {inside} of a larger repository; a project has one of its own")
    if inside is None:
        raise UserError(f"{git.root} is in no Git repository: `git init`, commit what is there, and run this again")
    branch = _answer(git, "symbolic-ref", "--short", "HEAD")
    start = git.commit_of("HEAD")
    if start is None:
        raise UserError("this repository has no commit: commit what is there, and run this again")
    if not branch:
        raise UserError(f"a commit without a branch is checked out: `git switch {MAIN}`, and run this again")
    if git.read(start, record.FILE) is not None or git.read(start, "project.yaml") is not None:
        raise UserError("this repository is a project of the template already; `make update` brings its newer versions")
    if git.commit_of(f"refs/heads/{BRANCH}") is not None:
        raise UserError(f"there is a branch {BRANCH} already: merge it, or `git branch -D {BRANCH}` and run this again")
    entries = git.said("status", "--porcelain", "-z", "--untracked-files=all").split("\0")
    changed = [entry[3:] for entry in entries if entry]
    table = (git.root / data).resolve() if data else None
    if lost := [path for path in changed if (git.root / path).resolve() != table]:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise UserError(f"{lost[0]}{more} is not committed: commit it, or have Git ignore it, and run this again")
    return start, branch


def _baked(copy: Git, root: Path, here: Template, wish: Wish, into: Path) -> Bake:
    """Bake with what the repository tells, and what the person says."""
    version = here.named(wish.to) if wish.to else here.newest()
    questions = json.loads(here.git.read(version.commit, QUESTIONS) or b"{}")
    if unknown := [name for name in wish.answers if name not in questions or name.startswith("_")]:
        asked = ", ".join(name for name in questions if not name.startswith("_"))
        raise UserError(f"the template does not ask for {unknown[0]!r}; it asks for {asked}")
    answers = _guessed(copy, root, wish, questions) | wish.answers
    found = record.Record(template=re.sub(r"^(https?://)[^/@]*@", r"\1", here.source), answers=answers)
    return bakes.made(copy, here, version, found, into)


def _guessed(copy: Git, root: Path, wish: Wish, questions: dict[str, object]) -> dict[str, str]:
    """Answers that the repository tells: its name, owner, license, Python and first sentence."""
    url = _answer(Git(root), "remote", "get-url", "origin") or ""
    name = re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git") or root.resolve().name
    found = {"project_name": " ".join(re.split(r"[-_.\s]+", name.strip())).title()}
    if github := GITHUB.search(url):
        found["owner"] = github["name"].partition("/")[0]
    license_ = (copy.read("HEAD", "LICENSE") or b"").decode(errors="replace").strip().partition("\n")[0].strip()
    found["license"] = record.LICENSES.get(license_, "Proprietary")
    said = re.match(r"3\.\d+", (copy.read("HEAD", ".python-version") or b"").decode(errors="replace").strip())
    offered = questions.get("python_version")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if said and isinstance(offered, list) and said[0] not in offered:
        raise UserError(f".python-version says {said[0]}, and the template has {', '.join(offered)}: change it, commit")
    found["python_version"] = said[0] if said else own
    readme = (copy.read("HEAD", "README.md") or b"").decode(errors="replace")
    words = [line.strip() for line in readme.splitlines() if re.match(r"[A-Za-z]", line.strip())]
    target = f"Predicts {wish.target}." if wish.target else "What the model does is not described yet."
    found["description"] = words[0] if words and len(words[0]) <= LENGTH else target
    return found


def _take(baked: Path, data: Path, target: str) -> None:
    """Make a table the project's, as `make data` does in a project that has just been generated."""
    if not data.is_file():
        raise UserError(f"{data} is no file")
    run(sys.executable, "-m", "gitops_ml", "data", "add", str(data), target, cwd=baked)


def _finish(copy: Git, root: Path, made: Bake, laid: Laid, told: Callable[[str], object]) -> None:
    """Put the record, the locks and the data in place."""
    checkout = copy.root
    if laid.relock:
        for check in checks.lock(checkout, told):
            if not check.holds:
                said = " ".join(check.output.split())[-400:]
                raise UserError(f"your packages and the project's cannot be had together: {said}")
    known = made.record.model_copy(update={"moved": laid.moved})
    (checkout / record.FILE).write_bytes(known.written)
    told("data")
    url = unite.storage_url((checkout / ".dvc" / "config").read_text())
    if "://" not in url:
        run(*DVC, "config", initialize.STORAGE_CONFIG, initialize.storage_folder(root, url), cwd=checkout)
    assert made.folder is not None  # noqa: S101 - for the type checker
    (made.folder / laying.RAW).rename(checkout / laying.RAW)
    run(*DVC, "add", "--quiet", laying.RAW, cwd=checkout)
    try:
        run(*DVC, "push", "--quiet", "--remote", "storage", f"{laying.RAW}.dvc", cwd=checkout)
    except UserError as error:
        said = " ".join(str(error).split("\n")[-1].split())
        raise UserError(
            f"the storage {url} cannot be written to from here ({said}): give `--answer dvc_remote=../a-folder`, and "
            "change .dvc/config later"
        ) from error
    copy.said("add", "--force", "--", record.FILE, f"{laying.RAW}.dvc", "data/.gitignore", ".dvc/config")
    copy.said("add", "--update")


def _committed(git: Git, copy: Git, start: str, made: Bake) -> str:
    """A commit in the name of who works here."""
    who = re.match(r"(.*) <(.*)> \d+ [+-]\d+$", _answer(git, "var", "GIT_COMMITTER_IDENT") or "")
    parts = {"NAME": who[1], "EMAIL": who[2]} if who else {}
    named = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in parts.items()}
    message = f"{SUBJECT}\n\nVersion {made.version.name}. {record.FILE} says what it was made from.\n"
    return copy.said(
        "commit-tree", copy.said("write-tree"), "-p", start, "-F", "-", env=named or MACHINE, content=message.encode()
    )


def _how_to_include(git: Git, commit: str, laid: Laid) -> list[str]:
    """The line by which a Makefile of theirs has the project's targets, too, as far as it has none of the name."""
    beside = laid.moved.get(record.MAKEFILE)
    if not beside:
        return []
    target = re.compile(r"^([a-z]+):(?!=)", re.MULTILINE)
    files = ("Makefile", "makefile", "GNUmakefile")
    texts = [(git.read(commit, path) or b"").decode(errors="replace") for path in files]
    theirs = {name for text in texts for name in target.findall(text)}
    ours: list[str] = target.findall((git.read(commit, beside) or b"").decode())
    both, more = ([name for name in ours if (name in theirs) == has] for has in (True, False))
    said = f"the project's targets are those of `make -f {beside}`; this line in your Makefile has them, too: "
    line = f"`{' '.join(more)}: ; @$(MAKE) -f {beside} $@`"
    return [said + line + (f" (not {', '.join(both)}, which you have)" if both else "")]


def _answer(git: Git, *question: str) -> str | None:
    """What Git says to a question; None if it says no by its exit code."""
    try:
        return git.said(*question)
    except UserError:
        return None
