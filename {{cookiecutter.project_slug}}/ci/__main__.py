"""The command line of the automation."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ci import actions, environments, initialize, package, watching, workflows
from ci.environments import folding
from ci.errors import UserError

REPORT_FOLDER = "build/report"

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(environments.commands)
app.add_typer(workflows.commands)
app.add_typer(watching.commands)

Champion = Annotated[
    str | None, typer.Option(help="The branch that says which model serves; by default the last environment's.")
]


@app.command()
def init() -> None:
    """Once, in a new project: put the data into the storage and make the first commit. Safe to repeat."""
    initialize.initialize(Path.cwd())


@app.command("package")
def package_command(
    test: Annotated[
        bool, typer.Option("--test", help="Serve it as the environments will, and hold it to the model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the Bento says of itself as JSON.")] = False,
) -> None:
    """Build the Bento of the model that dvc.lock names, unless it is built already."""
    version = package.package(Path.cwd())
    if test:
        from ci import trial  # noqa: PLC0415 - slow to import

        for sentence in trial.as_served(Path.cwd(), version):
            typer.echo(f"  ok   {sentence}", err=as_json)
    if as_json:
        typer.echo(json.dumps(version.model_dump(), indent=2))
    else:
        short = {name: str(value)[:12] for name, value in version}
        typer.echo(f"{version.release}: model {short['model']}, data {short['data']}, commit {short['commit']}")


@app.command("image")
def image_command(
    test: Annotated[bool, typer.Option("--test", help="Try it out too, as hardened as it will run.")] = False,
) -> None:
    """Build the Bento and its serving image with the container engine of this machine."""
    from ci import image, trial  # noqa: PLC0415 - slow to import, and most commands build no image

    built = image.build(Path.cwd(), package.package(Path.cwd()))
    typer.echo(f"{built.tag} built by {built.engine.name} {built.engine.version}: {built.id}")
    if test:
        for sentence in trial.tried(Path.cwd(), built):
            typer.echo(f"  ok   {sentence}")


@app.command()
def serve(port: Annotated[int, typer.Option(help="The port of 127.0.0.1 to serve on.")] = 3000) -> None:
    """Package, then serve the Bento until Ctrl-C."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"port {port} of 127.0.0.1 is in use; choose another one: make serve PORT={port + 1}")
    release = package.package(Path.cwd()).release
    where = ("--host", "127.0.0.1", "--port", str(port))
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", release, *where])  # noqa: S606


@app.command("data")
def data_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines, plain or gzipped.")],
    target: Annotated[str | None, typer.Argument(help="The column to predict; without it, add a batch.")] = None,
    *,
    task: Annotated[
        Literal["auto", "binary", "multiclass", "regression"], typer.Option(help="What to predict.")
    ] = "auto",
    time_column: Annotated[str | None, typer.Option(help="The newest rows by this column judge the model.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Rows with the same key stay together, and the model never sees it.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A column to leave out; may be repeated, or a,b.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of CSV, if it is not recognised.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text that is not UTF-8.")] = None,
    decimal: Annotated[
        Literal[",", "."] | None, typer.Option(help="What stands before decimals, if that is not clear.")
    ] = None,
    dates: Annotated[Literal["day-first", "month-first"] | None, typer.Option(help="How to read 1/2/2024.")] = None,
    missing: Annotated[
        list[str] | None, typer.Option(help="A word that means missing; may be repeated, or a,b.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be decided, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was decided as JSON.")] = False,
) -> None:
    """Make a table of your own the project's: data, schema, params, gate. Without TARGET, add a batch of that table."""
    from ci.intake import bring  # noqa: PLC0415 - it imports scikit-learn, which other commands need not wait for

    said = bring.Said(target, task, time_column, key, drop or [], delimiter, encoding, decimal, dates, missing or [])
    outcome = bring.bring(file, said, dry_run)
    if as_json:
        typer.echo(outcome.model_dump_json(indent=2))
        return
    typer.echo(f"{file} ({outcome.source}): {outcome.rows:,} rows, {outcome.features} columns to learn from")
    for note in outcome.notes:
        typer.echo(f"  {note}")
    for warning in outcome.warnings:
        typer.echo(f"  warning: {warning}")
    if dry_run:
        typer.echo("a dry run: nothing was changed")
    else:
        typer.echo(f"written: {', '.join(outcome.written) or 'nothing, all of it stands there already'}")
        typer.echo(f"next: {', '.join(outcome.next)}")


@app.command("gate")
def gate_command(
    champion: Champion = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Judge the model of the working tree against the one that serves.

    Exit codes: 0 it may replace the champion, or is the first and fit to serve; 3 keep the champion; 4 insufficient
    evidence; 5 it is not fit to serve; 1 something cannot be read or trusted, and nothing was judged.
    """
    from ci import judge  # noqa: PLC0415 - it imports DVC and scikit-learn, which the other commands need not wait for

    result = judge.judge(Path.cwd(), champion)
    written = Path(REPORT_FOLDER) / "gate.json"
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(result.model_dump_json(indent=2) + "\n")
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        typer.echo(f"verdict: {result.verdict}{'' if result.passes else ' (blocked)'}")
        for reason in result.reasons:
            typer.echo(f"  {reason}")
        typer.echo(f"  {len(result.rules)} rules, {sum(rule.holds for rule in result.rules)} hold; all in {written}")
    raise typer.Exit(result.exit_code)


@app.command("report")
def report_command(
    base: Annotated[str, typer.Option(help="The branch or commit that the change would be merged into.")] = "main",
    champion: Champion = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's content as JSON.")] = False,
) -> None:
    """Write what a reviewer needs: build/report/report.md for a comment, report.html to look at, report.json."""
    from ci import render, report  # noqa: PLC0415 - as above

    content = report.build(Path.cwd(), base, champion)
    folder = Path(REPORT_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(content.model_dump_json(indent=2) + "\n")
    (folder / "report.md").write_text(render.markdown(content))
    (folder / "report.html").write_text(render.html(content))
    if as_json:
        typer.echo(content.model_dump_json(indent=2))
        return
    typer.echo(content.gate.verdict if content.gate else "nothing changed")
    typer.echo(f"the report is {folder / 'report.html'}")


@app.command("card")
def card_command() -> None:
    """Write MODEL_CARD.md from the facts and from what project.yaml states."""
    from ci import card, render  # noqa: PLC0415 - as above

    Path("MODEL_CARD.md").write_text(render.model_card(card.build(Path.cwd())))
    typer.echo("wrote MODEL_CARD.md")


@app.command("ledger")
def ledger_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print the entries as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file instead.")] = None,
) -> None:
    """List who put which release where, when, on which verdict."""
    from ci import ledger, render  # noqa: PLC0415 - as above

    entries = ledger.read(Path.cwd())
    if html is not None:
        html.write_text(render.ledger_html(entries))
    elif as_json:
        typer.echo(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
    elif not entries:
        typer.echo("nothing was promoted yet: there is no environment's branch with a release")
    else:
        table = folding("when", "environment", "what", "release", "verdict", "who")
        for entry in entries:
            moment = entry.when.strftime("%Y-%m-%d %H:%M")
            table.add_row(moment, entry.environment, entry.action, entry.release, entry.verdict, entry.who)
        Console().print(table, markup=False)


def main() -> int:
    """Run a command; what its user can mend ends in one sentence and exit code 1."""
    actions.prepare()
    try:
        app(standalone_mode=True)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
