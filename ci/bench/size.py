"""`make bench-size`: a made-up table of 10^5, 10^6 and 10^7 rows, from CSV to judged model, beside pandas.

Every step is a process of its own, as DVC starts it, so its time, CPU time and largest resident memory are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ci.shell import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
WORK = ROOT / "build" / "bench-size"
SIZES = (100_000, 1_000_000, 10_000_000)
PIECE = 500_000
SEED = 16
SETTINGS = ("schema.yaml", "params.yaml", "project.yaml", "dvc.yaml", "README.md")
STAGES = ("validate", "prepare", "train", "evaluate")
# What somebody would write without this project: the same file, and the same model on rows drawn at random.
PANDAS = {
    "read_csv": "t = pd.read_csv(sys.argv[1], parse_dates=['ordered']); t.to_parquet('table.parquet')",
    "split": (
        "from sklearn.model_selection import train_test_split; t = pd.read_parquet('table.parquet'); "
        "a, b = train_test_split(t, test_size=0.25, random_state=0, stratify=t['returned']); "
        "a.to_parquet('a.parquet'); b.to_parquet('b.parquet')"
    ),
}

console = Console(highlight=False)


@dataclass(frozen=True)
class Cost:
    """What a step took: seconds that passed, seconds of CPU, and the largest resident memory in MB."""

    rows: int
    step: str
    seconds: float
    cpu: float
    memory: float


def main() -> int:
    """Measure the sizes that are named, or all."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("rows", nargs="*", type=int, help="how many rows; 10^5, 10^6 and 10^7 without")
    asked.add_argument("--json", type=Path, help="write the figures to this file, too")
    said = asked.parse_args()
    found = []
    for rows in said.rows or SIZES:
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        table = WORK / "orders.csv"
        write(table, rows)
        console.print(f"{rows:,} rows, {table.stat().st_size / 1e6:,.0f} MB of CSV")
        found += [*ours(table, rows), *theirs(table, rows)]
    shutil.rmtree(WORK, ignore_errors=True)
    show(found)
    if said.json:
        said.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    return 0


def write(path: Path, rows: int) -> None:
    """A CSV of orders in a shop: 12 columns of numbers, categories, one date, and whether the order came back."""
    random = np.random.default_rng(SEED)
    regions = np.array([f"region {number:02}" for number in range(12)])
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        price = random.lognormal(3, 1, count).round(2)
        discount = random.beta(1, 6, count).round(3)
        age = random.integers(18, 90, count)
        channel = random.choice(["app", "shop", "web"], count, p=[0.5, 0.2, 0.3])
        size = random.choice(["XS", "S", "M", "L", "XL"], count)
        chance = -1.5 + 0.3 * np.log(price) - 2 * discount - 0.01 * (age - 40) + 0.5 * (channel == "web")
        returned = random.random(count) < 1 / (1 + np.exp(-chance))
        pd.DataFrame(
            {
                "ordered": pd.Timestamp("2023-01-01") + pd.to_timedelta(start + np.arange(count), unit="s"),
                "price": price,
                "discount": discount,
                "age": age,
                "weight": random.gamma(2, 0.8, count).round(3),
                "distance": np.where(random.random(count) < 0.05, np.nan, random.exponential(80, count).round(1)),
                "items": random.poisson(2, count) + 1,
                "before": random.poisson(4, count),
                "channel": channel,
                "size": size,
                "region": random.choice(regions, count),
                "returned": np.where(returned, "yes", "no"),
            }
        ).to_csv(path, mode="a", header=start == 0, index=False)


def ours(table: Path, rows: int) -> list[Cost]:
    """From the file to the judged model, as `make data` and `make repro` take it."""
    folder = WORK / "project"
    (folder / "data" / "raw").mkdir(parents=True)
    for name in SETTINGS:
        shutil.copy(PROJECT / name, folder)
    found = [measured("data", rows, [sys.executable, "-c", ADD, str(table), "returned"], folder)]
    for stage in STAGES:
        found.append(measured(stage, rows, [sys.executable, "-m", f"pipeline.stages.{stage}"], folder))
    return found


ADD = "import sys; from gitops_ml.cli.main import main; sys.argv[1:1] = ['data', 'add']; sys.exit(main())"


def theirs(table: Path, rows: int) -> list[Cost]:
    """The same file with pandas alone."""
    folder = WORK / "pandas"
    folder.mkdir()
    return [
        measured(
            f"pandas {step}", rows, [sys.executable, "-c", f"import sys, pandas as pd; {code}", str(table)], folder
        )
        for step, code in PANDAS.items()
    ]


def measured(step: str, rows: int, command: list[str], folder: Path) -> Cost:
    """Run a step and say what it took.

    Raises:
        SystemExit: it failed.
    """
    paths = f"{PROJECT}:{PROJECT / 'vendor' / 'gitops-ml'}"
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": paths})
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"the step {step} ended with exit code {code}")
    cost = Cost(rows, step, time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)
    console.print(f"  {step}: {cost.seconds:,.1f} s, {cost.cpu:,.1f} s of CPU, {cost.memory:,.0f} MB")
    return cost


def show(found: list[Cost]) -> None:
    """A table of all steps."""
    table = Table(title=f"{os.cpu_count()} cores, Python {platform.python_version()}")
    for name in ("rows", "step", "seconds", "CPU seconds", "MB"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for each in found:
        table.add_row(f"{each.rows:,}", each.step, f"{each.seconds:,.1f}", f"{each.cpu:,.1f}", f"{each.memory:,.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
