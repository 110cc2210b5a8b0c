"""Plants faults at random and counts those that the tests notice; a part of `make study`, which lists the others.

Cosmic Ray, in an environment of its own, changes one expression of a clone at a time and runs those tests of its room
that execute the changed line, until one fails; and all others where no test is known to do it. For that this module is
a plugin of pytest, too. What only a program notices that a test starts is thus counted as not noticed.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest

from ci.shell import ROOT

TOOL = ("uv", "tool", "run", "--from", "cosmic-ray==8.7.0", "cosmic-ray")
PACKAGES = Path("{{cookiecutter.project_slug}}") / "vendor" / "gitops-ml"
SECONDS = 900.0
CHANGED = re.compile(r"[+-](?![+-]{2})")
SEED = 20261127
COVERED = "covered"


@dataclass(frozen=True)
class Room:
    """What is changed, and which tests are to notice."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = (
    Room(
        "gate",
        tuple(
            f"gitops_ml/gate/{name}.py" for name in ("verdict", "rules", "worth", "fairness", "rollout", "sequential")
        ),
        ("gate",),
    ),
    Room(
        "promotion",
        (
            *(
                f"gitops_ml/promotion/{name}.py"
                for name in ("checks", "verify", "health", "served", "proposals", "promote")
            ),
            "gitops_ml/marks/branch.py",
            "gitops_ml/marks/holds.py",
        ),
        ("promotion", "marks", "host"),
    ),
    Room(
        "signing and Git",
        ("gitops_ml/core/signing.py", "gitops_ml/versions/objects.py", "gitops_ml/versions/git.py"),
        ("core", "versions", "promotion"),
    ),
    Room(
        "records and rendering",
        ("gitops_ml/core/record.py", "gitops_ml/versions/environment.py"),
        ("core", "promotion"),
    ),
    Room(
        "monitor",
        tuple(f"gitops_ml/monitor/{name}.py" for name in ("signals", "drift", "estimate", "findings", "window")),
        ("monitor",),
    ),
    Room(
        "service",
        tuple(
            f"gitops_serving/{name}.py"
            for name in (
                "answering",
                "connection",
                "contract",
                "log",
                "limits",
                "records",
                "sink",
                "series",
                "together",
                "fast/encoding",
                "fast/masks",
                "fast/scorer",
                "fast/sums",
            )
        ),
        ("serving",),
    ),
)


@dataclass(frozen=True)
class Fault:
    """One change that was tried."""

    place: str
    diff: str
    noticed: bool


def faults(room: Room, count: int, folder: Path) -> list[Fault]:
    """Plant so many faults in a room, chosen at random from all that the tool knows."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    tests = " ".join(f"tests/automation/{name}" for name in room.tests)
    settings = folder / "mutants.toml"
    # The sequences of accidents are a study of their own, and would take hours here.
    asked = f"-m pytest -q -x -n0 -p no:cacheprovider {tests} -k 'not no_sequence'"
    command = f"{sys.executable} {asked} -p tests.mutants"
    settings.write_text(
        "[cosmic-ray]\n"
        f"module-path = {json.dumps([str(PACKAGES / module) for module in room.modules])}\n"
        f"timeout = {SECONDS}\nexcluded-modules = []\ntest-command = {json.dumps(command)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    session = folder / "mutants.sqlite"
    # What is installed is the package of this checkout; the changed one is that of the clone.
    environment = os.environ | {"PYTHONPATH": str(folder / PACKAGES), "COVERAGE_FILE": str(folder / COVERED)}
    (folder / "covered.toml").write_text(
        f'[tool.coverage.run]\ndynamic_context = "test_function"\nsource = {json.dumps([str(PACKAGES)])}\n'
    )
    for step in (
        [sys.executable, "-m", "coverage", "run", "--rcfile=covered.toml", *shlex.split(asked)],
        [*TOOL, "init", settings.name, session.name],
        [*TOOL, "exec", settings.name, session.name],
    ):
        subprocess.run(step, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        if "init" in step:
            _choose(session, count)
    return _found(session)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the tests that execute the line that was changed."""
    diff = subprocess.check_output(["git", "diff", "--unified=0", "--", str(PACKAGES)], text=True)
    lines = {int(line) for line in re.findall(r"^@@ -(\d+)", diff, flags=re.MULTILINE)}
    covered = coverage.CoverageData()
    covered.read()
    executing = {
        context
        for file in re.findall(r"^--- a/(.*)$", diff, flags=re.MULTILINE)
        for line, contexts in covered.contexts_by_lineno(str(Path(file).resolve())).items()
        if line in lines
        for context in contexts
    }
    chosen = [f"{item.module.__name__}.{item.originalname}" in executing for item in items]  # type: ignore[attr-defined]
    first = [item for item, own in zip(items, chosen, strict=True) if own]
    others = [item for item, own in zip(items, chosen, strict=True) if not own]
    # Without a name: what a fixture executes, or the import of the module.
    if executing and "" not in executing:
        config.hook.pytest_deselected(items=others)
        others = []
    items[:] = first + others


