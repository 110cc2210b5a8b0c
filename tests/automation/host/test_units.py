"""The units of systemd that run agents on a host."""

from __future__ import annotations

from pathlib import Path

import pytest
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


def unit(root: Path, command: str) -> str:
    """The unit that the project ships, for a clone, with another command."""
    folder = next(line for line in UNIT.splitlines() if line.startswith("WorkingDirectory="))
    called = next(line for line in UNIT.splitlines() if line.startswith("ExecStart="))
    return UNIT.replace(folder, f"WorkingDirectory={root}").replace(called, f"ExecStart={root}/.venv/bin/{command}")


def test_the_doctor_names_units_of_the_version_before(place: Path, tmp_path: Path) -> None:
    """A unit that calls `-m ci` is named with what to do; the new one, and one of another clone, are not."""
    root = tmp_path / "clone"
    (place / "old@.service").write_text(unit(root, "python -m ci deploy %i"))
    (place / "new@.service").write_text(unit(root, "gitops-ml host deploy %i"))
    (place / "other@.service").write_text(unit(tmp_path / "another", "python -m ci deploy %i"))
    with pytest.raises(doctor.FaultError, match=r"old@\.service runs the agent by `-m ci`.*daemon-reload") as told:
        doctor._units(root)
    assert "other@" not in str(told.value)
    assert "new@" not in str(told.value)


def test_a_machine_without_units_lacks_nothing(place: Path, tmp_path: Path) -> None:
    """Where no unit runs an agent, as in a container or under a supervisor, that is said and is no fault."""
    assert doctor._units(tmp_path) == "none runs an agent of this clone"
    (place / "new@.service").write_text(unit(tmp_path, "gitops-ml host deploy %i"))
    assert doctor._units(tmp_path) == "1 run the agent of this clone, by `gitops-ml`"


def test_the_shipped_unit_calls_a_command_that_exists() -> None:
    """The line of the unit in deploy/agents is a command of the automation."""
    assert "/.venv/bin/gitops-ml host deploy %i" in UNIT
