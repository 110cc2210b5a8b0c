"""The main job, as the README gives it, with an empty home and in a template of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci.bake import export
from ci.shell import run
from tests.conftest import UV

# The demo's beginning, up to what training finds. What comes after it is the same again.
BEGINNING = """
from ci.demo import generated, train
from ci.shell import make
from ci.steps import Steps
steps = Steps()
project = generated(steps)
make("pull", cwd=project)
train(project, "Train again", steps)
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the template."""
    folder = export(tmp_path_factory.mktemp("demo") / "template")
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", "--force", cwd=folder)
    return folder


def demo(workplace: Path, *command: str) -> str:
    """Run the demo, or a part of it, as somebody who has nothing but uv's download cache."""
    home = workplace.parent / "home"
    home.mkdir(exist_ok=True)
    cache = run(UV["UV"], "cache", "dir", cwd=workplace).strip()
    return run(*command, cwd=workplace, env={"HOME": str(home), "UV_CACHE_DIR": cache})


def stages(said: str) -> tuple[int, int]:
    """How many stages the demo computed, and how many it restored."""
    found = re.search(r"stages: (\d) computed, (\d) restored", said)
    assert found, said
    return int(found[1]), int(found[2])


def test_the_demo_trains_once_and_keeps_what_somebody_changed(workplace: Path) -> None:
    """The first demo computes and shows scores beside the truth; the second restores, and loses nobody's work."""
    first = demo(workplace, "make", "demo")
    assert stages(first) == (4, 0)
    named = re.findall(r"^  (build/demo/\S+\.html)  ", first, re.MULTILINE)
    assert [Path(page).name for page in named] == ["report.html", "ledger.html"]
    assert all((workplace / page).is_file() for page in named)
    assert re.search(r"4/1 .* JFK-\w+ at \d{4} +0\.\d{3} +(wait|rebook) +(late|on time)", first)
    (workplace / "build/demo/late-flights/data/raw/mine.parquet").write_text("precious")
    second = demo(workplace, ".venv/bin/python", "-c", BEGINNING)
    assert stages(second) == (1, 3)
    kept = list((workplace / "build/demo").glob("late-flights-*/data/raw/mine.parquet"))
    assert [path.read_text() for path in kept] == ["precious"]
    assert run("git", "status", "--porcelain", "--untracked-files=all", cwd=workplace).count("??") == 0