def table(count: int, folder: Path) -> str:
    """What was noticed in each room, and each fault that was not."""
    rows, left = [], []
    for room in ROOMS:
        found = faults(room, count, folder / room.name.replace(" ", "-"))
        missed = [fault for fault in found if not fault.noticed]
        rows.append(f"| {room.name} | {len(found)} | {len(found) - len(missed)} | {1 - len(missed) / len(found):.0%} |")
        left += [f"- {fault.place}\n\n  ```diff\n{fault.diff}\n  ```" for fault in missed]
    head = "| room | faults | noticed | share |\n|---|---:|---:|---:|\n"
    unnoticed = "\n".join(left) or "None."
    return f"{head}" + "\n".join(rows) + f"\n\nNot noticed, those that change nothing included:\n\n{unnoticed}\n"


def _choose(session: Path, count: int) -> None:
    """Leave so many of the changes, one for each place first, since one place may know a dozen."""
    with closing(sqlite3.connect(session)) as database:
        places: dict[tuple[str, int, int], list[str]] = {}
        asked = (
            "SELECT job_id, module_path, start_pos_row, start_pos_col FROM mutation_specs "
            # `|` is that of annotations nearly everywhere, which nothing evaluates.
            "WHERE operator_name NOT LIKE '%BinaryOperator_BitOr%' "
            "ORDER BY module_path, start_pos_row, start_pos_col, operator_name, occurrence"
        )
        for job, *place in database.execute(asked):
            places.setdefault(tuple(place), []).append(job)
        chance = random.Random(SEED)  # noqa: S311 - not for secrets
        chosen = [chance.choice(jobs) for jobs in chance.sample(list(places.values()), min(count, len(places)))]
        marks = ",".join("?" * len(chosen))
        for name in ("mutation_specs", "work_items"):
            database.execute(f"DELETE FROM {name} WHERE job_id NOT IN ({marks})", chosen)  # noqa: S608 - names of ours
        database.commit()


def _found(session: Path) -> list[Fault]:
    asked = (
        "SELECT module_path, start_pos_row, definition_name, test_outcome, diff "
        "FROM mutation_specs JOIN work_results USING (job_id) ORDER BY 1, 2"
    )
    with closing(sqlite3.connect(session)) as database:
        return [
            Fault(
                place=f"{Path(module).relative_to(PACKAGES)}:{row} in `{definition}`",
                diff="\n".join(
                    f"  {line}" for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
                ),
                noticed=outcome != "SURVIVED",
            )
            for module, row, definition, outcome, diff in database.execute(asked)
        ]


if __name__ == "__main__":
    sys.stdout.write(table(int(os.environ.get("FAULTS", "25")), ROOT / "build" / "study" / "mutants"))
