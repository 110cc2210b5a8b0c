"""Tells what takes long while it does, on stderr, so that nobody waits without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

# What takes less needs no word; after the first one, how long it takes already.
FIRST_SECONDS = 4.0
NEXT_SECONDS = 15.0


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Around a step, or a function by `@doing("judging the model")`: say what it is doing if that takes a while."""
    done, begun = threading.Event(), time.monotonic()

    def tell() -> None:
        wait = FIRST_SECONDS
        while not done.wait(wait):
            typer.echo(f"... {what} ({time.monotonic() - begun:.0f} s)", err=True)
            wait = NEXT_SECONDS

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


class Pace:
    """Tells how far something is that comes in parts, how fast it goes and how long it will take; on stderr, too."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        """Begin.

        Args:
            what: it is doing, as in "scoring".
            total: how large all parts are together.
            unit: what is counted beside, as in "rows".
        """
        self.what, self.total, self.unit = what, total, unit
        self.size = self.count = 0
        self.begun = time.monotonic()
        self.next = self.begun + FIRST_SECONDS

    def add(self, size: int, count: int = 1) -> None:
        """A part is done, so large, with so many units in it."""
        self.size, self.count = self.size + size, self.count + count
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + NEXT_SECONDS
        passed = now - self.begun
        left = passed / self.size * (self.total - self.size) if self.size else 0
        share = self.size / self.total if self.total else 1
        typer.echo(
            f"... {self.what}: {share:.0%}, {self.count:,} {self.unit}, {self.count / passed:,.0f} a second, about "
            f"{max(left, 0):.0f} s left",
            err=True,
        )
