"""A year in production, month by month: answers, labels, drift, retraining, the gate, promotion; and its worth.

The project is released with a model of January to March. Each month from April on is traffic for the service that runs
and, at its end, labels and a batch; whenever the monitor raises an alarm, `gitops-ml watch retrain` proposes a model of
all data so far. What the gate lets pass is merged and promoted, and answers the next month's first flights in a shadow,
as `environments.rollout` says, before it answers everybody. The service's clock is today's, so what it wrote down is
moved to the flights' own days before the monitor looks at it.
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
from sklearn.metrics import log_loss, roc_auc_score

from ci.answers import answers_of, by_labels
from ci.bake import bake
from ci.shell import KEYS, ROOT, CommandError, environment, free_port, gitops, make, run
from ci.steps import Steps, console
from ci.year import tell

YEAR = ROOT / "build" / "demo-year"
BATCHES = ROOT / "ci" / "batches"
MONTHS = range(4, 13)
ALARM = 3
LABEL = "late"
IN_BATCH = {"score": "scores", "decision": "decisions"}
# Of a promoted release, so many flights are asked alone in its shadow, and its agent looks after so many.
SHADOWED, LOOK = 4000, 500


def main() -> int:
    """Play the year; exit code 1 and one sentence if a step fails."""
    steps = Steps()
    try:
        with production(steps) as (project, url):
            months, models = list[dict[str, Any]](), [YEAR / "first"]
            for number in MONTHS:
                months.append(month(project, url, number, models, steps))
                (YEAR / "year.json").write_text(json.dumps(months, indent=2) + "\n")
    except (CommandError, httpx.HTTPError) as error:
        console.print(f"\n[bold red]The year stopped:[/] {escape(str(error))}")
        return 1
    tell(project, months, YEAR)
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
        rollout = {"shadow": {"minutes": 60, "rows": SHADOWED}}
        serving = settings["environments"][-1] | {"port": port, "approvals": 0, "rollout": rollout}
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


def month(project: Path, url: str, number: int, models: list[Path], steps: Steps) -> dict[str, Any]:
    """Traffic, labels, the monitor, and what follows from an alarm; what the month was like.

    `models` are the folders of all that were promoted and not kept out, the newest last.
    """
    file = BATCHES / f"2013-{number:02}.parquet"
    table = pd.read_parquet(file)
    facts: dict[str, Any] = {
        "month": f"2013-{number:02}", "alarms": [], "verdict": "", "promoted": False, "rollout": "", "labelled": ""
    }  # fmt: skip
    with steps.step(f"{facts['month']}: {len(table):,} flights ask"):
        facts["serving"] = httpx.get(f"{url}/version").json()["release"]
        alone, agent = in_shadow(project, url, table)
        answers = traffic(url, table, alone)
        collect(project)
        answers[["request", "row"]].assign(**{LABEL: table[LABEL]}).to_parquet(YEAR / "labels" / file.name)
        shutil.copy(file, YEAR / "arrived")
        first = answers_of(project, YEAR / "first", file)
        known = table[LABEL].notna()
        truth = table.loc[known, LABEL].astype(int)
        if len(alone):
            facts["rollout"] = agent["reason"] if agent["state"] == "kept" else f"promote after {len(alone):,} flights"
            pair = [answers_of(project, each, file)[known] for each in models[-2:]]
            facts["labelled"] = by_labels(project, pair, truth, YEAR)
            steps.remark(facts["rollout"])
        payoffs = yaml.safe_load((project / "project.yaml").read_text())["decision"]["payoffs"]
        for name, found in (("with", answers), ("without", first)):
            judged = found[known]
            facts[name] = float(roc_auc_score(truth, judged["scores"]))
            facts[f"{name}_log_loss"] = float(log_loss(truth, judged["scores"]))
            paid = [payoffs[action][label] for action, label in zip(judged["decisions"], truth, strict=True)]
            facts[f"{name}_worth"] = 1000 * sum(paid) / len(paid)
        steps.remark(f"ROC AUC {facts['with']:.3f}, of the first model {facts['without']:.3f}")
    if agent["state"] == "kept":
        with steps.step(f"{facts['month']}: back to the release that serves (workflow settle)"):
            gitops("workflow", "settle", cwd=project)
            models.pop()
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
                models.append(shutil.copytree(project / "models", YEAR / "models" / facts["month"]))
    return facts


def in_shadow(project: Path, url: str, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Ask about the first flights one by one while a release is in rollout; the answers, and what its agent says."""
    found, said = list[dict[str, Any]](), deployed(project)
    rows, names = asked_about(url, table), [f"{day}-{place}" for place, day in enumerate(days_of(table))]
    with httpx.Client(base_url=url, timeout=60) as client:
        while said["state"] == "in rollout" and len(found) < len(rows):
            for place in range(len(found), min(len(found) + LOOK, len(rows))):
                answer = client.post("/predict", json={"row": rows[place]}, headers={"x-request-id": names[place]})
                found.append(answer.raise_for_status().json())
            said = deployed(project)
    alone = pd.DataFrame(found, index=table.index[: len(found)]).rename(columns=IN_BATCH)
    return alone.assign(request=names[: len(found)], row=0), said


def traffic(url: str, table: pd.DataFrame, alone: pd.DataFrame) -> pd.DataFrame:
    """Ask about the other flights, each day in one request, which gets the day as its id.

    Returns all answers, with the columns `scores` and `decisions`, and `request` and `row`, by which labels find them.
    """
    rows, parts = asked_about(url, table), [alone]
    others = pd.Series(range(len(table)), index=table.index)[len(alone) :]
    for day, places in others.groupby(days_of(table)[len(alone) :]):
        body = {"rows": [rows[place] for place in places]}
        answer = httpx.post(f"{url}/predict_batch", json=body, headers={"x-request-id": str(day)}, timeout=60)
        found = pd.DataFrame(answer.raise_for_status().json(), index=places.index)
        parts.append(found.assign(request=day, row=range(len(places))))
    return pd.concat(parts).loc[table.index]


def days_of(table: pd.DataFrame) -> pd.Series:
    """The day of each flight."""
    return pd.to_datetime(table[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")


def asked_about(url: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """The flights as the service wants them."""
    names = httpx.get(f"{url}/docs.json").json()["components"]["schemas"]["Row"]["required"]
    rows: list[dict[str, Any]] = json.loads(table[names].to_json(orient="records"))
    return rows


def collect(project: Path) -> None:
    """Collect until the file that was written last is finished; then each answer is moved to its day."""
    log, store = project / ".deploy/production/predictions", project / ".deploy/predictions/production"
    for _ in range(100):
        gitops("watch", "predictions", cwd=project)
        if not list(log.glob("*.jsonl")):
            break
    for path in [path for kind in ("answers", "requests") for path in (store / kind).glob("*.parquet")]:
        if not path.name.startswith("2013"):
            table = pd.read_parquet(path)
            # What a release in its shadow said is of no day, and the monitor passes it over.
            table = table[table["request"].str.startswith("2013")]
            for day, lines in table.groupby(table["request"].str[:10]):
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


def deployed(project: Path) -> dict[str, Any]:
    """What production's agent says after a step."""
    command = [str(project / ".venv/bin/gitops-ml"), "host", "deploy", "production", "--json"]
    env = {**environment(), **KEYS}
    said = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    if not said.stdout:
        raise CommandError(f"the agent said nothing:\n{said.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(said.stdout)
    return found


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


if __name__ == "__main__":
    sys.exit(main())
