"""`gitops-ml model`: the model of the working tree."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.batch import run
from gitops_ml.cli import tables
from gitops_ml.cli.options import BLOCKED, AsJson, Champion, Where, examples, group
from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.engine import engine
from gitops_ml.gate import judge
from gitops_ml.host import trial
from gitops_ml.host.runner import free_port
from gitops_ml.image import build, package
from gitops_ml.pages import words
from gitops_ml.report import card, compare, render, summary
from gitops_ml.search import propose
from gitops_ml.search import run as search
from gitops_ml.versions import lock
from gitops_ml.versions.git import Git

FOLDER = Path("build/report")
MADE, JUDGED, PACKED, SCORED = "How it is made", "What it is worth", "What serves it", "What it says of many rows"

commands = group()


@commands.callback()
def _model() -> None:
    """Make, judge, explain, pack and serve the model of the working tree."""


@commands.command("repro", rich_help_panel=MADE, epilog=examples("model repro", "model repro --offline"))
def repro(
    offline: Annotated[bool, typer.Option("--offline", help="Restore only what this machine knows.")] = False,
    where: Where = None,
) -> None:
    """Run the pipeline: restore what is known, compute the rest.

    It runs on the data that Git names and with the packages that uv.lock names, or not at all. An estimator of
    xgboost.dask is trained on the engine, and the model is the same on each. Exit codes: 0 dvc.lock is what the
    pipeline gives; 1 data or packages are others, or a stage failed.
    """
    if where:
        engine.parsed(where)
        os.environ[engine.VARIABLE] = where
    lock.reproduce(Path.cwd(), pull=not offline)


@commands.command("gate", rich_help_panel=JUDGED, epilog=examples("model gate", "model gate --json"))
def gate(champion: Champion = None, as_json: AsJson = False) -> None:
    """Judge the model of the working tree against the one that serves.

    Exit codes: 0 it may replace the champion, or is the first and fit to serve; 3 keep the champion; 4 insufficient
    evidence; 5 it is not fit to serve; 1 something cannot be read or trusted, and nothing was judged.
    """
    result = judge.judge(Path.cwd(), champion)
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = FOLDER / "gate.json"
    written.write_text(result.model_dump_json(indent=2) + "\n")
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        tables.show(tables.gate(result, written))
    raise typer.Exit(result.exit_code)


@commands.command("report", rich_help_panel=JUDGED, epilog=examples("model report", "model report --base origin/main"))
def report(
    base: Annotated[str, typer.Option(help="The branch or commit that the change would be merged into.")] = "main",
    champion: Champion = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's content as JSON.")] = False,
) -> None:
    """Write what a reviewer needs: build/report/report.md for a comment, report.html to look at, report.json.

    Exit codes: 0 written, whatever the gate says; 1 something cannot be read, and nothing was written.
    """
    content = compare.build(Path.cwd(), base, champion)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "report.json").write_text(content.model_dump_json(indent=2) + "\n")
    (FOLDER / "report.md").write_text(render.markdown(content))
    (FOLDER / "report.html").write_text(render.html(content))
    if as_json:
        typer.echo(content.model_dump_json(indent=2))
        return
    typer.echo(f"{words.SIGNS[content.says.tone]} {content.heading}")
    for note in summary.notes(content):
        typer.echo(f"  {note.what}: {note.text}")
    if content.decisive:
        typer.echo(f"  asks for {', '.join(content.asked) or 'nobody whom CODEOWNERS names'}")
    typer.echo(f"the report is {FOLDER / 'report.html'}")


@commands.command("card", rich_help_panel=JUDGED, epilog=examples("model card"))
def card_command(as_json: AsJson = False) -> None:
    """Write MODEL_CARD.md from the facts and from what project.yaml states.

    Exit codes: 0 written; 1 an error.
    """
    Path("MODEL_CARD.md").write_text(render.model_card(card.build(Path.cwd())))
    typer.echo(json.dumps({"version": 1, "written": ["MODEL_CARD.md"]}) if as_json else "wrote MODEL_CARD.md")


@commands.command("package", rich_help_panel=PACKED, epilog=examples("model package", "model package --test"))
def package_command(
    test: Annotated[
        bool, typer.Option("--test", help="Serve it as the environments will, and hold it to the model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the Bento says of itself as JSON.")] = False,
) -> None:
    """Build the Bento of the model that dvc.lock names, unless it is built already.

    Exit codes: 0 it is built, and with --test answers as the model does; 1 not.
    """
    version = package.package(Path.cwd())
    if test:
        _try(trial.as_served(Path.cwd(), version), as_json)
    if as_json:
        typer.echo(json.dumps(version.model_dump(), indent=2))
    else:
        short = {name: str(value)[:12] for name, value in version}
        typer.echo(f"{version.release}: model {short['model']}, data {short['data']}, commit {short['commit']}")


@commands.command("image", rich_help_panel=PACKED, epilog=examples("model image --test"))
def image(
    test: Annotated[bool, typer.Option("--test", help="Try it out too, as hardened as it will run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the Bento and its serving image with docker, podman or buildah. BASE_IMAGE names another base.

    Exit codes: 0 it is built, and with --test answers as the model does; 1 not.
    """
    built = build.build(Path.cwd(), package.package(Path.cwd()))
    engine = f"{built.engine.name} {built.engine.version}"
    if as_json:
        typer.echo(json.dumps({"version": 1, "tag": built.tag, "engine": engine, "id": built.id}))
    else:
        typer.echo(f"{built.tag} built by {engine}: {built.id}")
    if test:
        _try(trial.tried(Path.cwd(), built), as_json)


