from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gitops_ml.core import signing
from gitops_ml.host import host

from tests.automation.tables import params, schema, table  # noqa: F401 - fixtures
from tests.automation.world import World, environments


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the stragglers of a load that there is not."""
    monkeypatch.setattr(host, "DRAIN_SECONDS", 0.05)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two environments, none of which has had a release, and a key that signs."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    made = World(tmp_path / "world", environments("staging", "production"))
    made.bootstrap()
    yield made
    made.close()


@pytest.fixture
def approving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One environment, in which people merge."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    made = World(tmp_path / "world", environments("staging", approvals=1))
    made.bootstrap()
    yield made
    made.close()
