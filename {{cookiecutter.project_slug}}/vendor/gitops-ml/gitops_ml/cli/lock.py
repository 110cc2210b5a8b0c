"""`gitops-ml lock`: dvc.lock, and the exports of uv.lock that training and serving depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli.options import AsJson, examples, group
from gitops_ml.versions import lock, requirements

commands = group()


@commands.callback()
def _lock() -> None:
    """Hold dvc.lock and the packages' exports to what they are made of."""


@commands.command("verify", epilog=examples("lock verify"))
def verify(as_json: AsJson = False) -> None:
    """Hold dvc.lock to code, settings, packages and data: reproducing would change nothing.

    Outputs that another processor computed in the last bits alone are named, and are no change. Exit codes: 0 it would
    not; 1 it would, and what changed is named.
    """
    requirements.require_current(Path.cwd())
    lock.require_pointers(Path.cwd())
    last_bits = lock.require_current(Path.cwd())
    if as_json:
        typer.echo(json.dumps({"version": 1, "current": True, "last_bits": last_bits}))
        return
    typer.echo("dvc.lock is what reproducing gives")
    for path in last_bits:
        typer.echo(
            f"  {path} differs from the last commit's in the last bits alone, as another processor computes them"
        )
    if last_bits:
        typer.echo("  CI's bytes count: `git checkout HEAD dvc.lock` and `make pull` bring them")


@commands.command("resolve", epilog=examples("lock resolve"))
def resolve() -> None:
    """Settle a merge in which dvc.lock is in conflict, by reproducing.

    Exit codes: 0 settled, and to be committed; 1 something else is in conflict too, or the pipeline fails.
    """
    typer.echo(f"settled {', '.join(lock.resolve(Path.cwd()))}; look at `make report`, then `git commit`, `make push`")


@commands.command("export", epilog=examples("lock export", "lock export --check"))
def export(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; only say whether they are in step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write requirements/train.txt and serve.txt: what of uv.lock trains, and what serves.

    Stages and the Bento depend on these, so that updating another package trains nothing. Exit codes: 0 they are in
    step now; 1 with --check, they are not.
    """
    if check:
        requirements.require_current(Path.cwd())
    written = [] if check else requirements.write(Path.cwd())
    if as_json:
        typer.echo(json.dumps({"version": 1, "written": written}))
    elif written:
        typer.echo(f"wrote {', '.join(written)}")
