"""What `make study` does: runs in large numbers what `make test` runs once, and writes docs/studies.md.

Each part writes its own section when it is done, so that hours of work survive whatever ends a run.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ci.bake import bake
from ci.shell import ROOT, make
from tests import hostile, mutants
from tests.automation.batch import study as batch
from tests.automation.engine import study as training
from tests.automation.gate import rollouts
from tests.automation.gate import study as gate
from tests.automation.monitor import study as monitor
from tests.automation.serving import study as serving
from tests.automation.update import study as update

REPORT = ROOT / "docs" / "studies.md"
FOLDER = ROOT / "build" / "study"
HEADING = (
    "# Studies\n\nWhat `make study` found; `make test` runs the smallest case of each. `PARTS=` names some of them.\n"
)
GATE_TIMES, GATE_ROWS = 1000, 2000
ROLLOUT_TIMES, ROLLOUT_KILLS = 1000, 100
MONITOR_TIMES = 200
POWER_TIMES = 100
EXAMPLES, STEPS = 110, 95
KILLS = 200
UPDATE_KILLS = 50
FAULTS = 25
ANSWERS = 5_000
REQUESTS = 10_000
BATCH_ROWS = 10_000_000
TRIALS = 60


@dataclass(frozen=True)
class Part:
    """One study: the heading of its section, what is run how often, and what finds the text below that."""

    title: str
    what: str
    run: Callable[[], str]


def main() -> int:
    """Run the parts that are named, or all."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    for name in asked.parse_args().parts or PARTS:
        part = PARTS[name]
        sys.stdout.write(f"{name}: {part.what} ...\n")
        sys.stdout.flush()
        commit = subprocess.check_output(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True).strip()
        start = time.monotonic()
        found = part.run()
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        circumstances = (
            f"{part.what}; {(time.monotonic() - start) / 60:.0f} minutes on {machine}; commit {commit}, "
            f"{datetime.now(UTC):%Y-%m-%d}."
        )
        write(part.title, f"{circumstances}\n\n{found.strip()}\n")
    return 0


def write(title: str, text: str) -> None:
    """Put a section into the report in the order of the parts, in place of what an earlier run found."""
    before = re.split(r"^## (.*)\n\n", REPORT.read_text(), flags=re.MULTILINE)[1:] if REPORT.exists() else []
    sections = dict(zip(before[::2], before[1::2], strict=True)) | {title: text}
    parts = (
        f"\n## {part.title}\n\n{sections[part.title].strip()}\n" for part in PARTS.values() if part.title in sections
    )
    REPORT.write_text(HEADING + "".join(parts))
    sys.stdout.write(f"wrote {title} into {REPORT.name}\n")
    sys.stdout.flush()


@functools.cache
def trained() -> Path:
    """A project of the template as it is now, trained."""
    for left in ("late-flights", "late-flights-dvc"):
        shutil.rmtree(FOLDER / left, ignore_errors=True)
    project = bake({}, FOLDER)
    for target in ("setup", "init", "repro"):
        make(target, cwd=project)
    return project


def promotions() -> str:
    """How many steps were run, and how often an environment was seen serving one tested release."""
    counts = {"PROMOTION_EXAMPLES": str(EXAMPLES), "PROMOTION_STEPS": str(STEPS)}
    test = "tests/automation/promotion/test_promotion_property.py"
    steps, served = tried(test, counts, r"(\d+) steps; (\d+) times")
    return f"{steps} steps, {served} times an environment was seen serving: always one release, tested as a whole."


def rollout_kills() -> str:
    """The same of an agent that rolls a release out."""
    return kills("test_an_agent_that_is_killed_in_a_rollout_loses_no_request", "ROLLOUT_KILLS", ROLLOUT_KILLS)


def kills(
    name: str = "test_an_agent_that_is_killed_loses_no_request", count: str = "AGENT_KILLS", times: int = KILLS
) -> str:
    """How often an agent was killed, and what became of the requests meanwhile."""
    test = f"tests/test_deploy.py::{name}"
    said = r"(\d+) kills; (\d+) requests; (\d+) lost; (\d+) wrong"
    killed, requests, lost, wrong = tried(test, {count: str(times)}, said)
    return f"{killed} times in the middle of a step; {requests} requests, {lost} lost, {wrong} answered wrongly."


def updates() -> str:
    """How often an update was killed; each time main and the working tree are compared with what they were."""
    test = "tests/automation/update/test_update.py::test_an_update_that_is_killed_changes_nothing_or_all"
    (killed,) = tried(test, {"UPDATE_KILLS": str(UPDATE_KILLS)}, r"(\d+) kills")
    return f"{killed} times; main and the working tree were as before each time, and the next run proposed the update."


