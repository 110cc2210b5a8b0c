"""What every benchmark says: which machine it ran on, and in one sentence why it stopped."""

from __future__ import annotations

import platform
from collections.abc import Callable

import httpx
import psutil
from rich.console import Console

from ci.shell import CommandError

console = Console(highlight=False)


def ended(measure: Callable[[], None]) -> int:
    """The exit code of a benchmark: 1, and one sentence, if a step failed."""
    try:
        measure()
    except (CommandError, httpx.HTTPError) as error:
        console.print(f"The benchmark stopped: {error}", markup=False)
        return 1
    return 0


def machine() -> str:
    """What the figures were measured on."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}, {platform.system()}"
