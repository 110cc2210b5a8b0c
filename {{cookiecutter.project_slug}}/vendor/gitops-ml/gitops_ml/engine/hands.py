"""Has tasks done by child processes, one for each thread that asks; on this machine and inside of a Dask worker alike.

A Dask worker gets this module by value and need not have the automation: it may import the standard library alone.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from importlib import metadata
from io import BytesIO
from pathlib import Path

ATTEMPTS = 4
LENGTH = ">Q"
HEAD = struct.calcsize(LENGTH)
# With one thread a result does not depend on how many cores a machine has, and processes do not contend for them.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
KINDS = {"d": "done", "s": "said", "f": "failed"}


class Hands:
    """Child processes that run the code of an archive, unpacked below a folder; see `perform`."""

    def __init__(self, python: str, archive: bytes, folder: str | None = None) -> None:
        self._unpacked = tempfile.TemporaryDirectory(prefix="gitops-ml-", dir=folder, ignore_cleanup_errors=True)
        place = Path(self._unpacked.name)
        with zipfile.ZipFile(BytesIO(archive)) as files:
            files.extractall(place)
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = inherited | dict.fromkeys(THREADS, "1")
        self._environment |= {"PYTHONPATH": str(place), "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}
        self._python, self._place = python, place
        self._mine = threading.local()
        self._all: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def perform(self, payload: bytes) -> tuple[str, bytes]:
        """Do a pickled task: `done` and the pickled result, `said` or `failed` and a text, or `died` and how.

        A child that dies is replaced, and the task done again.
        """
        how = 0
        for _ in range(ATTEMPTS):
            child = self._child()
            try:
                return _asked(child, payload)
            except (EOFError, OSError):
                child.kill()
                how = child.wait()
                self._all.discard(child)
                if self._ended:
                    break
        return "died", str(how).encode()

    def end(self) -> None:
        """End the children, whatever they are doing."""
        self._ended = True
        for child in list(self._all):
            child.kill()
            child.wait()
        self._unpacked.cleanup()

    def _child(self) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] | None = getattr(self._mine, "child", None)
        if child is None or child.poll() is not None:
            child = self._mine.child = subprocess.Popen(
                [self._python, "-m", "gitops_ml.engine.child"],
                cwd=self._place,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the one that started it
            )
            self._all.add(child)
        return child


def differing(expected: Mapping[str, str]) -> list[str]:
    """What of this Python and its packages has another version than it should."""
    found = []
    for name, version in expected.items():
        try:
            here = "{}.{}".format(*sys.version_info) if name == "Python" else metadata.version(name)
        except metadata.PackageNotFoundError:
            found.append(f"no {name} {version}")
            continue
        if here != version:
            found.append(f"{name} {here} instead of {version}")
    return found


def _asked(child: subprocess.Popen[bytes], payload: bytes) -> tuple[str, bytes]:
    assert child.stdin is not None  # noqa: S101 - for the type checker: both are pipes
    assert child.stdout is not None  # noqa: S101
    child.stdin.write(struct.pack(LENGTH, len(payload)) + payload)
    child.stdin.flush()
    head = child.stdout.read(HEAD)
    if len(head) < HEAD:
        raise EOFError
    size = struct.unpack(LENGTH, head)[0]
    answer = child.stdout.read(size)
    if len(answer) < size:
        raise EOFError
    return KINDS[answer[:1].decode()], answer[1:]
