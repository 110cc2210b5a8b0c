"""Runs a repository's workflows for real, without GitHub: `act` executes the files, on this machine, with no container.

What act does not do is done here: GitHub's filters, and which workflow file counts for which event. Actions of others
are replaced by small ones of the same interface, in tests/stand_ins; one that has none, or is not pinned, fails the
test, also where an action of the repository uses it. Those of the repository are run as they are.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ci.shell import ROOT, environment, run
from tests.forge import REPOSITORY, TOKEN, Event, GitHub

STAND_INS = Path(__file__).parent / "stand_ins"
OWNERS = {"actions", "sigstore"}
PINNED = re.compile(r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)@(?P<commit>[0-9a-f]{40})")


@dataclass
class Run:
    """One run of a workflow: what became of each job, and everything that was printed."""

    workflow: str
    jobs: dict[str, str]
    said: str


@dataclass
class Actions:
    """Answers the events of a repository with its workflows.

    `tools` is what is first on PATH, `given` the machine's environment; secrets and variables are the repository's.
    """

    github: GitHub
    folder: Path
    tools: list[Path]
    secrets: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def answer(self, until: str | None = None, in_turn: bool = True) -> list[Run]:
        """Run what the events ask for, and what that asks for in turn; a run for each workflow that was started.

        With `until`, each run is cancelled when it begins the step of that name. Without `in_turn`, what the runs ask
        for is left.
        """
        done, count = [], len(self.github.events)
        while self.github.events and (in_turn or count):
            event, count = self.github.events.pop(0), count - 1
            by_main = event.workflow or event.name == "pull_request_target"
            commit = self.github.tip("main") if by_main else event.commit
            for name, content in self._workflows(commit):
                if _starts(name, content, event):
                    done.append(self._run(name, content, event, until))
                    if "failure" in done[-1].jobs.values():
                        # For whoever did not expect that.
                        print(f"{name} failed; it said:\n{_before_failing(done[-1].said)}")
        return done

    def _workflows(self, commit: str) -> Iterator[tuple[str, dict[str, Any]]]:
        listed = run("git", "ls-tree", "--name-only", commit, ".github/workflows/", cwd=self.github.origin)
        for path in listed.split():
            text = run("git", "show", f"{commit}:{path}", cwd=self.github.origin)
            # YAML 1.1 reads the key `on` as true.
            content = {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}
            yield Path(path).name, content

    def _run(self, name: str, content: dict[str, Any], event: Event, until: str | None) -> Run:
        known = self.github.began(event, name)
        place = self.folder / f"run-{known['id']}"
        clone, home = place / "clone", place / "home"
        home.mkdir(parents=True)
        run("git", "clone", "--quiet", "--no-checkout", str(self.github.origin), str(clone), cwd=place)
        run("git", "checkout", "--quiet", "--detach", event.commit, cwd=clone)
        run("git", "remote", "set-url", "origin", f"{self.github.url}/{REPOSITORY}", cwd=clone)
        repository = {"full_name": REPOSITORY, "name": REPOSITORY.partition("/")[2], "default_branch": "main"}
        (place / "event.json").write_text(json.dumps({**event.payload, "repository": repository}))
        secrets = {**self.secrets, "GITHUB_TOKEN": TOKEN}
        (place / "secrets").write_text("".join(f"{key}={json.dumps(value)}\n" for key, value in secrets.items()))
        (place / "secrets").chmod(0o600)
        number = event.payload.get("number")
        variables = {
            **self.given,
            "ARTIFACTS": str(place / "artifacts"),
            "CACHES": str(self.folder / "caches"),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_SERVER_URL": self.github.url,
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REF": f"refs/pull/{number}/merge" if event.name == "pull_request" else f"refs/heads/{event.branch}",
            "GITHUB_SHA": event.commit,
            "GITHUB_RUN_ID": str(known["id"]),
            "RUNNER_TEMP": str(place),
        }
        command = [
            *(str(ROOT / ".venv/bin/act"), event.name, "-C", str(clone), "-W", f".github/workflows/{name}"),
            *("-e", str(place / "event.json"), "--json", "--no-skip-checkout", "--pull=false", "--no-cache-server"),
            *("-a", "dev", "-P", "ubuntu-24.04=-self-hosted", "--action-cache-path", str(place / "cache")),
            *("--env-file", "/dev/null", "--var-file", "/dev/null", "--input-file", "/dev/null"),
            *("--secret-file", str(place / "secrets")),
            *(word for key, value in self.variables.items() for word in ("--var", f"{key}={value}")),
            *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
            *(word for used in self._used(content, event.commit) for word in ("--local-repository", used)),
        ]
        machine = {
            "PATH": ":".join([*map(str, self.tools), environment()["PATH"]]),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ACT_DISABLE_VERSION_CHECK": "1",
        }
        jobs, said = dict.fromkeys(content["jobs"], "skipped"), []
        with subprocess.Popen(
            command,
            env=machine,
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                told = json.loads(line) if line.startswith("{") else {"msg": line}
                said.append(str(told.get("msg", "")).rstrip("\n"))
                # act says so and goes on, as if the job were skipped.
                assert "unsupported platform" not in said[-1], said[-1]
                if "jobID" in told:
                    title = content["jobs"][told["jobID"]].get("name", told["jobID"])
                    _timed(known["jobs"], title, told.get("jobResult"))
                if "jobResult" in told:
                    jobs[told["jobID"]] = told["jobResult"]
                if until and told.get("step") == until:
                    os.killpg(process.pid, signal.SIGKILL)
                    jobs = dict.fromkeys(content["jobs"], "cancelled")
        ends = set(jobs.values())
        known["conclusion"] = next((end for end in ("cancelled", "failure") if end in ends), "success")
        (place / "log").write_text("\n".join(said))
        # act leaves the working tree of a job that failed, and with it an environment.
        shutil.rmtree(place / "cache", ignore_errors=True)
        return Run(name.removesuffix(".yml"), jobs, "\n".join(said))

    def _used(self, content: dict[str, Any], commit: str) -> list[str]:
        """The stand-in of each action that a workflow uses, by itself or by one of its repository, as act wants it."""
        found = set()
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        for step in steps:
            # What is added here is looked at in turn.
            if step.get("uses", "").startswith("./"):
                steps += self._inside(step["uses"], commit)
            elif "uses" in step:
                pinned = PINNED.fullmatch(step["uses"])
                assert pinned, f"{step['uses']} is not pinned"
                stand_in = STAND_INS / pinned["name"]
                assert pinned["owner"] in OWNERS, f"{step['uses']} has no stand-in"
                assert stand_in.is_dir(), f"{step['uses']} has no stand-in"
                found.add(f"{step['uses']}={stand_in}")
        return sorted(found)

    def _inside(self, action: str, commit: str) -> list[dict[str, Any]]:
        """The steps of an action of the repository, as a run may see it: the event's commit has one, main another."""
        path = f"{action.removeprefix('./')}/action.yml"
        commits = {commit, self.github.tip("main")}
        kept = [each for each in commits if run("git", "ls-tree", each, path, cwd=self.github.origin)]
        assert kept, f"there is no {path}"
        texts = [run("git", "show", f"{each}:{path}", cwd=self.github.origin) for each in kept]
        return [step for text in texts for step in yaml.safe_load(text)["runs"]["steps"]]


