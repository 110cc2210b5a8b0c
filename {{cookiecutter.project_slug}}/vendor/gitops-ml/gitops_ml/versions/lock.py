"""dvc.lock: which bytes the pipeline's results have."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
import yaml

from gitops_ml.core import pointers, progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run, shown
from gitops_ml.versions import recomputed, requirements
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision

FILE = "dvc.lock"
# What the last `make repro` here did.
REPRO = "build/repro.json"
# By its path, since what is installed need not be this repository's; -P as of DVC itself.
REPRODUCING = (sys.executable, "-P", str(Path(__file__).with_name("repro.py")))


def locked(root: Path) -> dict[str, str]:
    """The hash of each input and output of the pipeline, by path.

    Raises:
        UserError: nothing was trained yet.
    """
    try:
        found = read(root)
    except FileNotFoundError as error:
        raise UserError("there is no dvc.lock yet; `make repro` trains the first model") from error
    return {
        entry["path"]: entry["md5"]
        for stage in found.values()
        for entry in stage.get("deps", []) + stage.get("outs", [])
    }


def require(root: Path, paths: Iterable[str]) -> None:
    """Hold files of the working tree to dvc.lock, as far as it names them.

    Raises:
        UserError: one is missing, or is another one; the message says what to run.
    """
    named = locked(root)
    for path in paths:
        if path in named and (not (root / path).exists() or _md5(root / path) != named[path]):
            if _computed_elsewhere(root, [path]):
                raise UserError(
                    f"{path} differs from the one that dvc.lock names in the last bits alone, as another processor "
                    "computes them; CI's bytes count: `make pull` brings them"
                )
            raise UserError(
                f"{path} is not the one that dvc.lock names; `make pull` gets what is missing, `make repro` computes "
                "what was changed"
            )


@progress.doing("asking DVC what would be computed anew")
def require_current(root: Path) -> list[str]:
    """Hold dvc.lock to the code, the settings and the data of the working tree: reproducing would change nothing.

    Returns the outputs that were computed here from the same inputs as those of the last commit, and differ from them
    in the last bits alone: another processor's, and no change.

    Raises:
        UserError: a stage would be computed anew; the message names what changed.
    """
    status: dict[str, list[Any]] = json.loads(run(*DVC, "status", "--json", cwd=root))
    stages = [name for name in status if name in read(root)]
    if not stages:
        head = Git(root).commit_of("HEAD")
        found = recomputed.recomputed(Revision(root, head), Revision(root, None)) if head else {}
        return [path for path, last_bits in found.items() if last_bits]
    said = [entry for stage in stages for entry in status[stage]]
    paths = {path for entry in said if isinstance(entry, dict) for found in entry.values() for path in found}
    if all(isinstance(entry, dict) for entry in said) and _computed_elsewhere(root, paths):
        return sorted(paths)
    raise UserError(
        f"dvc.lock is not of this commit: {', '.join(sorted(paths)) or 'a command'} changed since {stages[0]} was run; "
        "run `make repro`, commit dvc.lock and `make push`"
    )


def require_pointers(root: Path) -> None:
    """Hold dvc.lock to the pointers of the data: both are committed, and one may have been forgotten.

    Raises:
        UserError: the pipeline's results were made of other data than a pointer names.
    """
    named = locked(root)
    other = [path for path, digest in pointers.hashes(root).items() if named.get(path, digest) != digest]
    if other:
        raise UserError(
            f"dvc.lock was made of another {', '.join(other)} than {', '.join(f'{path}.dvc' for path in other)} names; "
            "run `make pull repro`, commit both and `make push`"
        )


def reproduce(root: Path, pull: bool = True) -> None:
    """Run the pipeline on the data that Git names with the packages that uv.lock names.

    What is known is restored, from the storage too with `pull`, the rest computed; REPRO says which was what. Outputs
    that need not be computed and are missing are put back if this machine has them, and named if not.

    Raises:
        UserError: data or packages are others, or a stage failed.
    """
    if not (root / ".git").exists():
        raise UserError("this project has no history yet; run `make init` first")
    pointers.require_followed(root)
    requirements.require_installed(root)
    if written := requirements.write(root):
        typer.echo(f"wrote {', '.join(written)}")
    try:
        shown(*REPRODUCING, REPRO, "repro", "--allow-missing", *(["--pull"] if pull else []), cwd=root)
    except UserError as error:
        raise UserError("the pipeline stopped; the reason stands above, and `make repro` goes on from there") from error
    if _missing(root):
        run(*DVC, "checkout", "--quiet", "--allow-missing", "dvc.yaml", cwd=root)
    if missing := _missing(root):
        typer.echo(f"{', '.join(missing)} need not be made anew and stayed in the storage: `make pull` brings them")


def resolve(root: Path) -> list[str]:
    """Settle a merge in which dvc.lock is in conflict, by reproducing; returns what was settled.

    Both sides' new files of data/raw are kept, and the exports are written anew. What either side computed and still
    fits is restored by DVC's run cache.

    Raises:
        UserError: nothing is in conflict, something else is too, or the pipeline fails; the merge stays open then.
    """
    conflicts = Git(root).said("diff", "--name-only", "--diff-filter=U").splitlines()
    if not conflicts:
        raise UserError("nothing is in conflict here; begin with `git merge origin/main`")
    exports = [path for path in conflicts if path in (requirements.TRAIN, requirements.SERVE)]
    if others := [path for path in conflicts if path != FILE and not path.endswith(".dvc") and path not in exports]:
        raise UserError(f"{', '.join(others)} must be settled first: edit, `git add`, then this again")
    for path in conflicts:
        if path == FILE or path in exports:
            run("git", "checkout", "--theirs", "--", path, cwd=root)
        else:
            _unite(root, path)
        run("git", "add", path, cwd=root)
    # Data of which only one side has a new pointer, which Git has merged by itself.
    if others := [f"{path}.dvc" for path in pointers.differing(root)]:
        run(*DVC, "pull", "--quiet", *others, cwd=root)
    # Of the merged uv.lock, whatever either side had.
    written = requirements.write(root)
    reproduce(root)
    run("git", "add", FILE, *written, *(path for path in conflicts if path != FILE), cwd=root)
    return conflicts


def _computed_elsewhere(root: Path, paths: Iterable[str]) -> bool:
    """Whether files of the working tree are those of the last commit's dvc.lock, but for rounding.

    What cannot be compared, since the committed bytes cannot be had, counts as a change.
    """
    outs = {entry["path"] for stage in read(root).values() for entry in stage["outs"]}
    try:
        head = Git(root).commit_of("HEAD")
        before, here = Revision(root, head), Revision(root, None)
        if head is None or recomputed.stages(before) != recomputed.stages(here) or not outs.issuperset(paths):
            return False
        return all(recomputed.differ_in_last_bits(path, before, here) for path in paths)
    except UserError:
        return False


def _unite(root: Path, path: str) -> None:
    """Have DVC merge a folder that it tracks: files that either side added or removed are."""
    with tempfile.TemporaryDirectory() as name:
        sides = []
        for number in (1, 2, 3):
            side = Path(name) / str(number)
            side.write_text(run("git", "show", f":{number}:{path}", cwd=root) + "\n")
            sides.append(str(side))
        run(*DVC, "fetch", "--all-branches", "--quiet", cwd=root)
        base, ours, theirs = sides
        run(*DVC, "git-hook", "merge-driver", "--ancestor", base, "--our", ours, "--their", theirs, cwd=root)
        (root / path).write_text(Path(ours).read_text())
    run(*DVC, "checkout", "--quiet", "--force", path, cwd=root)


def _missing(root: Path) -> list[str]:
    """The outputs that dvc.lock names and that are not there."""
    outs = (out["path"] for stage in read(root).values() for out in stage.get("outs", []))
    return [path for path in outs if not (root / path).exists()]


def read(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock, by their names."""
    stages: dict[str, Any] = yaml.safe_load((root / FILE).read_text())["stages"]
    return stages


def _md5(path: Path) -> str:
    # DVC's hash; it names the content, and is no protection. The service checks sha256.
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
