"""The commands about what happens after a release serves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ci import project
from ci.environments import AsJson
from ci.errors import UserError
from ci.project import Project

commands = typer.Typer()
FOLDER = Path("build/monitor")

Watched = Annotated[
    str | None, typer.Argument(metavar="[ENV]", help="An environment of project.yaml; the last one by default.")
]


@commands.command("predictions")
def predictions_command(
    name: Watched = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the service writes; .deploy/ENV/predictions by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move what the service of this host wrote down into the store that project.yaml names, as Parquet."""
    from ci import monitor, predictions  # noqa: PLC0415 - here and below: what one needs others need not wait for
    from ci.runner import PREDICTIONS  # noqa: PLC0415

    settings = project.read(Path.cwd())
    wanted = _named(settings, name)
    store = monitor.place(Path.cwd(), settings.monitor.store, wanted)
    done = predictions.collect(folder or Path(".deploy") / wanted / PREDICTIONS, store)
    if as_json:
        typer.echo(done.model_dump_json(indent=2))
    else:
        torn = f", {done.torn} torn lines left out" if done.torn else ""
        typer.echo(f"{done.answers:,} answers and {done.requests:,} requests of {done.files} files{torn}: {store}")


@commands.command("monitor")
def monitor_command(
    name: Watched = None,
    now: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="When the newest window ends, in UTC."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at what the service answered: build/monitor/monitor.json, monitor.md for an issue, monitor.html to look at.

    Exit codes: 0 all is well; 3 alarm; 1 something cannot be read, and nothing was judged.
    """
    from ci import monitor, render  # noqa: PLC0415

    moment = now.replace(tzinfo=UTC) if now else datetime.now(UTC)
    found = monitor.watch(Path.cwd(), _named(project.read(Path.cwd()), name), moment)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "monitor.json").write_text(found.model_dump_json(indent=2) + "\n")
    (FOLDER / "monitor.md").write_text(render.monitor_markdown(found))
    (FOLDER / "monitor.html").write_text(render.monitor_html(found))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        typer.echo("alarm" if found.alarms else "all is well")
        for alarm in found.alarms:
            typer.echo(f"  {alarm.kind}: {alarm.sentence}")
        typer.echo(f"  {sum(each.rows for each in found.windows):,} rows; all in {FOLDER / 'monitor.html'}")
    raise typer.Exit(found.exit_code)


@commands.command("retrain")
def retrain_command(
    files: Annotated[list[Path] | None, typer.Argument(help="New batches, in any form that `data` takes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train on new data and propose what came of it: the branch retrain/data, on GitHub a pull request. Never merges.

    Exit codes: 0 there is a proposal, or nothing new to train on; 1 an error, and nothing is proposed.
    """
    from ci import retrain  # noqa: PLC0415

    done = retrain.retrain(Path.cwd(), files or [], lambda step: typer.echo(f"{step} ...", err=True))
    typer.echo(done.model_dump_json(indent=2) if as_json else done.sentence)


def _named(settings: Project, name: str | None) -> str:
    names = [each.name for each in settings.environments]
    if name is not None and name not in names:
        raise UserError(f"there is no environment {name!r}; project.yaml names {', '.join(names)}")
    return name or names[-1]
