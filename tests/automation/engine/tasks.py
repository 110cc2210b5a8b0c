"""What the tests of the engine have done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from gitops_ml.core.errors import UserError


def square(number: int) -> int:
    return number * number


def threads(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def slow(task: tuple[str, int]) -> int:
    """Leaves a word of each time it is begun."""
    folder, number = task
    with (Path(folder) / f"{number}.begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.2)
    return number


def killed(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuses(_: int) -> None:
    raise UserError("the table has no rows")


def fails(_: int) -> None:
    raise ZeroDivisionError("nothing to divide by")
