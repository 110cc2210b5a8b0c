"""`dvc repro`, and beside it a file that says what became of each stage and what came into the cache meanwhile.

DVC tells that to people alone, so this is a program that runs DVC in its own process and hears what it tells them. What
is not heard is missing in the file, and shown as not known.

    python -P repro.py FILE repro [OPTION ...]
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from dvc.cli import main as dvc
from dvc.exceptions import DvcException
from dvc.repo import Repo

LOCK = "dvc.lock"
# What DVC says before it does something about a stage, and what that is.
SAYS = {
    "Running stage '%s':": "computed",
    "Stage '%s' is cached - skipping run, checking out outputs": "restored",
    "Pulling data for %s": "restored",
    "Stage '%s' didn't change, skipping": "unchanged",
}


class Heard(logging.Handler):
    """What became of each stage, by its name; of what is computed, in how many seconds, with hashing its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, dict[str, Any]] = {}
        self.running: tuple[str, float] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """DVC says something; what it did before is over."""
        if (state := SAYS.get(str(record.msg))) and isinstance(record.args, tuple) and record.args:
            self.end()
            name = str(getattr(record.args[0], "addressing", record.args[0]))
            self.stages[name] = {"state": state}
            if state == "computed":
                self.running = name, time.monotonic()

    def end(self) -> None:
        """The stage that runs, if one does, is done."""
        if self.running:
            name, begun = self.running
            self.stages[name]["seconds"] = round(time.monotonic() - begun, 2)
        self.running = None


def main(file: str, *arguments: str) -> int:
    """Run DVC; the file is written if it succeeds, and gone if not."""
    path, heard = Path(file), Heard()
    path.unlink(missing_ok=True)
    logging.getLogger("dvc.stage").addHandler(heard)
    before: set[str] | None = None
    with _measured():
        cache = _cache()
        before = set(_objects(cache))
    code: int = dvc(list(arguments))
    heard.end()
    if code == 0 and before is not None and Path(LOCK).exists():
        with _measured():
            found = _found(heard, cache, before)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found, indent=2) + "\n")
    return code


@contextmanager
def _measured() -> Iterator[None]:
    """What cannot be measured costs a warning, and never what was to be done."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        sys.stderr.write(f"warning: what this cost is not known: {type(error).__name__}: {error}\n")


def _found(heard: Heard, cache: Path | None, before: set[str]) -> dict[str, Any]:
    content = Path(LOCK).read_bytes()
    stages = yaml.safe_load(content)["stages"]
    ran = [name for name, each in heard.stages.items() if each["state"] == "computed"]
    outs = [out["md5"] for name in ran for out in stages.get(name, {}).get("outs", []) if "md5" in out]
    new = {name: _place(cache, name).stat().st_size for name in _objects(cache) if cache and name not in before}
    own = {name for out in outs for name in _held(cache, out)}
    computed = [size for name, size in new.items() if name in own]
    brought = [size for name, size in new.items() if name not in own]
    return {
        "lock": hashlib.sha256(content).hexdigest(),
        "stages": heard.stages,
        "computed": {"files": len(computed), "octets": sum(computed)},
        "brought": {"files": len(brought), "octets": sum(brought)},
    }


def _cache() -> Path | None:
    """Where DVC keeps objects here; None if this is no place of DVC, which it says itself."""
    try:
        with Repo() as repo:
            return Path(repo.cache.local.path)
    except DvcException:
        return None


def _objects(cache: Path | None) -> Iterator[str]:
    """The hashes of the objects that are there."""
    for folder in cache.iterdir() if cache and cache.is_dir() else ():
        if len(folder.name) == 2 and folder.is_dir():
            yield from (folder.name + each.name for each in folder.iterdir())


def _held(cache: Path | None, name: str) -> Iterator[str]:
    """The hash of an output, and of the files in it if it is a folder."""
    yield name
    if cache and name.endswith(".dir") and _place(cache, name).exists():
        yield from (each["md5"] for each in json.loads(_place(cache, name).read_bytes()))


def _place(cache: Path, name: str) -> Path:
    return cache / name[:2] / name[2:]


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
