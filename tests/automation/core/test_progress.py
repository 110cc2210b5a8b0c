"""Nobody waits without a word: a step that takes a while says what it does."""

from __future__ import annotations

import pytest
from gitops_ml.core import progress


def test_a_step_that_takes_a_while_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Until it ends it says so again and again, on stderr, so that what is printed for programs stays as it is."""
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0)
    monkeypatch.setattr(progress, "NEXT_SECONDS", 0.001)

    @progress.doing("counting")
    def count() -> str:
        said = ""
        while said.count("... counting (0 s)\n") < 3:
            printed, told = capfd.readouterr()
            assert printed == ""
            said += told
        return said

    assert count()
    capfd.readouterr()
    assert capfd.readouterr() == ("", "")


def test_a_quick_step_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """What is done before anybody wonders needs no word, and an error in it is handed on."""
    with pytest.raises(ValueError, match="its own"), progress.doing("failing"):
        raise ValueError("its own")
    assert capfd.readouterr() == ("", "")
