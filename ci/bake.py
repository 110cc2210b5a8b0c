"""Bakes the template as Git would hand it out, whatever a developer's working tree holds beside it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import yaml
from cookiecutter.main import cookiecutter

from ci.shell import ROOT


def variants() -> dict[str, dict[str, str]]:
    """The answers of each named variant, as far as they differ from the defaults."""
    named: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "ci" / "variants.yaml").read_text())
    return named


def export(into: Path) -> Path:
    """Copy the template, uncommitted changes included, without what Git ignores."""
    listed = subprocess.check_output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in listed.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name)
    return into


def bake(answers: dict[str, str], into: Path) -> Path:
    """Generate a project into the folder `into` and return where it is."""
    with tempfile.TemporaryDirectory() as temporary:
        return _generated(export(Path(temporary) / "template"), answers, into)


def bake_version(commit: str, into: Path) -> Path:
    """Generate a project with the default answers as the template was at a commit; where it is."""
    with tempfile.TemporaryDirectory() as temporary:
        content = subprocess.check_output(["git", "archive", commit], cwd=ROOT)
        subprocess.run(["tar", "--extract", "--directory", temporary], input=content, check=True)
        return _generated(Path(temporary), {}, into)


def _generated(template: Path, answers: dict[str, str], into: Path) -> Path:
    return Path(cookiecutter(str(template), no_input=True, extra_context=answers, output_dir=str(into)))


def main(
    into: Annotated[Path, typer.Argument(help="The folder in which the project's folder is made.")],
    variant: Annotated[str, typer.Option(help="A name of ci/variants.yaml.")] = "default",
) -> None:
    """Bake one variant of the template; what an earlier bake left is replaced, unless it is under Git by now."""
    named = variants()
    if variant not in named:
        raise typer.BadParameter(f"there is no variant {variant!r}; there are {', '.join(named)}")
    with tempfile.TemporaryDirectory() as temporary:
        fresh = bake(named[variant], Path(temporary))
        project = into / fresh.name
        if (project / ".git").exists():
            raise typer.BadParameter(f"{project} has become a repository of its own; remove it if nobody needs it")
        if project.exists():
            shutil.rmtree(project)
        shutil.copytree(fresh, project)
    typer.echo(project)


if __name__ == "__main__":
    typer.run(main)
