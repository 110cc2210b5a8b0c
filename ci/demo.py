"""The main job: from nothing to a model that serves in production, with nothing but the commands of the README.

Somebody generates a project and makes its first commit; a colleague clones it, pulls the data, trains, packages and
serves the model, and asks it about April, a month that it has never seen. Then it is released and promoted to staging
and to production; April's flights make a second release, which goes the same way and is rolled back.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import yaml
from rich.markup import escape

from ci.bake import bake
from ci.serving import APRIL, ROWS, ask, served
from ci.shell import KEYS, ROOT, CommandError, free_port, gitops, make, run
from ci.steps import Steps, console

DEMO = ROOT / "build" / "demo"
# The pages that it makes in the project, and what they show.
PAGES = {
    "build/report/report.html": "what a reviewer of the second model sees",
    "build/ledger.html": "what serves where, and who put it there, when and why",
}
# What the project looked like when the last demo ended.
LEFT = DEMO / "left"


def main() -> int:
    """Play the story; exit code 1 and one sentence if a step fails."""
    steps = Steps()
    try:
        project = play(steps)
    except (CommandError, httpx.HTTPError) as error:
        console.print(f"\n[bold red]The demo stopped:[/] {escape(str(error))}")
        return 1
    LEFT.write_text(fingerprint(project))
    steps.summary()
    console.print("\nPages to look at in a browser:")
    for page, shown in PAGES.items():
        console.print(f"  [bold]{(project / page).relative_to(Path.cwd())}[/]  {shown}", soft_wrap=True)
    console.print(f"\nThe project is yours to look at: [bold]{project.relative_to(Path.cwd())}[/]")
    console.print("  source .venv/bin/activate          lets you say gitops-ml there")
    console.print("  gitops-ml host deploy production   serves it again (gitops-ml host stop production ends it),")
    console.print(f"                                     with a page at {production(project)}/")
    key = "RELEASE_KEY_FOLDER"
    console.print(f"  {key}={KEYS[key]} gitops-ml release make")
    console.print("                                     releases what you change there and push")
    console.print("  make help, gitops-ml --help        list what else it can do")
    console.print("  Change train.estimator in params.yaml, then: make repro report")
    return 0


def play(steps: Steps) -> Path:
    """Go the whole way and return where the project is."""
    project = generated(steps)
    with steps.step("Get the data (make pull)"):
        make("pull", cwd=project, echo=steps.echo)
    train(project, "Train on January to March", steps)
    with steps.step("Build the Bento (gitops-ml model package)"):
        gitops("model", "package", cwd=project, echo=steps.echo)
    with served(project, DEMO / "serve.log", steps) as url, steps.step(f"Ask it about {ROWS} flights of April"):
        steps.remark(ask(url, steps.echo))
    try:
        roll_out_and_back(project, steps)
    finally:
        for name in ("staging", "production"):
            gitops("host", "stop", name, cwd=project)
    return project


def generated(steps: Steps) -> Path:
    """Somebody generates a project, and a colleague clones it."""
    baked, origin, project = DEMO / "baked", DEMO / "origin.git", DEMO / "late-flights"
    with steps.step("Generate a project (cookiecutter, default answers)"):
        shutil.rmtree(baked / "late-flights", ignore_errors=True)
        new = bake({}, baked)
        choose_ports(new / "project.yaml", steps)
    with steps.step("Set it up (make setup)"):
        make("setup", cwd=new, echo=steps.echo)
    with steps.step("First commit, data into the storage, a key to sign releases (make init)"):
        make("init", cwd=new, echo=steps.echo)
        publish(new, origin)
    with steps.step("A colleague clones it (git clone, make setup)"):
        keep_aside(project, steps.echo)
        run("git", "clone", "--quiet", str(origin), str(project), cwd=DEMO, echo=steps.echo)
        make("setup", cwd=project, echo=steps.echo)
    return project


def train(project: Path, message: str, steps: Steps) -> None:
    """Run the pipeline and share what came out."""
    with steps.step("Run the pipeline (make repro)"):
        steps.remark(told_by_dvc(make("repro", cwd=project, echo=steps.echo)))
    with steps.step("Share the result (git commit, make push)"):
        run("git", "commit", "--quiet", "--all", "--message", message, cwd=project, echo=steps.echo)
        make("push", cwd=project, echo=steps.echo)
        run("git", "push", "--quiet", "origin", "main", cwd=project, echo=steps.echo)


def roll_out_and_back(project: Path, steps: Steps) -> None:
    """Release and promote twice, then roll back."""
    with steps.step("Release it (gitops-ml release make)"):
        steps.remark(last_line(gitops("release", "make", cwd=project, echo=steps.echo)))
    with steps.step("Create the environments (gitops-ml env bootstrap)"):
        gitops("env", "bootstrap", cwd=project, echo=steps.echo)
    first = promote(project, steps)
    with steps.step("April's flights arrive as a second batch (dvc add, a longer test period in params.yaml)"):
        shutil.copy(APRIL, project / "data" / "raw")
        judge_by_more(project / "params.yaml", steps)
        run(str(project / ".venv" / "bin" / "dvc"), "add", "--quiet", "data/raw", cwd=project, echo=steps.echo)
    train(project, "Train on January to April", steps)
    with steps.step("See what a reviewer sees (gitops-ml model report --base HEAD~1)"):
        steps.remark(last_line(gitops("model", "report", "--base", "HEAD~1", cwd=project, echo=steps.echo)))
    with steps.step("Release that too (gitops-ml release make)"):
        steps.remark(last_line(gitops("release", "make", cwd=project, echo=steps.echo)))
    second = promote(project, steps)
    with steps.step("It turns out to be bad: go back (make rollback ENV=production)"):
        make("rollback", "ENV=production", "REASON=the demo says so", cwd=project, echo=steps.echo)
        gitops("env", "merge", "production", cwd=project, echo=steps.echo)
        gitops("host", "deploy", "production", cwd=project, echo=steps.echo)
        third = httpx.get(f"{production(project)}/version").json()["release"]
        if third != first or first == second:
            raise CommandError(f"production serves {third}; before {second} it was {first}")
        steps.remark(f"production serves {third} again")
    with steps.step("Who put what where (env status, env ledger)"):
        gitops("env", "status", cwd=project, echo=steps.echo)
        gitops("env", "ledger", cwd=project, echo=steps.echo)
        gitops("env", "ledger", "--html", "build/ledger.html", cwd=project, echo=steps.echo)


def judge_by_more(params: Path, steps: Steps) -> None:
    """Have the newest 35 % of the flights judge instead of 25 %.

    A quarter is April alone, and the gate finds that its 23 days are too few to tell the models apart: "insufficient
    evidence". What it asks for is more days, not a lower bar.
    """
    text = params.read_text()
    if text.count("test_fraction: 0.25") != 1:
        raise CommandError(f"{params} has no `test_fraction: 0.25` to change")
    params.write_text(text.replace("test_fraction: 0.25", "test_fraction: 0.35"))
    steps.echo("params.yaml: test_fraction: 0.35, since the days of April alone are too few for the gate to judge by")


def promote(project: Path, steps: Steps) -> str:
    """Bring the newest release through staging to production; returns what then serves there."""
    with steps.step("Promote it to staging, and have staging's agent apply it (env promote, host deploy)"):
        gitops("env", "promote", "staging", cwd=project, echo=steps.echo)
        gitops("host", "deploy", "staging", cwd=project, echo=steps.echo)
    with steps.step("Promote it to production, approve, apply (env promote, env merge, host deploy)"):
        gitops("env", "promote", "production", cwd=project, echo=steps.echo)
        gitops("env", "merge", "production", cwd=project, echo=steps.echo)
        gitops("host", "deploy", "production", cwd=project, echo=steps.echo)
        url = production(project)
        release = str(httpx.get(f"{url}/version").json()["release"])
        steps.remark(f"{release} serves at {url}")
    return release


def production(project: Path) -> str:
    """Where production serves."""
    settings = yaml.safe_load((project / "project.yaml").read_text())
    return next(f"http://127.0.0.1:{each['port']}" for each in settings["environments"] if each["name"] == "production")


def last_line(said: str) -> str:
    """The last line that a command printed."""
    return said.strip().splitlines()[-1]


def choose_ports(settings: Path, steps: Steps) -> None:
    """Give each environment another port where its own is taken on this machine."""
    text = settings.read_text()
    for port in (3000, 3001):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                other = free_port()
                steps.echo(f"port {port} is taken; project.yaml gets {other} instead")
                text = text.replace(f"port: {port} ", f"port: {other} ").replace(f"port: {port}\n", f"port: {other}\n")
    settings.write_text(text)


def publish(project: Path, origin: Path) -> None:
    """Push to a fresh bare repository, which stands for the one on GitHub."""
    shutil.rmtree(origin, ignore_errors=True)
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin), cwd=project)
    run("git", "push", "--quiet", str(origin), "main", cwd=project)


def keep_aside(project: Path, echo: Callable[[str], object]) -> None:
    """Make room for a new clone; a project that somebody touched since the last demo is renamed, not removed."""
    if not project.exists():
        return
    for name in ("staging", "production"):
        # As projects of version 0.1 say it, too.
        run(str(project / ".venv" / "bin" / "python"), "-m", "ci", "stop", name, cwd=project)
    if LEFT.exists() and LEFT.read_text() == fingerprint(project):
        shutil.rmtree(project)
        return
    kept = project.with_name(f"{project.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    project.rename(kept)
    echo(f"the project of the last demo was changed and is kept in {kept.relative_to(ROOT)}")


def fingerprint(project: Path) -> str:
    """Changes when any file outside of the environment is added, removed or written to, ignored or not."""
    facts = [
        f"{path.relative_to(project)} {path.lstat().st_size} {path.lstat().st_mtime_ns}"
        for path in sorted(project.rglob("*"))
        if not path.is_dir() and not {".venv", ".uv", ".deploy", "__pycache__"} & set(path.relative_to(project).parts)
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def told_by_dvc(output: str) -> str:
    """How many stages ran, and how many the run cache restored."""
    ran = output.count("Running stage ")
    restored = output.count("is cached - skipping run")
    return f"stages: {ran} computed, {restored} restored from the run cache"


if __name__ == "__main__":
    sys.exit(main())
