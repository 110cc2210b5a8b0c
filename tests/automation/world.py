"""A small world of real Git repositories: an `origin`, clones, a storage, and hosts that serve over HTTP.

Releases are made of a few bytes instead of a trained model and a built Bento, and an instance is a tiny HTTP server
that says at /version what a release's service says. Everything between is the project's own code.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from gitops_ml.core import record, signing
from gitops_ml.core.project import Workers
from gitops_ml.core.storage import Storage
from gitops_ml.deployment import deploy
from gitops_ml.host.host import Host
from gitops_ml.host.runner import Instance
from gitops_ml.promotion import bootstrap, promote
from gitops_ml.promotion.outcome import Outcome
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import make
from gitops_ml.versions.git import Git

from ci.shell import free_port
from tests.automation.tables import PROJECT

PROOF = record.Proof(tier="fast", rows=5000, alone=2000, random=2000, seed=0, unequal=0, processor="x86_64")
CARD = b"# A model card\n"
LIMITS = {
    "soak_minutes": 0,
    "silent_minutes": 60,
    "ready_seconds": 30,
    "gate": "none",
    "approvals": 0,
    "runner": "process",
}


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody who works here."""
    command = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Servers:
    """Runs releases as HTTP servers in this process; see gitops_ml.host.runner.Runner."""

    def __init__(self, folder: Path) -> None:
        self.releases = folder / "releases"
        self.running: dict[Instance, ThreadingHTTPServer] = {}
        # How many workers each instance was started with.
        self.workers: dict[Instance, Workers] = {}
        self.broken: set[str] = set()

    def install(self, found: record.Release, files: Mapping[str, bytes]) -> None:
        """Keep what an instance says."""
        self.releases.mkdir(parents=True, exist_ok=True)
        said = {"release": found.release, "model": found.model, "data": found.data, "commit": found.commit}
        (self.releases / found.short).write_text(json.dumps(said))

    def instances(self) -> list[Instance]:
        """What runs."""
        return list(self.running)

    def start(self, short: str, port: int = 0, *, workers: Workers = 1) -> Instance:
        """Serve on a port, or on a free one."""
        said = b"{}" if short in self.broken else (self.releases / short).read_bytes()
        server = ThreadingHTTPServer(("127.0.0.1", port), _answering(said))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        instance = Instance(short, server.server_address[1], short)
        self.running[instance], self.workers[instance] = server, workers
        return instance

    def alive(self, instance: Instance) -> bool:
        """A broken release ends by itself."""
        return instance in self.running and instance.short not in self.broken

    def ended(self, instance: Instance) -> bool:
        """Whether it was stopped."""
        return instance not in self.running

    def stop(self, instance: Instance) -> None:
        """End it, unless somebody else has."""
        server = self.running.pop(instance, None)
        if server is None:
            return
        server.shutdown()
        server.server_close()

    def said(self, instance: Instance) -> str:
        """Nothing of interest."""
        return "broken on purpose"

    def forget(self, keep: set[str]) -> None:
        """Keep all."""


