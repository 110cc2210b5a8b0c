"""`gitops-ml fleet`: many projects on one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli.options import AsJson, examples
from gitops_ml.core import progress
from gitops_ml.fleet import listing, page
from gitops_ml.fleet import read as reading
from gitops_ml.pages import words

commands = typer.Typer(rich_markup_mode="rich", add_completion=False)


@commands.command(
    "fleet",
    epilog=examples(
        "fleet repositories.yaml --html fleet.html",
        "fleet https://github.com/my-org/late-flights ../churn --json",
        "fleet repositories.yaml --html public/index.html --template ../cookiecutter-gitops-ml",
    ),
)
def fleet(  # noqa: PLR0917 - options of a command have names
    named: Annotated[
        list[str], typer.Argument(metavar="LIST|URL|PATH", help="Files that list repositories, or repositories.")
    ],
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file.")] = None,
    template: Annotated[
        str | None, typer.Option(metavar="URL|PATH", help="The template, to say how far each project is behind.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long reading one repository may take.")] = 60,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many are read at the same time.")] = 8,
    cache: Annotated[
        Path | None, typer.Option(help="What is fetched of URLs; by default gitops-ml/fleet of the user's cache.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say of many projects what serves where, since when, on which verdict, and what asks for somebody.

    Repositories are asked by Git alone: folders are read in place, of URLs the newest commits of a few branches are
    fetched; nothing is checked out or changed. A list has one URL or path a line, or is YAML with the keys
    `repositories` and `template`. It runs anywhere; docs/fleet.md in vendor/gitops-ml says what the page shows.

    Exit codes: 0 all were read; 3 some were not, and their rows say why; 1 an error, and nothing was written.
    """
    wanted = listing.read(named, template)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
    pace = progress.Pace("reading", len(wanted.sources), "repositories")
    place = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitops-ml" / "fleet"
    found = reading.fleet(wanted, place, seconds=seconds, jobs=jobs, done=lambda: pace.add(1))
    if html is not None:
        html.write_text(page.html(found), encoding="utf-8")
    for problem in found.problems:
        typer.echo(words.printable(f"{words.SIGNS['bad']} {problem}"), err=True)
    typer.echo(found.model_dump_json(indent=2) if as_json else words.printable(page.terminal(found, html)))
    raise typer.Exit(found.exit_code)
