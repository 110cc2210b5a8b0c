"""The tree of commands, and what is true of all of them."""

from __future__ import annotations

import importlib
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from gitops_ml.cli import lazy
from gitops_ml.core import actions, errors, programs
from gitops_ml.core.errors import UserError

# A module of this room each, in the order in which a project meets them, by the panels of the help.
PANELS = {
    "The model": {
        "data": "Bring a table of your own, or add a batch to it.",
        "model": "Make, judge, explain, pack and serve the model of the working tree.",
        "engine": "See where searches and batches run, and what trains there.",
        "lock": "Hold dvc.lock and the packages' exports to what they are made of.",
    },
    "Production": {
        "release": "Make releases, list them, hold them back.",
        "env": "Put releases on environments, check them, roll back.",
        "host": "Have a release serve on this machine.",
        "watch": "Look at what production says of the model, and retrain.",
    },
    "The repository": {
        "repo": "Set the repository up, and see what it lacks.",
    },
}
# A command of its own, which is about no project and runs anywhere.
FLEET = ("fleet", "Say of many projects what serves where, and what asks for somebody.", "Many repositories")
HIDDEN = ("workflow", "What only workflows call; each also runs on a laptop.")
EPILOG = (
    "Exit codes: 0 done; 1 an error, and the sentence says what to do; 2 the words of the command are wrong; 3 to 5 as "
    "the command's own help says. What has --json prints one JSON document. The project's pages are in docs/."
)
# The names of this machine, as HTTP clients compare them with those that are asked without a proxy.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Nobody is told what is done here, and uv trusts whom this machine trusts, on hosts too.
DEFAULTS = {"BENTOML_DO_NOT_TRACK": "True", "DVC_NO_ANALYTICS": "true", "UV_SYSTEM_CERTS": "true"}


class Noun(TyperGroup):
    """The commands about one thing; their module is loaded when one of them, or their list, is asked for."""

    @cached_property
    def loaded(self) -> TyperGroup:
        """The commands."""
        return get_group(importlib.import_module(f"gitops_ml.cli.{self.name}").commands)

    def list_commands(self, ctx: Any) -> list[str]:
        """See click."""
        return self.loaded.list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See click."""
        return self.loaded.get_command(ctx, cmd_name)


def tree() -> TyperGroup:
    """All commands, by noun."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, epilog=EPILOG, rich_markup_mode="rich")
    app.callback()(_automation)
    command = get_command(app)
    assert isinstance(command, TyperGroup)  # noqa: S101 - for the type checker: what has a callback is a group
    for panel, nouns in PANELS.items():
        for name, said in nouns.items():
            command.add_command(_noun(name, said, rich_help_panel=panel), name)
    name, said, panel = FLEET
    many = get_command(importlib.import_module(f"gitops_ml.cli.{name}").commands)
    many.short_help, many.rich_help_panel = said, panel  # type: ignore[attr-defined]
    command.add_command(many, name)
    command.add_command(_noun(*HIDDEN, hidden=True), HIDDEN[0])
    return command


def _noun(name: str, said: str, **more: Any) -> Noun:
    return Noun(name=name, help=said, no_args_is_help=True, rich_markup_mode="rich", **more)


def _automation() -> None:
    """The automation of this repository: from raw data to a served, watched and retrained model."""


def main() -> int:
    """Run a command; what its user can mend ends in one sentence and exit code 1."""
    lazy.install()
    programs.forget_repository()
    _reach_loopback()
    os.environ["BENTOML_HOME"] = str(Path.cwd() / ".bentoml")
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # The stages of dvc.yaml say `python`, and mean the one that has their packages.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    actions.prepare()
    try:
        tree()(prog_name="gitops-ml")
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    except OSError as error:
        typer.echo(f"error: {errors.said(error)}", err=True)
        return 1
    return 0


def _reach_loopback() -> None:
    """Have what runs on this machine never be asked through a proxy, by us or by a program that we start."""
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if excepted != "*":
        excepted = ",".join([*filter(None, [excepted]), *LOOPBACK])
    os.environ.update(dict.fromkeys(("no_proxy", "NO_PROXY"), excepted))
