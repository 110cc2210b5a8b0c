"""`gitops-ml watch`: what production says of the model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli.options import AsJson, LastByDefault, agents_folder, environment_or_last, examples, group
from gitops_ml.core import project
from gitops_ml.host import runner
from gitops_ml.monitor import page, watch
from gitops_ml.monitor import retrain as retraining
from gitops_ml.notify import branch, webhook
from gitops_ml.predictions import erasure, stored
from gitops_ml.versions.git import Git

FOLDER = Path("build/monitor")

commands = group()


@commands.callback()
def _watch() -> None:
    """Look at what production says of the model, and retrain."""


@commands.command("predictions", epilog=examples("watch predictions production"))
def predictions(
    name: LastByDefault = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the service writes; .deploy/ENV/predictions by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move what the service of this host wrote down into the store that project.yaml names, as Parquet.

    What is older there than `monitor.keep_days` is removed. Exit codes: 0 moved, or there was nothing; 1 an error, and
    what was not moved is still there.
    """
    settings = project.read(Path.cwd())
    wanted = environment_or_last(settings, name)
    store = stored.place(Path.cwd(), settings.monitor.store, wanted)
    done = stored.collect(folder or agents_folder(wanted) / runner.PREDICTIONS, store)
    if settings.monitor.keep_days is not None:
        places = (store, stored.place(Path.cwd(), store, stored.BATCHES))
        done.expired = sum(stored.expire(each, datetime.now(UTC), settings.monitor.keep_days) for each in places)
    if as_json:
        typer.echo(done.model_dump_json(indent=2))
    else:
        torn = f", {done.torn} torn lines left out" if done.torn else ""
        typer.echo(f"{done.answers:,} answers and {done.requests:,} requests of {done.files} files{torn}: {store}")
        if done.expired:
            typer.echo(f"{done.expired:,} files older than {settings.monitor.keep_days:g} days were removed")


@commands.command(
    "monitor",
    epilog=examples("watch monitor", "watch monitor --tell --publish", "watch monitor staging --now 2026-06-01"),
)
def monitor(  # noqa: PLR0917 - options of a command have names
    name: LastByDefault = None,
    now: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="When the newest window ends, in UTC."),
    ] = None,
    batches: Annotated[
        bool, typer.Option("--batches", help="Look at what `gitops-ml model predict` said, instead of the service.")
    ] = False,
    tell: Annotated[
        bool, typer.Option("--tell", help="Send an alarm to the address in MONITOR_WEBHOOK, as monitor.webhook says.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Say on the branch monitor/ENV what was found, for `gitops-ml fleet`.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at what the service answered: build/monitor/monitor.json, monitor.md for an issue, monitor.html to look at.

    With --batches they are in build/monitor/batches.

    Exit codes: 0 no alarm, which all is well, watch and not known are alike (`verdict` of the JSON says which of them);
    3 alarm; 1 something cannot be read, and nothing was judged, or nobody took the alarm or the finding.
    """
    if publish and batches:
        raise typer.BadParameter("the branch is about the service; publish without --batches", param_hint="--publish")
    moment = now.replace(tzinfo=UTC) if now else datetime.now(UTC)
    wanted = environment_or_last(project.read(Path.cwd()), name)
    found = watch.watch(Path.cwd(), wanted, moment, batches=batches)
    folder = FOLDER / "batches" if batches else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "monitor.json").write_text(found.model_dump_json(indent=2) + "\n")
    (folder / "monitor.md").write_text(page.markdown(found))
    (folder / "monitor.html").write_text(page.html(found))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        typer.echo(page.terminal(found, folder / "monitor.html"))
    try:
        if tell:
            webhook.send(found)
    finally:
        if publish and not branch.write(Git(Path.cwd()), branch.of(found)):
            typer.echo(f"the branch {branch.PREFIX}{wanted} says something newer, and was left as it is", err=True)
    raise typer.Exit(found.exit_code)


@commands.command("erase", epilog=examples("watch erase customer 4711", "watch erase request session-7 --json"))
def erase(
    column: Annotated[str, typer.Argument(help="A column of schema.yaml, or `answer` or `request` for an id.")],
    value: Annotated[str, typer.Argument(help="The value whose rows are erased.")],
    as_json: AsJson = False,
) -> None:
    """Erase all rows of one value from the predictions of every environment, and say what holds that value still.

    Exit codes: 0 erased, or there was nothing; 1 an error, and what was not erased is still there.
    """
    done = erasure.erase(Path.cwd(), column, value)
    if as_json:
        typer.echo(done.model_dump_json(indent=2))
        return
    typer.echo(f"erased {done.answers:,} answers and {done.requests:,} requests in which {column} is {value}")
    for sentence in done.held:
        typer.echo(f"  {sentence}")


@commands.command("retrain", epilog=examples("watch retrain april.csv", "watch retrain"))
def retrain(
    files: Annotated[list[Path] | None, typer.Argument(help="New batches, in any form that `data add` takes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train on new data and propose what came of it: the branch retrain/data, on GitHub a pull request. Never merges.

    Exit codes: 0 there is a proposal, or nothing new to train on; 1 an error, and nothing is proposed.
    """
    done = retraining.retrain(Path.cwd(), files or [], lambda step: typer.echo(f"{step} ...", err=True))
    typer.echo(done.model_dump_json(indent=2) if as_json else done.sentence)
