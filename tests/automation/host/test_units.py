"""The units of systemd that run agents on a host."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from gitops_ml.cli.main import tree
from gitops_ml.github import doctor
from gitops_ml.host import units

from tests.automation.tables import PROJECT

UNIT = (PROJECT / "deploy/agents/model@.service").read_text()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where systemd looks for units, and nobody has any yet."""
    folder = tmp_path / "units"
    folder.mkdir()
    monkeypatch.setenv(units.VARIABLE, str(folder))
    return folder


def unit(root: Path, command: str, user: str = "") -> str:
    """The unit that the project ships, for a clone of whoever tests, with another command."""
    folder = next(line for line in UNIT.splitlines() if line.startswith("WorkingDirectory="))
    called = next(line for line in UNIT.splitlines() if line.startswith("ExecStart="))
    unit = UNIT.replace(folder, f"WorkingDirectory={root}").replace(called, f"ExecStart={root}/.venv/bin/{command}")
    return unit.replace("User={{ cookiecutter.project_slug }}", f"User={user or getpass.getuser()}")


def test_the_doctor_names_units_that_must_change(place: Path, tmp_path: Path) -> None:
    """A unit that calls `-m ci`, a target that make had, or single steps is named with what to do; others are not."""
    root = tmp_path / "clone"
    root.mkdir()
    (place / "old@.service").write_text(unit(root, "python -m ci deploy %i"))
    (place / "collect.service").write_text(unit(root, "../../make predictions ENV=production"))
    (place / "new@.service").write_text(unit(root, "gitops-ml host deploy %i --watch 15"))
    (place / "timed@.service").write_text(unit(root, "gitops-ml host deploy %i"))
    (place / "new@.service.d").mkdir()
    (place / "new@.service.d/ours.conf").write_text(f"[Service]\nExecStart={root}/.venv/bin/python -m ci stop %i\n")
    (place / "other@.service").write_text(unit(tmp_path / "another", "python -m ci deploy %i"))
    with pytest.raises(doctor.FaultError, match="`systemctl daemon-reload`") as told:
        doctor._units(root)
    assert f"{place}/old@.service should say `gitops-ml host deploy`" in str(told.value)
    assert f"{place}/collect.service should say `gitops-ml watch predictions`" in str(told.value)
    assert f"{place}/new@.service.d/ours.conf should say `gitops-ml host stop`" in str(told.value)
    assert f"{place}/timed@.service has nobody keep alive what serves" in str(told.value)
    assert "new@.service should" not in str(told.value)
    assert "new@.service has" not in str(told.value)
    assert "other@" not in str(told.value)


def test_a_machine_without_units_lacks_nothing(place: Path, tmp_path: Path) -> None:
    """Where no unit runs an agent, as in a container or under a supervisor, that is said and is no fault."""
    assert doctor._units(tmp_path) == "none is of this clone"
    (tmp_path / "link").symlink_to(tmp_path)
    (place / "new@.service").write_text(unit(tmp_path / "link", "gitops-ml host deploy %i --watch 15"))
    assert doctor._units(tmp_path) == "1 are of this clone, as they should be"


def test_what_units_should_say_exists() -> None:
    """The line of the unit in deploy/agents, and each that the doctor advises, is a command of the automation."""
    assert "/.venv/bin/gitops-ml host deploy %i --watch 15" in UNIT
    commands = tree()
    for word in ("deploy", "stop", "predictions", "monitor", "retrain"):
        noun, verb = units.NOW.get(word, f"watch {word}").split()
        assert commands.commands[noun].get_command(None, verb) is not None


def test_the_doctor_names_units_whose_user_cannot_work_in_the_clone(place: Path, tmp_path: Path) -> None:
    """A unit of a user that there is not, and one of a user to whom the clone does not belong, are named."""
    (place / "nobody@.service").write_text(unit(tmp_path, "gitops-ml host deploy %i --watch 15", "no-such-user"))
    with pytest.raises(doctor.FaultError, match="as no-such-user, whom this machine does not have: `useradd"):
        doctor._units(tmp_path)
    (place / "nobody@.service").write_text(unit(tmp_path, "gitops-ml host deploy %i --watch 15", "nobody"))
    with pytest.raises(doctor.FaultError, match=f"as nobody, to whom {tmp_path} does not belong: `chown"):
        doctor._units(tmp_path)
