"""What `make study` does: runs in large numbers what `make test` runs once, and writes docs/studies.md.

How often gate and monitor say what, where the truth is known; and long sequences of promotions and accidents.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ci.bake import bake
from ci.shell import ROOT, make
from tests import mutants
from tests.automation.batch import study as batch
from tests.automation.gate import rollouts
from tests.automation.gate import study as gate
from tests.automation.monitor import study as monitor
from tests.automation.serving import study as serving

REPORT = ROOT / "docs" / "studies.md"
FOLDER = ROOT / "build" / "study"
GATE_TIMES, GATE_ROWS = 1000, 2000
ROLLOUT_TIMES, ROLLOUT_KILLS = 1000, 100
MONITOR_TIMES = 200
POWER_TIMES = 100
EXAMPLES, STEPS = 110, 95
KILLS = 200
UPDATE_KILLS = 50
FAULTS = 25
ANSWERS = 5_000
BATCH_ROWS = 10_000_000


def main() -> int:
    """Run everything; the report is written when all of it is done."""
    parts = [
        part("The gate", f"{GATE_TIMES:,} comparisons of each kind, {GATE_ROWS:,} rows each, margin {gate.MARGIN:g}",
             lambda: gate.table(GATE_TIMES, GATE_ROWS)),
        part("Rollouts", f"{ROLLOUT_TIMES:,} of each kind, looked at every {rollouts.LOOK} requests of each release, "
             f"{rollouts.ROWS:,} at most", lambda: rollouts.table(ROLLOUT_TIMES)),
        part("The monitor", f"{MONITOR_TIMES} stretches of {monitor.WINDOWS} windows of {monitor.DAYS_A_WINDOW} days",
             lambda: monitor.table(MONITOR_TIMES, trained())),
        part("What the monitor finds how fast", f"{POWER_TIMES} windows of each kind, a reference of "
             f"{monitor.DAYS} days with {monitor.ROWS_A_DAY} rows each",
             lambda: monitor.power_table(POWER_TIMES)),
        part("The agent", f"killed {KILLS} times at random moments of replacing a release under load", kills),
        part("Rollouts under load", f"An agent killed {ROLLOUT_KILLS} times at random moments of a shadow or a canary",
             rollout_kills),
        part("The update", f"killed {UPDATE_KILLS} times at random moments, of a project of version 0.1.0", updates),
        part("Promotion", f"{EXAMPLES} random sequences of up to {STEPS} promotions, rollbacks, reverts, edits by "
             "hand, crashes and pushes at once", promotions),
        part("Answers without pandas", f"Up to {ANSWERS:,} evaluation rows of each table, one by one and in one batch",
             lambda: serving.table(ANSWERS)),
        part("Batches", f"{BATCH_ROWS:,} rows, the command or one of its workers killed {batch.KILLS} times at random",
             lambda: batch.table(BATCH_ROWS)),
        part("The tests", f"{FAULTS} faults planted at random in each room, and which of them the tests notice",
             lambda: mutants.table(FAULTS, FOLDER / "mutants")),
    ]  # fmt: skip
    REPORT.write_text(f"{heading()}\n\n" + "\n\n".join(parts) + "\n")
    sys.stdout.write(f"wrote {REPORT.relative_to(ROOT)}\n")
    return 0


def part(title: str, what: str, study: Callable[[], str]) -> str:
    """A section of the report, with how long it took."""
    sys.stdout.write(f"{title}: {what} ...\n")
    sys.stdout.flush()
    start = time.monotonic()
    found = study()
    return f"## {title}\n\n{what}; {(time.monotonic() - start) / 60:.0f} minutes.\n\n{found}"


def heading() -> str:
    """What was tried, when, and on which machine."""
    commit = subprocess.check_output(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True).strip()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return (
        "# Studies\n\nWhat `make study` found; `make test` runs the smallest case of each.\n\n"
        f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d}, {machine}."
    )


def trained() -> Path:
    """A project of the template, trained."""
    project = FOLDER / "late-flights"
    if not (project / "dvc.lock").exists():
        bake({}, FOLDER)
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


def tried(test: str, counts: dict[str, str], said: str) -> list[str]:
    """Run a test with other counts; the numbers that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", test],
        cwd=ROOT, env=os.environ | counts, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(said, done.stdout)
    if done.returncode or not found:
        raise SystemExit(f"{test} failed:\n{done.stdout[-4000:]}")
    return [f"{int(each):,}" for each in found.groups()]


if __name__ == "__main__":
    raise SystemExit(main())
