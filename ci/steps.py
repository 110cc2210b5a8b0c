"""Tells a person what a long command does, step by step, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

console = Console(highlight=False)


class Steps:
    """Tells what happens, and remembers how long each step took."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float, str]] = []
        self.said = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and time it."""
        console.print(f"\n[bold cyan]{len(self.done) + 1}. {name}[/]")
        self.said = ""
        start = time.monotonic()
        yield
        self.done.append((name, time.monotonic() - start, self.said))

    def echo(self, line: str) -> None:
        """Show a line that a command printed, but for the packages that uv lists by the hundred."""
        if not line.startswith(" + "):
            console.print(f"   {line}", style="dim", markup=False, soft_wrap=True)

    def remark(self, text: str) -> None:
        """Say what came out of the current step; it stands in the summary too."""
        self.said = text
        console.print(f"   [green]{text}[/]")

    def summary(self) -> None:
        """Print the steps with their times."""
        table = Table(title="\nThe whole way", title_justify="left")
        table.add_column("step")
        table.add_column("seconds", justify="right")
        table.add_column("result")
        for name, seconds, said in self.done:
            table.add_row(name, f"{seconds:.1f}", said)
        table.add_section()
        table.add_row("total", f"{sum(seconds for _, seconds, _ in self.done):.1f}", "")
        console.print(table)
