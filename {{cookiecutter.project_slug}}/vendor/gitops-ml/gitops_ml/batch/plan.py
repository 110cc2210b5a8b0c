"""Which inputs there are, what becomes of each, and what of that is there already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatch

import pyarrow as pa
import pyarrow.parquet as pq

from gitops_ml.batch.join import Joined
from gitops_ml.batch.look import Input, kind_of
from gitops_ml.batch.piece import FACTS
from gitops_ml.batch.release import Scoring
from gitops_ml.batch.store import Store
from gitops_ml.core.errors import UserError

# Where pieces lie until their input is whole.
WORK = "_work"


@dataclass(frozen=True)
class Job:
    """An input, and what its output is to be called; `key` is another one for any other input, release or schema."""

    source: Input
    target: str
    key: str

    @property
    def work(self) -> str:
        """Where its pieces lie."""
        return f"{WORK}/{self.key}"


def inputs(where: str, out: Store) -> tuple[dict[str, str], list[str]]:
    """The URLs of the inputs, by their names, and the names of files that are none.

    Raises:
        UserError: there is none, or the outputs would lie among them.
    """
    pattern = ""
    top = where
    if any(sign in where for sign in "*?["):
        parts = where.split("/")
        first = next(place for place, part in enumerate(parts) if any(sign in part for sign in "*?["))
        top, pattern = "/".join(parts[:first]) or ("/" if where.startswith("/") else "."), "/".join(parts[first:])
    store = Store(top)
    if f"{out.url}/".startswith(f"{store.url}/"):
        raise UserError(f"{out.url} lies in {store.url}, so that outputs would be scored, too: choose another folder")
    names = store.find()
    if not names:
        raise UserError(f"there is nothing in {where}")
    if list(names) == [""]:
        name = store.url.rpartition("/")[2]
        if kind_of(name) is None:
            raise UserError(f"{where}: CSV, JSON Lines and Parquet are read, by the names .csv, .jsonl and .parquet")
        return {name: store.url}, []
    hidden = [name for name in names if any(part.startswith(("_", ".")) for part in name.split("/"))]
    chosen = [name for name in names if name not in hidden and (not pattern or fnmatch(name, pattern))]
    found = {name: f"{store.url}/{name}" for name in chosen if kind_of(name)}
    if not found:
        raise UserError(f"there is no .csv, .jsonl or .parquet in {where}")
    return found, sorted(set(chosen) - set(found))


def planned(source: Input, scoring: Scoring) -> Job:
    """What becomes of an input."""
    told = [source.name, source.sha256, source.carried, source.pieces, scoring.release.hash]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    return Job(source, f"{source.name.removesuffix('.parquet')}.parquet", key)


def facts(job: Job, scoring: Scoring) -> dict[str, str]:
    """What an output says of itself."""
    release = scoring.release
    said = {"release": release.release, "model": release.model, "input": job.source.name}
    return said | {"sha256": job.source.sha256, "key": job.key}


def there(store: Store, jobs: list[Job], scoring: Scoring) -> dict[str, Joined]:
    """The outputs that are there and whole.

    Raises:
        UserError: one was made by another release, and would be lost; or two inputs would have the same output.
    """
    targets = [job.target for job in jobs]
    if twice := {each for each in targets if targets.count(each) > 1}:
        raise UserError(f"two inputs would become {min(twice)}; score them one by one")
    names, found = store.find(), {}
    for job in jobs:
        said = read_facts(store, job.target) if job.target in names else {}
        other = said.get("release", scoring.release.release)
        if other != scoring.release.release:
            raise UserError(f"{store.url} has what {other} said: choose another folder, or remove that one")
        if said.get("key") == job.key:
            found[job.target] = Joined(job.target, int(said["rows"]), int(said["rejected"]))
    return found


def read_facts(store: Store, name: str) -> dict[str, str]:
    """What an output says of itself; nothing if it is damaged."""
    try:
        with store.open(name) as file:
            metadata = pq.read_metadata(file).metadata or {}
    except (pa.ArrowException, OSError):
        return {}
    return {
        key.decode().removeprefix(FACTS): value.decode()
        for key, value in metadata.items()
        if key.startswith(FACTS.encode())
    }
