from __future__ import annotations

import pytest
from gitops_ml.host import host, keeper, port


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than it takes."""
    monkeypatch.setattr(host, "UNWELL_SECONDS", 0.5)
    monkeypatch.setattr(port, "UNWELL_SECONDS", 5.0)
    monkeypatch.setattr(keeper, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.1)
