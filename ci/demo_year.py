"""A year in production, month by month: answers, labels, drift, retraining, the gate, promotion; and its worth.

The project is released with a model of January to March. Each month from April on is traffic for the service that runs
and, at its end, labels and a batch; whenever the monitor raises an alarm, `gitops-ml watch retrain` proposes a model of
all data so far. What the gate lets pass is merged and promoted. The service's clock is today's, so what it wrote down
is moved to the flights' own days before the monitor looks at it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import yaml
from rich.markup import escape
from rich.table import Table
from sklearn.metrics import log_loss, roc_auc_score

from ci.bake import bake
from ci.shell import KEYS, ROOT, CommandError, environment, free_port, gitops, make, run
from ci.steps import Steps, console

YEAR = ROOT / "build" / "demo-year"
BATCHES = ROOT / "ci" / "batches"
MONTHS = range(4, 13)
ALARM = 3
LABEL = "late"
FIRST_ANSWERS = """
import json, sys
import pandas as pd
from pathlib import Path
from gitops_ml.core import project
from pipeline import data, model, persistence, validation
from pipeline.stages import files
from gitops_serving.contract import to_answers
facts = persistence.ModelFacts.model_validate_json(Path(sys.argv[1], "model.json").read_bytes())
fitted = persistence.load(Path(sys.argv[1], "model.skops").read_bytes(), facts, files.trusted_types())
table = validation.validate(pd.read_parquet(sys.argv[2]), files.schema())
policy = project.policy(project.read(Path.cwd()).decision, files.schema())
print(json.dumps(to_answers(model.score(fitted, data.features(table, files.schema())), files.schema(), policy)))
"""
DRAW = "import sys, vl_convert; sys.stdout.write(vl_convert.vegalite_to_svg(sys.stdin.read()))"


def main() -> int:
    """Play the year; exit code 1 and one sentence if a step fails."""
    steps = Steps()
    try:
        with production(steps) as (project, url):
            months = []
            for number in MONTHS:
                months.append(month(project, url, number, steps))
                (YEAR / "year.json").write_text(json.dumps(months, indent=2) + "\n")
    except (CommandError, httpx.HTTPError) as error:
        console.print(f"\n[bold red]The year stopped:[/] {escape(str(error))}")
        return 1
    tell(project, months)
    return 0


@contextmanager
def production(steps: Steps) -> Iterator[tuple[Path, str]]:
    """A project whose first model serves, until the block ends."""
    project, port = YEAR / "late-flights", free_port()
    with steps.step("A project, trained on January to March, released and serving"):
        if (project / ".deploy").exists():
            gitops("host", "stop", "production", cwd=project)
        shutil.rmtree(YEAR, ignore_errors=True)
        bake({}, YEAR)
        settings = yaml.safe_load((project / "project.yaml").read_text())
        serving = settings["environments"][-1] | {"port": port, "approvals": 0}
        settings |= {"environments": [serving]}
        settings["log"]["file_seconds"] = 1
        settings["monitor"] |= {"labels": str(YEAR / "labels"), "batches": str(YEAR / "arrived")}
        (project / "project.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        for name in ("labels", "arrived"):
            (YEAR / name).mkdir()
        for target in ("setup", "init", "repro"):
            make(target, cwd=project)
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(YEAR / "origin.git"), cwd=YEAR)
        run("git", "remote", "add", "origin", str(YEAR / "origin.git"), cwd=project)
        shutil.copytree(project / "models", YEAR / "first")
        run("git", "commit", "--quiet", "--all", "--message", "Train on January to March", cwd=project)
        make("push", cwd=project)
        run("git", "push", "--quiet", "origin", "main", cwd=project)
        gitops("env", "bootstrap", cwd=project)
        try:
            steps.remark(roll_out(project))
            yield project, f"http://127.0.0.1:{port}"
        finally:
            gitops("host", "stop", "production", cwd=project)


def month(project: Path, url: str, number: int, steps: Steps) -> dict[str, Any]:
    """Traffic, labels, the monitor, and what follows from an alarm; what the month was like."""
    file = BATCHES / f"2013-{number:02}.parquet"
    table = pd.read_parquet(file)
    facts: dict[str, Any] = {"month": f"2013-{number:02}", "alarms": [], "verdict": "", "promoted": False}
    with steps.step(f"{facts['month']}: {len(table):,} flights ask"):
        facts["serving"] = httpx.get(f"{url}/version").json()["release"]
        answers = traffic(url, table)
        collect(project)
        table[["request", "row", LABEL]].to_parquet(YEAR / "labels" / file.name)
        shutil.copy(file, YEAR / "arrived")
        first = json.loads(
            run(str(project / ".venv/bin/python"), "-c", FIRST_ANSWERS, str(YEAR / "first"), str(file), cwd=project)
        )
        known = table[LABEL].notna()
        truth = table.loc[known, LABEL].astype(int)
        payoffs = yaml.safe_load((project / "project.yaml").read_text())["decision"]["payoffs"]
        for name, found in (("with", answers), ("without", pd.DataFrame(first))):
            judged = found[known]
            facts[name] = float(roc_auc_score(truth, judged["scores"]))
            facts[f"{name}_log_loss"] = float(log_loss(truth, judged["scores"]))
            paid = [payoffs[action][label] for action, label in zip(judged["decisions"], truth, strict=True)]
            facts[f"{name}_worth"] = 1000 * sum(paid) / len(paid)
        steps.remark(f"ROC AUC {facts['with']:.3f}, of the first model {facts['without']:.3f}")
    after = pd.Timestamp(2013, number, 1) + pd.DateOffset(months=1)
    code, said = asked(project, "watch", "monitor", "--now", f"{after:%Y-%m-%d}", "--json")
    facts["alarms"] = [f"{alarm['kind']}: {alarm['name']}" for alarm in json.loads(said)["alarms"]]
    if code == ALARM and number < MONTHS[-1]:
        with steps.step(f"{facts['month']}: alarm ({', '.join(facts['alarms'])}), so retrain"):
            code, said = asked(project, "watch", "retrain", "--json")
            done = json.loads(said)
            facts["verdict"] = f"{done['verdict']}{'' if done['passes'] else ', blocked'}"
            steps.remark(f"the gate says: {facts['verdict']}")
        if done["passes"]:
            with steps.step(f"{facts['month']}: merge the proposal, release, promote, deploy"):
                merge(project)
                steps.remark(roll_out(project))
                facts["promoted"] = True
    return facts


def traffic(url: str, table: pd.DataFrame) -> pd.DataFrame:
    """Ask about each day in one request, which gets the day as its id; `request` and `row` are added to the table.

    Returns the answers, with the columns `scores` and `decisions`.
    """
    names = httpx.get(f"{url}/docs.json").json()["components"]["schemas"]["Row"]["required"]
    days = pd.to_datetime(table[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    table["request"], table["row"] = days, days.groupby(days).cumcount()
    rows = json.loads(table[names].to_json(orient="records"))
    parts = []
    for day, places in days.groupby(days).groups.items():
        body = {"rows": [rows[place] for place in places]}
        answer = httpx.post(f"{url}/predict_batch", json=body, headers={"x-request-id": str(day)}, timeout=60)
        parts.append(pd.DataFrame(answer.raise_for_status().json(), index=places))
    return pd.concat(parts).loc[table.index]


def collect(project: Path) -> None:
    """Collect until the file that was written last is finished; then each answer is moved to its day."""
    log, store = project / ".deploy/production/predictions", project / ".deploy/predictions/production"
    for _ in range(100):
        gitops("watch", "predictions", cwd=project)
        if not list(log.glob("*.jsonl")):
            break
    for path in [path for kind in ("answers", "requests") for path in (store / kind).glob("*.parquet")]:
        if not path.name.startswith("2013"):
            for day, lines in pd.read_parquet(path).groupby("request"):
                target = path.with_name(f"{str(day).replace('-', '')}-{path.name}")
                lines.assign(time=f"{day}T12:00:00+00:00").to_parquet(target)
            path.unlink()


def merge(project: Path) -> None:
    """What a reviewer does on GitHub with a button."""
    for command in (
        ["fetch", "--quiet", "origin"],
        ["merge", "--quiet", "--ff-only", "origin/retrain/data"],
        ["push", "--quiet", "origin", "main", ":retrain/data"],
    ):
        run("git", *command, cwd=project)
    make("pull", cwd=project)
    for path in (YEAR / "arrived").iterdir():
        path.unlink()


def roll_out(project: Path) -> str:
    """Release main and bring it to production; what came of it."""
    for arguments in (["release", "make"], ["env", "promote", "production"], ["host", "deploy", "production"]):
        said = gitops(*arguments, cwd=project).strip().splitlines()[-1]
    return said


def asked(project: Path, *arguments: str) -> tuple[int, str]:
    """Run the project's automation; a verdict is an exit code.

    Raises:
        CommandError: it could not judge.
    """
    command = [str(project / ".venv/bin/gitops-ml"), *arguments]
    done = subprocess.run(
        command, cwd=project, env={**environment(), **KEYS}, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, ALARM):
        raise CommandError(f"`{' '.join(arguments)}` ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return done.returncode, done.stdout


def tell(project: Path, months: list[dict[str, Any]]) -> None:
    """The year as a table, as Markdown, and as a picture."""
    shown = Table(title="\nThe year", title_justify="left")
    measures = {
        "ROC AUC, with the loop": "with",
        "never retrained": "without",
        "log loss, with the loop": "with_log_loss",
        "never retrained ": "without_log_loss",
        "worth, with the loop": "with_worth",
        "never retrained  ": "without_worth",
    }
    heads = ["month", *measures, "alarms", "the gate says", "promoted"]
    for head in heads:
        shown.add_column(head.strip(), overflow="fold")
    lines = [f"| {' | '.join(head.strip() for head in heads)} |", "|" + "---|" * len(heads)]
    for each in months:
        found = [told(each[name]) for name in measures.values()]
        said = [", ".join(each["alarms"]) or "-", each["verdict"] or "-", "yes" if each["promoted"] else "-"]
        shown.add_row(each["month"], *found, *said)
        lines.append(f"| {' | '.join([each['month'], *found, *said])} |")
    means = [told(sum(each[name] for each in months) / len(months), digits=4) for name in measures.values()]
    lines.append(f"| mean | {' | '.join(means)} | | | |")
    shown.add_section()
    shown.add_row("mean", *means, "", "", "")
    console.print(shown)
    (YEAR / "year.md").write_text("\n".join(lines) + "\n")
    picture = subprocess.run(
        [str(project / ".venv/bin/python"), "-c", DRAW],
        input=json.dumps(spec(months)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    (YEAR / "year.svg").write_text(picture.stdout + "\n")
    console.print(f"\nThe picture is [bold]{(YEAR / 'year.svg').relative_to(ROOT)}[/]")


def told(value: float, digits: int = 3) -> str:
    """A metric by its digits, money by whole units."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.{digits}f}"


