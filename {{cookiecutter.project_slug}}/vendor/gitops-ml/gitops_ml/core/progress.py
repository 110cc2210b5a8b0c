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