class World:
    """Everything that a project has outside of itself."""

    def __init__(self, folder: Path, environments: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.origin = folder / "origin.git"
        self.storage = folder / "storage"
        self.hosts: dict[str, Servers] = {}
        self.released: dict[str, record.Release] = {}
        self.storage.mkdir(parents=True)
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.origin))
        seed = folder / "seed"
        _write_project(seed, self.storage, environments)
        git(seed, "init", "--quiet", "--initial-branch=main")
        git(seed, "remote", "add", "origin", str(self.origin))
        signing.create_key(seed)
        git(seed, "add", "--all")
        git(seed, "commit", "--quiet", "--message", "Start")
        git(seed, "push", "--quiet", "origin", "main")
        self.root = self.clone("root")

    def clone(self, name: str) -> Path:
        """One more clone, of somebody who has told Git who they are."""
        root = self.folder / name
        git(self.folder, "clone", "--quiet", str(self.origin), str(root))
        git(root, "config", "user.name", name)
        git(root, "config", "user.email", f"{name}@example.org")
        # The automation that a command runs is that of the project which it stands in.
        (root / "vendor").symlink_to(PROJECT / "vendor")
        (root / ".git/info/exclude").write_text("/vendor\n")
        return root

    def opened(self, root: Path | None = None) -> Repository:
        """A repository as a command opens it."""
        return Repository.opened(root or self.root)

    def release(self, model: str, **more: Any) -> record.Release:
        """Merge a change to main and release it: the model's bytes are this text; see `publish`."""
        git(self.root, "fetch", "--quiet", "origin")
        git(self.root, "checkout", "--quiet", "-B", "main", "origin/main")
        content = model.encode()
        lock = {"stages": {"train": {"outs": [{"path": "models/model.skops", "md5": self.store(content)}]}}}
        (self.root / "dvc.lock").write_text(yaml.safe_dump(lock))
        git(self.root, "add", "dvc.lock")
        git(self.root, "commit", "--quiet", "--allow-empty", "--message", f"Train {model}")
        git(self.root, "push", "--quiet", "origin", "main")
        return self.publish(content, **more)

    def publish(self, content: bytes, archive: bytes | None = None, **more: Any) -> record.Release:
        """Release the commit that is checked out; as a Bento that can be served, if there is one."""
        repository = Git(self.root)
        repository.fetch()
        commit = git(self.root, "rev-parse", "HEAD")
        facts = {
            "release": f"flights:{hashlib.sha256(content + commit.encode()).hexdigest()[:16]}",
            "commit": commit,
            "model": hashlib.sha256(content).hexdigest(),
            "data": "0" * 32 + ".dir",
            "lock": hashlib.sha256((self.root / "dvc.lock").read_bytes()).hexdigest(),
            "evaluation": "0" * 64,
            "metrics": {"roc_auc": 0.75},
            "verdict": "promote",
            "champion": None,
            "proof": PROOF,
        }
        made, _ = make.publish(repository, Storage(self.root), facts | more, archive or b"bento of " + content, CARD)
        self.released[made.release] = made
        return made

    def store(self, content: bytes) -> str:
        """Put an object where DVC keeps it."""
        name = hashlib.md5(content, usedforsecurity=False).hexdigest()
        path = self.storage / "files" / "md5" / name[:2] / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def bootstrap(self) -> list[str]:
        """Create the environments' branches."""
        return bootstrap.bootstrap(self.opened())

    def promote(self, name: str, wanted: str | None = None, root: Path | None = None) -> Outcome:
        """Promote, as the command does."""
        return promote.promote(self.opened(root), name, wanted)

    def rollback(self, name: str, to: str | None = None) -> Outcome:
        """Roll back, as the command does."""
        return promote.rollback(self.opened(), name, to)

    def host(self, name: str) -> Host:
        """Where an environment serves, each on a host of its own."""
        folder = self.folder / "hosts" / name
        return Host(self.root, folder, {"process": self.hosts.setdefault(name, Servers(folder))})

    def deploy(self, name: str, **options: Any) -> deploy.Deployment:
        """The agent's step of an environment."""
        return deploy.deploy(self.root, name, self.host(name), **options)

    def serves(self, name: str) -> list[str]:
        """The releases whose instances run on an environment's host."""
        servers = self.hosts.get(name)
        return (
            [json.loads((servers.releases / each.short).read_text())["release"] for each in servers.running]
            if servers
            else []
        )

    def roll_out(self, *names: str) -> None:
        """Promote through environments, each applied before the next."""
        for name in names:
            outcome = self.promote(name)
            assert outcome.state == "merged", outcome
            assert self.deploy(name).state == "healthy"

    def refuse_after(self, pushes: int | None) -> None:
        """Have origin take so many more changes and no others, as if who makes them had ended; None: take all."""
        hook, left = self.origin / "hooks" / "update", self.origin / "left"
        if pushes is None:
            hook.unlink(missing_ok=True)
            return
        left.write_text(f"{pushes}\n")
        hook.write_text(f'#!/bin/sh\nn=$(cat {left})\necho $((n - 1)) > {left}\n[ "$n" -gt 0 ]\n')
        hook.chmod(0o755)

    def close(self) -> None:
        """End what runs."""
        for name in self.hosts:
            deploy.stop(self.host(name))
            for instance in self.hosts[name].instances():
                self.hosts[name].stop(instance)


def environments(*names: str, **limits: Any) -> list[dict[str, Any]]:
    """Environments of these names, each with a port that nobody has; limits beside the defaults are for all of them."""
    return [{"name": name, "port": free_port(), **LIMITS, **limits} for name in names]


def _write_project(root: Path, storage: Path, environments: list[dict[str, Any]]) -> None:
    """What the automation reads of a project, with the files of this one."""
    root.mkdir()
    shutil.copytree(PROJECT / "deploy", root / "deploy", ignore=shutil.ignore_patterns("release.pub"))
    shutil.copytree(PROJECT / ".github", root / ".github")
    settings = yaml.safe_load((PROJECT / "project.yaml").read_text()) | {"environments": environments}
    (root / "project.yaml").write_text(yaml.safe_dump(settings))
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(
        f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {storage}\n"
    )
    (root / ".gitignore").write_text(".dvc/tmp\n.dvc/cache\n/vendor\n")


def _answering(version: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body together, or each answer takes 40 ms.
        wbufsize = 65_536

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            said = json.dumps({"score": 0.5, "release": json.loads(version).get("release")}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(said)))
            self.send_header("x-answer-id", "an-answer")
            self.end_headers()
            self.wfile.write(said)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(version)))
            self.end_headers()
            self.wfile.write(version)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