def spec(months: list[dict[str, Any]]) -> dict[str, Any]:
    """Performance with and without the loop, and when a retrained model came into production."""
    names = {"with": "with the loop", "without": "never retrained"}
    values = [
        {"month": each["month"], "value": each[key], "of": name} for each in months for key, name in names.items()
    ]
    promoted = [{"month": each["month"], "value": each["with"]} for each in months if each["promoted"]]
    grey, blue = "#8a8f98", "#3b82f6"
    x = {"field": "month", "type": "ordinal", "title": None}
    y = {"field": "value", "type": "quantitative", "title": "ROC AUC", "scale": {"zero": False}}
    axis = {"labelColor": grey, "titleColor": grey, "gridColor": grey, "gridOpacity": 0.25, "domainColor": grey}
    colour = {"field": "of", "title": None, "scale": {"domain": list(names.values()), "range": [blue, grey]}}
    mark = {"type": "point", "shape": "triangle-up", "size": 150, "filled": True, "color": "#14804a"}
    return {
        "width": 560,
        "height": 280,
        "background": None,
        "config": {"axis": axis, "legend": {"labelColor": grey, "orient": "bottom"}, "view": {"stroke": None}},
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "line", "point": True},
                "encoding": {"x": x, "y": y, "color": colour},
            },
            {"data": {"values": promoted}, "mark": mark, "encoding": {"x": x, "y": y}},
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
