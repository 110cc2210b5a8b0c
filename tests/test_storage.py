"""A project whose data, models and predictions live in S3, on a real server that lets only those in who have a key."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
import yaml

from ci.bake import bake, variants
from ci.shell import ROOT, CommandError, free_port, run
from tests.conftest import clone, gitops, make, tool

pytestmark = pytest.mark.xdist_group("golden path")

BUCKET = "s3://team/late-flights"
START_SECONDS = 30
# Of a server that is gone, Amazon's client asks five times, and waits longer each time.
AT_ONCE = {"AWS_MAX_ATTEMPTS": "1"}


@dataclass(frozen=True)
class Store:
    """An S3 server with one bucket's worth of room, and who may use it."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def credentials(self) -> dict[str, str]:
        """As the README says they come: from the environment. Where the server is, .dvc/config says."""
        return {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A running SeaweedFS, on ports and in a folder of its own."""
    folder = tmp_path_factory.mktemp("s3")
    may = {"credentials": [{"accessKey": "team", "secretKey": "not-a-secret"}], "actions": ["Admin"]}
    (folder / "users.json").write_text(json.dumps({"identities": [{"name": "team", **may}]}))
    services = ("master", "volume", "filer", "s3")
    ports = {name: free_port() for service in services for name in (f"{service}.port", f"{service}.port.grpc")}
    ports |= {"s3.port.iceberg": 0, "s3.port.lance": 0}
    command = [
        str(ROOT / ".venv/bin/weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-filer", "-s3",
        f"-s3.config={folder / 'users.json'}", "-master.telemetry=false", "-master.volumeSizeLimitMB=100",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{ports['s3.port']}"
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                # Nobody may look without a login.
                assert httpx.get(url).status_code == httpx.codes.FORBIDDEN
                break
            except httpx.TransportError:
                assert process.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]
                assert time.monotonic() < give_up, (folder / "log").read_text(errors="replace")[-2000:]
                time.sleep(0.1)
        try:
            created = f"s3.bucket.create -name {BUCKET.split('/')[2]}\n"
            shell = [command[0], "shell", f"-master=127.0.0.1:{ports['master.port']}.{ports['master.port.grpc']}"]
            subprocess.run(shell, input=created, text=True, check=True, capture_output=True, timeout=START_SECONDS)
            yield Store(url, process)
        finally:
            # There is nothing in it to keep, and an orderly end takes it half a minute.
            process.kill()


@pytest.fixture(scope="module")
def moved(trained: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained project after its team has moved the storage from a folder to S3, as the README says."""
    project = clone(trained, tmp_path_factory.mktemp("moved") / "late-flights")
    dvc = str(trained / ".venv/bin/dvc")
    run(dvc, "fetch", "--quiet", "--all-commits", "--run-cache", cwd=project)
    (project / ".venv").unlink()
    run(dvc, "remote", "modify", "storage", "url", BUCKET, cwd=project)
    run(dvc, "remote", "modify", "storage", "endpointurl", store.url, cwd=project)
    make("setup", cwd=project)
    make("push", cwd=project, env=store.credentials)
    run("git", "commit", "--quiet", "--no-verify", "--all", "--message", "Into S3", cwd=project)
    return project


@pytest.fixture
def other(moved: Path, tmp_path: Path) -> Path:
    """A fresh clone of it."""
    return clone(moved, tmp_path / "other")


def test_a_project_begins_in_s3(moved: Path, store: Store, tmp_path: Path) -> None:
    """`make init` commits nothing while the bucket lets nobody in; afterwards a clone gets the data, byte by byte."""
    project = bake(variants()["s3-mit"] | {"dvc_remote": "s3://team/churn"}, tmp_path)
    (project / ".venv").symlink_to(moved / ".venv")
    raw = {path.name: path.read_bytes() for path in (project / "data/raw").iterdir()}
    tool(project, "dvc", "remote", "modify", "storage", "endpointurl", store.url)
    with pytest.raises(CommandError, match="Unable to locate credentials"):
        make("init", cwd=project)
    assert run("git", "rev-list", "--all", cwd=project) == ""
    make("init", cwd=project, env=store.credentials)
    beginner = clone(project, tmp_path / "beginner")
    make("pull", cwd=beginner, env=store.credentials)
    assert {path.name: path.read_bytes() for path in (beginner / "data/raw").iterdir()} == raw


def test_a_clone_gets_from_s3_what_was_pushed(moved: Path, other: Path, store: Store) -> None:
    """`make pull` brings what the lock names, and without a lock the run cache restores instead of training."""
    make("pull", cwd=other, env=store.credentials)
    lock = (other / "dvc.lock").read_bytes()
    model = yaml.safe_load(lock)["stages"]["train"]["outs"]
    assert {each["md5"] for each in model} == {
        hashlib.md5((other / each["path"]).read_bytes(), usedforsecurity=False).hexdigest() for each in model
    }
    (other / "dvc.lock").unlink()
    shutil.rmtree(other / "models")
    shutil.rmtree(other / ".dvc/cache")
    make("pull", cwd=other, env=store.credentials)
    said = make("repro", cwd=other, env=store.credentials)
    assert said.count("is cached - skipping run") == 3, said
    assert (other / "dvc.lock").read_bytes() == lock


def test_a_storage_that_lets_nobody_in_is_no_empty_one(other: Path, store: Store) -> None:
    """Without a key, with a wrong one, and with the server gone, nothing is said to be missing: each has a sentence."""
    assert missing(other, store.credentials) == "[]"
    wrong = store.credentials | {"AWS_SECRET_ACCESS_KEY": "guessed"}
    assert missing(other, {}).startswith("error: the storage cannot be asked: NoCredentialsError")
    assert "error: the storage cannot be asked: The request signature we calculated" in missing(other, wrong)
    for target, env, reason in (
        ("pull", {}, "Unable to locate credentials"),
        ("repro", {}, "Unable to locate credentials"),
        ("pull", wrong, "Forbidden"),
        ("push", wrong, "Forbidden"),
    ):
        with pytest.raises(CommandError, match=f"ERROR: .*{reason}"):
            make(target, cwd=other, env=env)
    assert "Unable to locate credentials" in refused(other, {}, "model", "card")
    tool(other, "dvc", "remote", "modify", "--local", "storage", "endpointurl", f"http://127.0.0.1:{free_port()}")
    gone = store.credentials | AT_ONCE
    assert "cannot be asked: EndpointConnectionError" in missing(other, gone)
    with pytest.raises(CommandError, match=r"ERROR: .*Could not connect to the endpoint URL"):
        make("pull", cwd=other, env=gone)
    assert "Could not connect to the endpoint URL" in refused(other, gone, "model", "card")


def refused(project: Path, env: dict[str, str], *command: str) -> str:
    """The one sentence with which a command of the project ends that cannot do what it should."""
    done = tool(project, "gitops-ml", *command, check=False, env=env)
    assert (done.returncode, done.stderr.count("\n"), done.stderr[:7]) == (1, 1, "error: "), done.stderr
    return done.stderr


def missing(project: Path, env: dict[str, str]) -> str:
    """What the storage lacks, as a release asks it."""
    done = tool(project, "python", "-c", ASK, check=False, env=env)
    return done.stdout.strip()


ASK = """
from pathlib import Path
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage
try:
    print(Storage(Path.cwd()).missing(Path("dvc.lock").read_bytes()))
except UserError as error:
    print(f"error: {error}")
"""


def test_predictions_are_kept_in_s3(other: Path, store: Store) -> None:
    """`gitops-ml watch predictions` puts what a service wrote down into a bucket, and what reads it finds it again."""
    elsewhere = {"AWS_ENDPOINT_URL": store.url}
    settings = yaml.safe_load((other / "project.yaml").read_text())
    settings["monitor"]["store"] = "s3://team/predictions"
    (other / "project.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    line = {"time": "2026-03-01T10:00:00.000+00:00", "request": "a", "columns": {"score": [0.5, 0.25]}}
    written = other / ".deploy/production/predictions"
    written.mkdir(parents=True)
    (written / "20260301T100000.000000Z-1.jsonl").write_text(json.dumps(line) + "\n")
    said = gitops("watch", "predictions", cwd=other, env=store.credentials | elsewhere)
    assert "2 answers and 0 requests of 1 files: s3://team/predictions/production" in said
    assert list(written.iterdir()) == []
    found = tool(other, "python", "-c", READ, "s3://team/predictions/production", env=store.credentials | elsewhere)
    assert found.stdout == "[0.5, 0.25]\n"
    (written / "20260302T100000.000000Z-1.jsonl").write_text(json.dumps(line) + "\n")
    assert "s3://team/predictions/production cannot be written to: Unable to locate" in refused(
        other, elsewhere, "watch", "predictions"
    )
    assert len(list(written.iterdir())) == 1


READ = """
import sys
from datetime import UTC, datetime
from gitops_ml.predictions import stored
found = stored.read(sys.argv[1], "answers", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
print(found["score"].tolist())
"""


def test_new_tables_are_taken_from_s3(other: Path, store: Store) -> None:
    """Retraining gets the tables that arrived in a bucket; where it cannot, there is a sentence."""
    here, gone = ({"AWS_ENDPOINT_URL": url} for url in (store.url, f"http://127.0.0.1:{free_port()}"))
    assert arrived(other, store.credentials | here) == "['april.csv']"
    assert arrived(other, here) == "error: s3://team/batches cannot be read: Unable to locate credentials"
    said = arrived(other, store.credentials | AT_ONCE | gone)
    assert said.startswith("error: s3://team/batches cannot be read: Could not connect to the endpoint URL")


def arrived(project: Path, env: dict[str, str]) -> str:
    """What retraining finds in a bucket into which one table is put, if it can be."""
    return tool(project, "python", "-c", ARRIVE, check=False, env=env).stdout.strip()


ARRIVE = """
import contextlib, pathlib, tempfile
import fsspec
from gitops_ml.monitor import retrain
from gitops_ml.core.errors import UserError
with contextlib.suppress(Exception):
    fsspec.filesystem("s3").pipe_file("s3://team/batches/april.csv", b"a,b\\n1,2\\n")
try:
    print([path.name for path in retrain._arrived("s3://team/batches", pathlib.Path(tempfile.mkdtemp(), "into"))])
except UserError as error:
    print(f"error: {error}")
"""


IN_A_BUCKET = """
import sys
from pathlib import Path
from gitops_ml.batch.store import Store
store = Store("s3://team/scores/")
assert store.find() == {}
store.put("deep/one", b"first")
version = store.version("deep/one")
store.put("deep/one", b"other")
assert store.version("deep/one") != version
Path(sys.argv[1]).write_bytes(bytes(20_000_000))
store.move_in(Path(sys.argv[1]), "large")
assert {name: each["size"] for name, each in store.find().items()} == {"deep/one": 5, "large": 20_000_000}
assert store.part("deep/one", 1, 3) == b"th"
with store.open("large") as file:
    assert len(file.read()) == 20_000_000
store.remove("deep")
store.remove("deep")
print(list(store.find()))
store.part("deep/one", 0, 1)
"""


def test_a_batch_reads_and_writes_in_a_bucket(moved: Path, store: Store, tmp_path: Path) -> None:
    """Files are written whole, read in parts, replaced and removed; what is not there has a sentence."""
    env = store.credentials | {"AWS_ENDPOINT_URL": store.url, "AWS_DEFAULT_REGION": "us-east-1"}
    done = tool(moved, "python", "-c", IN_A_BUCKET, str(tmp_path / "large"), check=False, env=env)
    assert done.stdout == "['large']\n", done.stderr
    assert "UserError: s3://team/scores/deep/one cannot be read: The specified key does not exist." in done.stderr


class Empty(BaseHTTPRequestHandler):
    """An S3 without any bucket, which would make one for whoever asks."""

    # Whoever sends a body waits to be told to go on.
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        """A bucket is made, an object in none is not."""
        self.rfile.read(int(self.headers["content-length"] or 0))
        bucket, _, key = self.path.partition("?")[0].strip("/").partition("/")
        self.asked.append(f"object in {bucket}" if key else f"bucket {bucket}")
        self.send_response(404 if key else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """There is nothing."""
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


WRITE = """
import pandas as pd
from gitops_ml.batch.store import Store
from gitops_ml.core.errors import UserError
from gitops_ml.predictions import stored
for write in (
    lambda: Store("s3://nobodys/scores").put("deep/one", b"1"),
    lambda: stored.write(pd.DataFrame({"score": [0.5]}), "s3://nobodys/log", "answers", "20260131"),
):
    try:
        write()
    except UserError as error:
        print(error)
"""


def test_no_bucket_is_made_of_a_misspelt_name(moved: Path) -> None:
    """Whatever writes into buckets names the one that is not there, also where it could make it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}", "AWS_DEFAULT_REGION": "us-east-1"}
        keys = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
        said = tool(moved, "python", "-c", WRITE, env=env | keys | AT_ONCE).stdout.splitlines()
        server.shutdown()
    assert [line.partition(":")[0] for line in said] == ["s3", "s3"]
    assert set(Empty.asked) == {"object in nobodys"}
