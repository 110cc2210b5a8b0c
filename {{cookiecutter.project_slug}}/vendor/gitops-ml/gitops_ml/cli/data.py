"""`gitops-ml data`: the table that the project learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gitops_ml.cli.options import AsJson, DryRun, examples, group
from gitops_ml.intake import bring

commands = group()


@commands.callback()
def _data() -> None:
    """Bring a table of your own, or add a batch to it."""


@commands.command(
    "add",
    epilog=examples(
        "data add customers.csv churned --dry-run",
        "data add customers.csv churned --text zip,id --missing unknown",
        "data add february.csv",
    ),
)
def add(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet, JSON or Excel.")],
    target: Annotated[str | None, typer.Argument(help="The column to predict; without it, add a batch.")] = None,
    *,
    task: Annotated[
        Literal["auto", "binary", "multiclass", "regression"], typer.Option(help="What to predict.")
    ] = "auto",
    time_column: Annotated[
        str | None, typer.Option(help="The newest rows by this column judge the model; or none.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Rows with the same key stay together, and the model never sees it.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A column to leave out; may be repeated, or a,b.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of CSV, if it is not recognised.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text that is not UTF-8.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a workbook that has several.")] = None,
    decimal: Annotated[
        Literal[",", "."] | None, typer.Option(help="What stands before decimals, if that is not clear.")
    ] = None,
    dates: Annotated[Literal["day-first", "month-first"] | None, typer.Option(help="How to read 1/2/2024.")] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            help="A word that means missing, or `empty` for labels that may be so; may be repeated, or a,b. "
            "An empty one: no word among texts means it."
        ),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A column of texts, whatever they look like; or a,b.")] = None,
    number: Annotated[list[str] | None, typer.Option(help="A column of numbers; or a,b.")] = None,
    date: Annotated[
        list[str] | None, typer.Option(help="A column of dates, 20240131 or seconds since 1970 too; or a,b.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="A column of names, each of which stands for itself; or a,b.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a table of your own the project's: data, schema, params, gate. Without TARGET, add a batch of that table.

    Exit codes: 0 done, or nothing to do; 1 the table cannot be taken, and nothing was changed.
    """
    said = bring.Said(
        target,
        task,
        time_column,
        key,
        drop or [],
        delimiter,
        encoding,
        decimal,
        dates,
        missing or [],
        text=text or [],
        number=number or [],
        date=date or [],
        category=category or [],
        sheet=sheet,
    )
    outcome = bring.bring(file, said, dry_run)
    if as_json:
        typer.echo(outcome.model_dump_json(indent=2))
        return
    rows = f"{outcome.rows:,} rows, {outcome.unlabelled}" if outcome.unlabelled else f"{outcome.rows:,} rows"
    typer.echo(f"{file} ({outcome.source}): {rows}, {outcome.features} columns to learn from")
    for note in outcome.notes:
        typer.echo(f"  {note}")
    for warning in outcome.warnings:
        typer.echo(f"  warning: {warning}")
    if dry_run:
        typer.echo("a dry run: nothing was changed")
    else:
        typer.echo(f"written: {', '.join(outcome.written) or 'nothing, all of it stands there already'}")
        typer.echo(f"next: {', '.join(outcome.next)}")
