"""Lays a bake around files that are there: none of theirs is overwritten or moved, and clashes are settled by rule."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from gitops_ml.adoption import unite
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import finished
from gitops_ml.update.bakes import move
from gitops_ml.update.record import BESIDE, FILE, MAKEFILE
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import COMMAND

RAW = "data/raw"
# Theirs stays where it is, by any of these names, and ours lies beside it; nothing: it is left out.
KEPT = {
    "README.md": (r"readme(\..*)?", "README.gitops-ml.md"),
    "docs/README.md": (r"docs/readme(\..*)?", "docs/README.gitops-ml.md"),
    MAKEFILE: (r"(gnu)?makefile", BESIDE),
    "LICENSE": (r"(licen[cs]e|copying)(\..*)?", ""),
    "CODEOWNERS": (r"(\.github/|docs/)?codeowners", ""),
    "AGENTS.md": (r"agents\.md", ""),
    ".python-version": (r"\.python-version", ""),
    ".github/dependabot.yml": (r"\.github/dependabot\.ya?ml", ""),
    ".github/zizmor.yml": (r"\.github/zizmor\.ya?ml", ""),
}
PACKAGES, HOOKS = "pyproject.toml", ".pre-commit-config.yaml"
# Both in one file.
UNITED = {
    ".gitignore": unite.ignored,
    ".dvcignore": unite.ignored,
    ".dvc/.gitignore": unite.ignored,
    "data/.gitignore": unite.ignored,
    ".gitattributes": unite.attributes,
    PACKAGES: unite.packages,
    HOOKS: unite.hooks,
    "dvc.yaml": unite.stages,
    "params.yaml": unite.params,
    ".dvc/config": unite.storage,
}
# Where tools find settings before they look into pyproject.toml.
CONFIGURED = {"ruff": {"ruff.toml", ".ruff.toml"}, "mypy": {"mypy.ini", ".mypy.ini"}, "importlinter": {".importlinter"}}
PYTEST = {"pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml"}
# Made anew of pyproject.toml.
LOCK = "uv.lock"
# What DVC writes, and so may not be ignored.
WRITTEN = (f"{RAW}.dvc", "dvc.lock")
PLACEHOLDERS = (".gitkeep", ".keep", ".gitignore", ".gitattributes")


@dataclass
class Laid:
    """What was done.

    Attributes:
        moved: files of the bake by where they lie now; nothing for what was left out.
        notes: a sentence for each thing that somebody should know.
        relock: whether packages must be locked anew.
    """

    moved: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    relock: bool = False


def lay(checkout: Path, root: Path, baked: Path, files: list[str], without: tuple[str, ...] = ()) -> Laid:
    """Put a bake's files into a checkout, and into its index.

    Args:
        checkout: of what is there, with nothing uncommitted.
        root: whose working tree it is of; what Git ignores there counts, too.
        baked: a folder with the bake.
        files: those of the bake; whatever else is in the folder was left by tools.
        without: those of the bake that are not wanted.

    Raises:
        UserError: names clash in a way that no rule settles; all of them are named.
    """
    git, done = Git(checkout), Laid()
    theirs = git.paths("HEAD")
    ours = [path for path in files if path != FILE and not path.startswith(f"{RAW}/")]
    done.moved = _kept(theirs, ours) | dict.fromkeys(without, "")
    move(baked, done.moved)
    ours = sorted(path for path in {done.moved.get(path, path) for path in ours} if path)
    _free_raw(git, root, theirs, done)
    texts = _united(git, baked, theirs, ours, done)
    for path in ours:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(baked / path, checkout / path)
    for path, text in texts.items():
        (checkout / path).write_text(text, encoding="utf-8")
    tools = _tools(git, baked, theirs, done)
    for path, text in tools.items():
        (checkout / path).write_text(text, encoding="utf-8")
    hooks = checkout / HOOKS
    told = unite.with_tools(hooks.read_text(encoding="utf-8"), tools)
    hooks.write_text(unite.except_theirs(told, _patterns(theirs, ours)), encoding="utf-8")
    ours += tools
    _keep_line_ends(git, theirs)
    _track(git, root, theirs, ours)
    git.said("add", "--force", "--", *ours)
    return done


def _kept(theirs: list[str], ours: list[str]) -> dict[str, str]:
    return {
        path: to
        for path, (names, to) in KEPT.items()
        if path in ours and any(re.fullmatch(names, each, re.IGNORECASE) for each in theirs)
    }


def _united(git: Git, baked: Path, theirs: list[str], ours: list[str], done: Laid) -> dict[str, str]:
    """The texts of files that both have and that are united.

    Raises:
        UserError: others are in both, and differ.
    """
    has, texts = set(theirs), {}
    clashes = _in_the_way(theirs, [path for path in ours if path not in has])
    for path in (each for each in ours if each in has):
        mine, his = (baked / path).read_bytes(), git.read("HEAD", path) or b""
        if path == LOCK:
            done.relock = True
            done.notes.append(f"{LOCK} is locked anew for the packages of both")
        elif path in UNITED:
            try:
                texts[path] = UNITED[path](his.decode(), mine.decode())
            except (UserError, UnicodeDecodeError) as error:
                clashes.append(f"{path} ({error})")
            done.relock |= path == PACKAGES
            if path == "dvc.yaml" and b"\nplots:" in b"\n" + his:
                done.notes.append("plots of yours in dvc.yaml stay until `make data` writes that block anew")
            if texts.get(path) != his.decode(errors="replace"):
                done.notes.append(f"{path} holds both: yours as it was, and what the project needs")
        elif mine != his:
            clashes.append(path)
    for path, to in done.moved.items():
        if to:
            done.notes.append(f"{path} is yours, and the project's is {to}")
        elif any(re.fullmatch(KEPT[path][0], each, re.IGNORECASE) for each in theirs):
            done.notes.append(f"{path} is yours, and the project brings none")
    if clashes:
        named = ", ".join(dict.fromkeys(clashes))
        raise UserError(
            f"no rule says how to have both of {named}: rename yours with `git mv`, commit, and run this again; "
            "nothing was changed"
        )
    return texts


def _in_the_way(theirs: list[str], ours: list[str]) -> list[str]:
    """What keeps new files from being there: one that differs in capitals alone, a folder of the name, a file above."""
    folded = {path.casefold(): path for path in theirs}
    folders = {"/".join(path.split("/")[:depth]) for path in theirs for depth in range(1, path.count("/") + 1)}
    found = []
    for path in ours:
        parts = path.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))} & set(theirs)
        if path.casefold() in folded or path in folders or above:
            found.append(folded.get(path.casefold()) or next(iter(above), path))
    return found


def _tools(git: Git, baked: Path, theirs: list[str], done: Laid) -> dict[str, str]:
    """Files with the settings of ours for tools that theirs sets, too."""
    others = {tool for tool, files in CONFIGURED.items() if not files.isdisjoint(theirs)}
    mine, his = (baked / PACKAGES).read_text(encoding="utf-8"), (git.read("HEAD", PACKAGES) or b"").decode()
    found = unite.tools(his, mine, others)
    if found:
        done.notes.append(f"your settings of tools are for your code; the project's hooks have {', '.join(found)}")
    if PYTEST & set(theirs):
        done.notes.append("pytest has your settings; the project's tests need `pythonpath = . vendor/gitops-ml`")
    return found


def _free_raw(git: Git, root: Path, theirs: list[str], done: Laid) -> None:
    """Have the folder of raw tables be the project's: DVC has it as a whole."""
    tracked = [path for path in theirs if path.startswith((f"{RAW}/", f"{RAW}.dvc"))]
    empty = [path for path in tracked if path.endswith(PLACEHOLDERS) and not (git.read("HEAD", path) or b"").strip()]
    here = [path.relative_to(root).as_posix() for path in (root / RAW).rglob("*") if path.is_file()]
    if found := sorted({*tracked, *here} - set(empty)):
        shown = ", ".join(found[:3]) + (" and more" if len(found) > 3 else "")
        raise UserError(
            f"{RAW} is where DVC will have the project's table, and it holds {shown}: move that elsewhere, such as "
            "with `git mv data/raw data/original`, commit, and run this again; nothing was changed"
        )
    if empty:
        git.said("rm", "--quiet", "--", *empty)
        done.notes.append(f"{', '.join(empty)} kept an empty folder, which DVC has now, and is left out")