def _timed(known: list[dict[str, Any]], name: str, result: str | None) -> None:
    """Note of a job, for whoever asks GitHub meanwhile, that it runs or has ended, to the second, as GitHub does."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    job = next((each for each in known if each["name"] == name), None)
    if job is None:
        job = {"name": name, "status": "in_progress", "conclusion": None, "started_at": now, "completed_at": None}
        known.append(job)
    if result:
        job |= {"status": "completed", "conclusion": result, "completed_at": now}


def _before_failing(said: str) -> str:
    """What a run said until a step of it failed, as far as somebody reads."""
    until, failed, _ = said.partition("\u274c  Failure")
    return (until if failed else said)[-6000:]


def _starts(name: str, content: dict[str, Any], event: Event) -> bool:
    """Whether an event starts a workflow, by GitHub's rules for the filters in use."""
    asked = content["on"]
    if event.name not in asked or (event.workflow and event.workflow != name):
        return False
    rules = asked[event.name] or {}
    if unknown := set(rules) - {"branches", "inputs", "types"}:
        raise AssertionError(f"{name} filters by {unknown}, which nobody applies here")
    for key, rule in rules.get("inputs", {}).items():
        given = event.payload["inputs"].get(key, "")
        assert given or not rule.get("required"), f"{name} needs {key}"
        assert rule["type"] != "choice" or given in rule["options"], f"{name} takes no {key} {given!r}"
    if "types" in rules and event.payload["action"] not in rules["types"]:
        return False
    return any(fnmatch.fnmatch(event.branch, pattern) for pattern in rules.get("branches", ["*"]))
