"""Whoever is killed in the middle of a batch, nothing is lost or done twice, and no byte of what comes out differs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from gitops_ml.batch import run
from gitops_ml.batch.store import Store
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError

from tests.automation.batch import bento
from tests.automation.engine.cluster import Cluster
from tests.automation.tables import PROJECT
from tests.automation.world import World, environments

FILES = 60


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One environment."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    made = World(tmp_path / "world", environments("production"))
    made.bootstrap()
    yield made
    made.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two workers."""
    made = Cluster(tmp_path)
    made.have(2)
    yield made
    made.close()


def test_a_batch_survives_its_workers_and_its_client(world: World, cluster: Cluster, tmp_path: Path) -> None:
    """A worker, then the client, are killed; another engine does the rest, and the bytes are those of one process."""
    bento.fitted().serve(world)
    for number in range(FILES):
        bento.write(bento.rows(20, seed=number), tmp_path / "in" / f"{number:02}.csv")
    out = tmp_path / "out"
    client = predict(world, tmp_path / "in", out, cluster.address)
    until(lambda: pieces(out) >= 1, client)
    cluster.workers[0].kill()
    until(lambda: pieces(out) >= 10, client)
    client.send_signal(signal.SIGKILL)
    client.wait()
    before = pieces(out)
    assert 10 <= before < FILES
    assert not (out / "manifest.json").exists()
    rest = run.predict(world.root, str(tmp_path / "in"), str(out), on="local:2")
    assert (rest.rows, rest.rejected) == (FILES * 20, 0)
    run.predict(world.root, str(tmp_path / "in"), str(tmp_path / "calm"), on="local:1")
    assert contents(out) == contents(tmp_path / "calm")


def test_a_release_with_other_packages_than_the_workers_is_refused(
    world: World, cluster: Cluster, tmp_path: Path
) -> None:
    """A worker must have what the release was tried out with, and what differs is named."""
    made: record.Release = bento.fitted().serve(world)
    cluster.workers[1].kill()
    rows = bento.write(bento.rows(5), tmp_path / "rows.csv")
    other = bento.fitted().archive().replace(f"numpy=={bento.installed(['numpy'])['numpy']}".encode(), b"numpy==1.0.0")
    changed = world.publish(b"other", archive=other, model=made.model)
    with pytest.raises(UserError, match=r"^the worker tcp://\S+ has numpy \S+ instead of 1\.0\.0"):
        run.predict(world.root, str(rows), str(tmp_path / "out"), changed.short, cluster.address)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_a_sentence_and_with_room_the_batch_goes_on(
    world: World, small_disk: Path, tmp_path: Path
) -> None:
    """On a full disk nothing is half a file, and what is whole stays; in the end no byte differs."""
    bento.fitted().serve(world)
    for number in range(12):
        bento.write(bento.rows(400, seed=number), tmp_path / "in" / f"{number:02}.csv")
    source, out = str(tmp_path / "in"), small_disk / "out"
    with pytest.raises(UserError, match=r"cannot be written: .*No space left on device"):
        run.predict(world.root, source, str(out), on="local:1")
    assert 0 < pieces(out) < 12
    assert not (out / "manifest.json").exists()
    assert list(out.rglob("*.part")) == []
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    run.predict(world.root, source, str(out), on="local:1")
    run.predict(world.root, source, str(tmp_path / "calm"), on="local:1")
    assert contents(out) == contents(tmp_path / "calm")


def test_a_batch_that_lacks_only_its_outputs_writes_them(world: World, tmp_path: Path) -> None:
    """Workers that have nothing to score put pieces together; in the end no byte differs."""
    bento.fitted().serve(world)
    source, out = str(tmp_path / "in"), tmp_path / "out"
    bento.write(bento.rows(20), tmp_path / "in" / "a.csv")
    taken = out / "a.csv.parquet"
    taken.mkdir(parents=True)
    with pytest.raises(UserError, match=r"a\.csv\.parquet cannot be written"):
        run.predict(world.root, source, str(out), on="local:1")
    assert pieces(out) == 1
    taken.rmdir()
    run.predict(world.root, source, str(out), on="local:1")
    run.predict(world.root, source, str(tmp_path / "calm"), on="local:1")
    assert contents(out) == contents(tmp_path / "calm")


class Refusing(LocalFileSystem):
    """A folder that refuses every tenth time, and each first time, as buckets do under load."""

    protocol = "refusing"
    cachable = False
    asked = 0


def refusing(name: str) -> Callable[..., Any]:
    """A method that refuses now and then."""
    ask = getattr(LocalFileSystem, name)

    def method(self: Refusing, *arguments: Any, **named: Any) -> Any:
        Refusing.asked += 1
        if Refusing.asked % 10 == 1:
            raise OSError("503 Slow Down")
        return ask(self, *arguments, **named)

    return method


def test_a_bucket_that_refuses_now_and_then_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, listing and writing go on; what is refused for good is a sentence."""
    for name in ("ls", "open", "cat_file", "pipe_file", "put_file", "makedirs"):
        monkeypatch.setattr(Refusing, name, refusing(name), raising=False)
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    store = Store(f"refusing://{tmp_path}/bucket")
    for number in range(30):
        store.put(f"deep/{number:02}", b"%d" % number)
        assert store.part(f"deep/{number:02}", 0, 2) == b"%d" % number
    assert sorted(store.find()) == [f"deep/{number:02}" for number in range(30)]
    with pytest.raises(UserError, match="cannot be read: "):
        store.part("deep/none", 0, 1)


def predict(world: World, rows: Path, out: Path, engine: str) -> subprocess.Popen[bytes]:
    """The command, as a process."""
    words = [sys.executable, "-m", "gitops_ml", "model", "predict", str(rows), str(out), "--engine", engine]
    return subprocess.Popen(words, cwd=world.root, env=os.environ | {"PYTHONPATH": str(PROJECT)})


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for something that a process does."""
    while not holds():
        assert process.poll() is None, "it ended before that"
        time.sleep(0.005)


def pieces(out: Path) -> int:
    return sum(1 for _ in out.glob("_work/*/*.said"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
