"""`gitops-ml engine`: where searches and batches run, and what may train on several machines."""

from __future__ import annotations

from pathlib import Path

import typer

from gitops_ml.cli.options import BLOCKED, AsJson, Where, examples, group
from gitops_ml.core import project
from gitops_ml.engine import check as checks

commands = group()


@commands.callback()
def _engine() -> None:
    """See where searches and batches run, and what trains there."""


@commands.command("check", epilog=examples("engine check", "engine check --engine tcp://host:8786"))
def check(where: Where = None, as_json: AsJson = False) -> None:
    """Say which workers, cores and memory there are, and what has another version than uv.lock.

    Exit codes: 0 everything is as it must be; 1 the engine cannot be reached; 3 no worker is there, or one has other
    versions.
    """
    found = checks.check(Path.cwd(), where or project.read(Path.cwd()).engine)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        typer.echo(found.sentence)
        for worker in found.workers:
            said = ", ".join(worker.differing) or "as uv.lock says"
            typer.echo(f"  {worker.name}: {worker.cores} cores, {worker.memory_bytes / 1e9:.1f} GB; {said}")
        typer.echo(f"  training: {found.training}")
        for advice in found.advice:
            typer.echo(advice)
    raise typer.Exit(BLOCKED if found.advice else 0)