def search() -> str:
    """What a search found, and what the workflow of its pull request says of that."""
    test = "tests/test_story.py::test_a_search_ends_in_a_pull_request"
    found, gate = tried(test, {"SEARCH_TRIALS": str(TRIALS)}, r"search: (.*)\ngate: (.*)")
    return f"{found}.\n\nThe pull request's workflow trained and judged it, and its comment begins: {gate}."


def matrix() -> str:
    """What became of a project of each version on the whole way, and of one with a table of its own, twice updated."""
    test = "tests/automation/update/test_update.py::test_a_table_of_ones_own_is_left_alone_from_update_to_update"
    (own,) = tried(test, {"UPDATE_STARTS": str(len(update.VERSIONS))}, r"(\d+) passed")
    said = f"{own} with a table of their own were updated twice, the first time squashed: no file to settle."
    return f"{update.table(FOLDER / 'matrix')}\n\n{said}"


def tried(test: str, counts: dict[str, str], said: str) -> list[str]:
    """Run a test with other counts; the numbers and words that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", test],
        cwd=ROOT, env=os.environ | counts, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(said, done.stdout)
    if done.returncode or not found:
        raise SystemExit(f"{test} failed:\n{done.stdout[-4000:]}")
    return [f"{int(each):,}" if each.isdigit() else each for each in found.groups()]


PARTS = {
    "gate": Part(
        "The gate",
        f"{GATE_TIMES:,} comparisons of each kind, {GATE_ROWS:,} rows each, margin {gate.MARGIN:g}",
        lambda: gate.table(GATE_TIMES, GATE_ROWS),
    ),
    "rollouts": Part(
        "Rollouts",
        f"{ROLLOUT_TIMES:,} of each kind, looked at every {rollouts.LOOK} requests of each release, "
        f"{rollouts.ROWS:,} at most",
        lambda: rollouts.table(ROLLOUT_TIMES),
    ),
    "monitor": Part(
        "The monitor",
        f"{MONITOR_TIMES} stretches of {monitor.WINDOWS} windows of {monitor.DAYS_A_WINDOW} days",
        lambda: monitor.table(MONITOR_TIMES, trained()),
    ),
    "power": Part(
        "What the monitor finds how fast",
        f"{POWER_TIMES} windows of each kind, a reference of {monitor.DAYS} days with {monitor.ROWS_A_DAY} rows each",
        lambda: monitor.power_table(POWER_TIMES),
    ),
    "kills": Part("The agent", f"Killed {KILLS} times at random moments of replacing a release under load", kills),
    "rollout-kills": Part(
        "Rollouts under load",
        f"An agent killed {ROLLOUT_KILLS} times at random moments of a shadow or a canary",
        rollout_kills,
    ),
    "updates": Part(
        "The update", f"Killed {UPDATE_KILLS} times at random moments, of a project of version 0.1.0", updates
    ),
    "matrix": Part(
        "Updates from each version",
        f"From {', '.join(update.VERSIONS)}, as one team and as another with a table of its own",
        matrix,
    ),
    "promotions": Part(
        "Promotion",
        f"{EXAMPLES} random sequences of up to {STEPS} promotions, rollbacks, reverts, edits by hand, crashes and "
        "pushes at once",
        promotions,
    ),
    "answers": Part(
        "Answers without pandas",
        f"Up to {ANSWERS:,} evaluation rows of each table, one by one and in one batch",
        lambda: serving.table(ANSWERS),
    ),
    "requests": Part(
        "Requests",
        f"{REQUESTS:,} by each way through the server, and as many of the OpenAPI document, to the served example",
        lambda: hostile.table(trained(), REQUESTS, FOLDER / "requests"),
    ),
    "batches": Part(
        "Batches",
        f"{BATCH_ROWS:,} rows, the command or one of its workers killed {batch.KILLS} times at random",
        lambda: batch.table(BATCH_ROWS),
    ),
    "search": Part("The search", f"{TRIALS} trials on the example, and the pull request that they end in", search),
    "training": Part(
        "Training on several machines",
        f"Each table's Pipeline, {training.ROUNDS} rounds of boosting, with none, one and two workers in network "
        "namespaces, one of them killed at random",
        training.table,
    ),
    "faults": Part(
        "The tests",
        f"{FAULTS} faults planted at random in each room, and which of them the tests notice",
        lambda: mutants.table(FAULTS, FOLDER / "mutants"),
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())
