"""Locks, installs, checks, trains, tests and judges what an update made, by the project's own commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import BaseModel

from gitops_ml.core import programs
from gitops_ml.core.programs import finished, run
from gitops_ml.update import record
from gitops_ml.versions import requirements
from gitops_ml.versions.git import Git

# What a terminal would not have, and what would have the checkout work with another one's environment.
OTHERS = (
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHONPATH",
    "UV_PROJECT_ENVIRONMENT",
    "UV_RUN_RECURSION_DEPTH",
    "VIRTUAL_ENV",
)
UNSET = ("env", *(word for name in OTHERS for word in ("-u", name)))
BIN = Path(".venv") / "bin"
MODEL = "models/model.skops"
LINES = 40


class Check(BaseModel):
    """One thing that was tried: whether it went well, and what was said."""

    name: str
    holds: bool
    sentence: str
    output: str = ""


def look(checkout: Path, cache: Path | None, relock: bool, train: bool, told: Callable[[str], object]) -> list[Check]:
    """Try everything, in the order in which it can go wrong; what needs a step that failed is not tried.

    Args:
        checkout: holds the update, in its index too.
        cache: DVC's, of the clone that this is for.
        relock: whether its packages are not those of the template's lock.
        train: whether to run the pipeline, and judge its model.
        told: is told of each step.
    """
    found: list[Check] = []
    make = made_by(checkout)

    def tried(name: str, *command: str) -> bool:
        told(name)
        found.append(_ended(checkout, name, *command))
        return found[-1].holds

    if relock and not tried("packages locked", "uv", "lock"):
        return found
    if not tried("packages installed", *make, "setup"):
        return found
    if relock and not tried("packages exported", str(BIN / "gitops-ml"), "lock", "export"):
        return found
    Git(checkout).said("add", "--update")
    # Hooks mend what they can, such as the order of imports, and fail when they did.
    if finished(*UNSET, *make, "check", cwd=checkout).returncode:
        Git(checkout).said("add", "--update")
        tried("check", *make, "check")
    else:
        found.append(Check(name="check", holds=True, sentence="holds"))
    Git(checkout).said("add", "--update")
    if train and _has_data(checkout, cache):
        before = outputs(checkout)
        if tried("pipeline", *make, "repro"):
            found[-1].sentence = _same(before, outputs(checkout))
            tried("test", *make, "test")
            found.append(_judged(checkout, told))
            return found
    tried("test", *make, "test")
    return found


def made_by(checkout: Path) -> tuple[str, ...]:
    """The command for the project's targets: of an adopted repository, Makefile is its own."""
    beside = record.BESIDE
    return ("make", "-f", beside) if (checkout / beside).exists() else ("make",)


def lock(checkout: Path, told: Callable[[str], object]) -> list[Check]:
    """Lock packages that are not those of the template's lock, and nothing else; none of the checkout's code is run."""
    told("packages locked")
    done = [_ended(checkout, "packages locked", "uv", "lock")]
    if done[0].holds:
        requirements.write(checkout)
    return done


def outputs(checkout: Path) -> dict[str, str]:
    """What the lock says that the stages wrote, by hash."""
    path = checkout / "dvc.lock"
    lock = yaml.safe_load(path.read_text()) if path.exists() else {"stages": {}}
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def store(checkout: Path) -> None:
    """Put what was trained into the storage.

    Raises:
        UserError: it cannot be written to.
    """
    run(*UNSET, *made_by(checkout), "push", cwd=checkout)


def _ended(checkout: Path, name: str, *command: str) -> Check:
    """Run a command; whether it went well, and if not, the end of what it said."""
    done = finished(*UNSET, *command, cwd=checkout)
    printed = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()[-LINES:]
    ended = "holds" if done.returncode == 0 else f"`{' '.join(command)}` ended with exit code {done.returncode}"
    output = "\n".join(printed) if done.returncode else ""
    return Check(name=name, holds=done.returncode == 0, sentence=ended, output=output)


def _has_data(checkout: Path, cache: Path | None) -> bool:
    pointers = sorted(path.relative_to(checkout).as_posix() for path in (checkout / "data").glob("*.dvc"))
    if not pointers:
        return False
    dvc = (str(checkout / BIN / "python"), *programs.DVC[1:])
    if cache is not None:
        run(*UNSET, *dvc, "config", "--local", "cache.dir", str(cache), cwd=checkout)
    run(*UNSET, *dvc, "pull", "--quiet", *pointers, cwd=checkout)
    return True


def _same(before: dict[str, str], after: dict[str, str]) -> str:
    if before == after:
        return "nothing was trained: every result is the one that main has"
    if MODEL not in before:
        return "the first model was trained"
    same = "the same to the byte" if before[MODEL] == after.get(MODEL) else "**another one**"
    changed = sorted(path for path in after if after[path] != before.get(path) and path != MODEL)
    others = f"; other results that changed: {', '.join(changed)}" if changed else ""
    return f"the stages were run again, and the model is {same}{others}"


def _judged(checkout: Path, told: Callable[[str], object]) -> Check:
    told("gate")
    done = finished(*UNSET, str(BIN / "gitops-ml"), "model", "gate", "--json", cwd=checkout)
    try:
        judged = json.loads(done.stdout)
        # The very model that serves need not replace it.
        is_same = judged["champion"] == judged["challenger"] and all(rule["holds"] for rule in judged["rules"])
        said = f"{judged['verdict']}: {'; '.join(judged['reasons'])}"
    except (ValueError, KeyError, TypeError):
        output = done.stderr.decode(errors="replace").strip()
        return Check(name="gate", holds=False, sentence="nothing was judged", output=output)
    return Check(name="gate", holds=judged["passes"] or is_same, sentence=said)