def _patterns(theirs: list[str], ours: list[str]) -> list[str]:
    """Regular expressions for what is theirs: folders that hold nothing of ours, and single files."""
    shared = {"/".join(path.split("/")[:depth]) for path in ours for depth in range(1, path.count("/") + 1)}
    found: dict[str, None] = {}
    for path in theirs:
        parts = path.split("/")
        places = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        alone = next((place for place in places if place not in shared), None)
        found[f"{re.escape(alone)}/" if alone else f"{re.escape(path)}$"] = None
    return list(found)


def _keep_line_ends(git: Git, theirs: list[str]) -> None:
    """Leave files of theirs that have other line ends than the project's as they are."""
    listed = git.said("ls-files", "--eol", "-z").split("\0")
    entries = [entry.partition("\t") for entry in listed if entry]
    other = [path for facts, _, path in entries if path in theirs and facts.startswith(("i/crlf", "i/mixed"))]
    if other:
        lines = "".join(f'"{path}" -text\n' if " " in path else f"/{path} -text\n" for path in other)
        file = git.root / ".gitattributes"
        file.write_text(f"{file.read_text(encoding='utf-8')}{unite.HEADING}: line ends that stay\n{lines}")


def _track(git: Git, root: Path, theirs: list[str], ours: list[str]) -> None:
    """Have nothing of the project be ignored by what theirs ignores, and nothing of theirs by what the project does.

    Raises:
        UserError: something is ignored by other means than their .gitignore.
    """
    file = git.root / ".gitignore"
    text = file.read_text(encoding="utf-8")
    for line in text.splitlines():
        # Outputs of DVC are ignored by files that DVC writes itself, where theirs lie beside them.
        if line in ("/models/", "/reports/") and any(path.startswith(line[1:]) for path in theirs):
            text = text.replace(f"{line}\n", "")
    file.write_text(text, encoding="utf-8")
    lines: dict[str, None] = {}
    for path in _ignored(git, [*ours, *WRITTEN]):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if _ignored(git, [f"{folder}/"]):
                lines[f"!/{folder}/"] = None
                if any(each.startswith(f"{folder}/") for each in theirs) or (root / folder).exists():
                    # What was ignored in it stays so. DVC takes /folder/* for a pattern of the folder itself.
                    lines[f"/{folder}/?*"] = None
        lines["!/vendor/**" if path.startswith("vendor/") else f"!/{path}"] = None
    if lines:
        file.write_text(unite.ignored(text, "".join(f"{line}\n" for line in lines)), encoding="utf-8")
    if left := _ignored(git, [*ours, *WRITTEN]):
        raise UserError(
            f"your settings of Git ignore {', '.join(left[:3])}, which the project needs: change the .gitignore that "
            "does, commit, and run this again; nothing was changed"
        )


def _ignored(git: Git, paths: list[str]) -> list[str]:
    content = "".join(f"{path}\0" for path in paths).encode()
    done = finished(*COMMAND, "check-ignore", "--no-index", "--stdin", "-z", cwd=git.root, content=content)
    if done.returncode not in (0, 1):
        raise UserError(f"Git cannot say what it ignores: {done.stderr.decode(errors='replace').strip()}")
    return [os.fsdecode(path) for path in done.stdout.split(b"\0") if path]