@commands.command("serve", rich_help_panel=PACKED, epilog=examples("model serve --port 8080"))
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of 127.0.0.1 to serve on.")] = 3000,
) -> None:
    """Package, then serve the Bento until Ctrl-C.

    Exit codes: 1 the port is in use, or nothing can be packed.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"port {port} of 127.0.0.1 is in use; choose another one: make serve PORT={free_port()}")
    release = package.package(Path.cwd()).release
    where = ("--host", "127.0.0.1", "--port", str(port))
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", release, *where])  # noqa: S606


@commands.command("search", rich_help_panel=MADE, epilog=examples("model search --dry-run", "model search --trials 60"))
def search_command(
    *,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many; by default what params.yaml says, or 60.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Begin no more after so many; another machine gets further.")
    ] = None,
    where: Where = None,
    proposing: Annotated[
        bool, typer.Option("--propose/--no-propose", help="Ask for what is better to be merged into main.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be tried.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try other settings by cross-validation in the rows that train; what is better becomes a pull request.

    `search` of params.yaml says what is tried. Killed, and given again, it goes on. Exit codes: 0 proposed, or nothing
    is better; 1 an error, and what was tried stays.
    """
    root = Path.cwd()
    try:
        found = search.problem(root)
    except ModuleNotFoundError as error:
        raise UserError(f"a search needs {error.name}; `uv sync --inexact --group search` installs it") from error
    count = trials or found.space.trials
    if dry_run:
        shown = {"trials": count, "rows": found.rows, "folds": found.folds, "metric": found.metric}
        shown |= {"space": found.space.model_dump(exclude_none=True, exclude={"trials"})}
        typer.echo(json.dumps(shown, indent=2))
        return

    def told(line: str) -> None:
        typer.echo(f"  {line}", err=as_json)

    if proposing:
        # What cannot be proposed is said before an hour of searching.
        propose.base(Git(root))
    table = search.search(found, where or project.read(root).engine, count, minutes, told)
    written = propose.keep(root, table)
    done = propose.propose(root, table) if proposing else propose.Proposed(state="kept", summary=table.sentence)
    if as_json:
        typer.echo(done.model_dump_json(indent=2))
        return
    typer.echo(done.summary)
    if done.state == "proposed":
        typer.echo(f"proposed: {done.where}; the gate decides")
    elif done.state == "nothing better":
        typer.echo("nothing better was found, so params.yaml stays as it is")
    typer.echo(f"the table of trials is {written.relative_to(root)}")


@commands.command(
    "predict",
    rich_help_panel=SCORED,
    epilog=examples("model predict new.csv scores", "model predict s3://bucket/rows s3://bucket/scores --json"),
)
def predict(
    rows: Annotated[
        str | None, typer.Argument(help="File, folder or pattern, here or in a bucket: CSV, JSON Lines, Parquet.")
    ] = None,
    out: Annotated[str | None, typer.Argument(help="The folder for the scores, here or in a bucket.")] = None,
    release: Annotated[
        str | None, typer.Option(help="The release that scores; by default the one that the last environment serves.")
    ] = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Score many rows with a release: a Parquet file for each input, what does not fit beside it, then manifest.json.

    Without arguments it goes by `batch` of project.yaml, and does nothing if that names no place. Given again it does
    what is missing. Exit codes: 0 everything is scored; 1 an error, and what is done stays; 3 too many rows do not fit
    the schema.
    """
    if rows and not out:
        raise UserError("say where the scores go, too: gitops-ml model predict ROWS OUT")
    if not rows and not project.read(Path.cwd()).batch.rows:
        typer.echo("nothing to score: batch.rows of project.yaml names no place", err=as_json)
        return
    try:
        done = run.predict(Path.cwd(), rows, out, release, where)
    except run.TooManyError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BLOCKED) from error
    if as_json:
        typer.echo(done.model_dump_json(indent=2))
        return
    typer.echo(done.sentence)
    for note in done.notes:
        typer.echo(f"  {note}")
    if done.left_out:
        typer.echo(f"  left out, since it is no .csv, .jsonl or .parquet: {', '.join(done.left_out)}")


def _try(sentences: Iterable[str], as_json: bool) -> None:
    """Show what was tried out with success, one after the other."""
    with progress.doing("trying it out"):
        for sentence in sentences:
            typer.echo(f"  ok   {sentence}", err=as_json)
