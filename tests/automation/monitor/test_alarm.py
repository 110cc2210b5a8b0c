"""One issue on GitHub says what is wrong for as long as it is, or as nobody knows whether it still is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.monitor import content
from gitops_ml.monitor.content import Monitoring
from gitops_ml.notify import alarm
from gitops_ml.versions import forge
from gitops_ml.versions.git import Git

from tests.automation.monitor.samples import WELL, monitoring, states
from tests.forge import REPOSITORY, TOKEN, GitHub

STATES = states()


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    """A repository on GitHub."""
    origin = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin)], check=True)
    empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    made = subprocess.run(
        ["git", *who, "commit-tree", empty, "-m", "First"], cwd=origin, check=True, capture_output=True, text=True
    )
    subprocess.run(["git", "update-ref", "refs/heads/main", made.stdout.strip()], cwd=origin, check=True)
    server = GitHub(origin)
    yield server
    server.close()


def told(github: GitHub, found: Monitoring) -> str:
    """What is done on GitHub about what was found."""
    done = alarm.tell(forge.GitHub(Git(github.origin), REPOSITORY, TOKEN, github.url), found)
    assert github.wrong == []
    return done


def without_labels(found: Monitoring) -> Monitoring:
    """The same, of which the newest window was not tested for performance, which was wrong until then."""
    changed = found.model_copy(deep=True)
    for window in changed.windows:
        for signal in window.signals:
            if signal.kind == "performance":
                signal.state = "not tested" if window is changed.windows[-1] else "proven"
    return changed


def test_an_issue_is_opened_kept_and_closed_and_each_alarm_starts_the_retraining(github: GitHub) -> None:
    """An alarm opens an issue, further ones bring it up to date, and what closes it says how much was tested."""
    assert told(github, STATES["well"]) == "nothing to tell"
    assert [told(github, STATES["alarm"]) for _ in range(2)] == ["opened", "updated"]
    [issue] = github.issues
    assert issue["title"] == "Alarm: the model in production"
    assert issue["body"].startswith("## ❌ alarm (1 of 15 signals, 2 to watch)")
    assert [event.workflow for event in github.events] == ["retrain.yml"] * 2
    assert told(github, STATES["no labels"]) == "closed"
    assert (issue["state"], len(github.events)) == ("closed", 2)
    assert [each["body"] for each in github.comments] == [
        "Over on 1 August 2026: all is well (12 of 15 signals tested)."
    ]


def test_an_issue_stays_open_while_what_was_wrong_is_not_tested(github: GitHub) -> None:
    """Labels that stop are no proof that the model is as good as promised again: the issue says so, and stays."""
    told(github, STATES["alarm"])
    assert told(github, without_labels(monitoring(WELL))) == "left open"
    [issue] = github.issues
    assert issue["state"] == "open"
    assert (github.comments, len(github.events)) == ([], 1)
    assert told(github, STATES["well"]) == "closed"


def test_what_is_only_to_watch_opens_no_issue(github: GitHub) -> None:
    """People are called for alarms alone: not for what is to watch, and not where nothing is known."""
    for state in ("watch", "not known", "too few rows"):
        assert told(github, STATES[state]) == "nothing to tell"
    assert github.issues == github.events == []


def test_what_the_monitor_left_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    """What is missing, damaged or of an older version is refused with what to do; alarms are told of any version."""
    place = tmp_path / content.FOUND
    with pytest.raises(
        UserError, match=r"there is no build/monitor/monitor\.json; `gitops-ml watch monitor` writes it"
    ):
        content.read(tmp_path)
    assert content.cause(tmp_path) is None
    place.parent.mkdir(parents=True)
    place.write_text(STATES["alarm"].model_dump_json())
    assert content.read(tmp_path) == STATES["alarm"]
    place.write_text(
        '{"version": 1, "environment": "production", "moment": "2026-05-01T00:00:00Z", "title": "T", "alarms": '
        '[{"kind": "drift", "name": "temp", "windows": 4, "sentence": "\'temp\' has moved"}]}'
    )
    with pytest.raises(
        UserError, match=r"is damaged or of another version \(version: .*`gitops-ml watch monitor` writ"
    ):
        content.read(tmp_path)
    cause = content.cause(tmp_path)
    assert cause
    assert [alarm.sentence for alarm in cause.alarms] == ["'temp' has moved"]
    place.write_text("{")
    for read in (content.read, content.cause):
        with pytest.raises(UserError, match="is damaged or of another version"):
            read(tmp_path)
