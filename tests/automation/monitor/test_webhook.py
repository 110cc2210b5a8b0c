"""An alarm reaches whoever listens at the webhook, and the webhook's address reaches nobody else."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.monitor.content import Finding, Monitoring
from gitops_ml.notify import webhook

from tests.automation.monitor.conftest import HIDDEN, Listener
from tests.automation.tables import PROJECT


def found(form: str, alarms: int = 1) -> Monitoring:
    """What a monitor found."""
    settings = project.read(PROJECT).monitor.model_copy(update={"webhook": form})
    sentence = "'a <b> & c' has moved in 65% of the rows"
    return Monitoring(
        title="Late flights", environment="production", release="flights:1a", model="ab",
        moment=datetime(2026, 5, 1, tzinfo=UTC),
        created=None, verdict="alarm" if alarms else "all is well", tested=25, untested=0, watch=[], by_chance=[],
        alarms=[Finding(kind="drift", name=f"column {each}", windows=2, sentence=sentence) for each in range(alarms)],
        unknown=[],
        windows=[], promised={}, importance={}, importance_is="", pictures=[], settings=settings,
    )  # fmt: skip


def test_json_says_what_and_where(listener: Listener) -> None:
    """Any program gets the alarms with release, environment and moment, and where there is more to see."""
    webhook.send(found("json"), "https://example.com/run/1")
    [told] = listener.taken
    assert {name: told[name] for name in ("version", "event", "environment", "release", "where")} == {
        "version": 1, "event": "alarm", "environment": "production", "release": "flights:1a",
        "where": "https://example.com/run/1",
    }  # fmt: skip
    assert told["moment"] == "2026-05-01T00:00:00Z"
    assert [(alarm["kind"], alarm["name"]) for alarm in told["alarms"]] == [("drift", "column 0")]


def test_slack_gets_text_in_which_names_are_no_markup(listener: Listener) -> None:
    """Slack's form has one text; what a column is called cannot become a link, and a flood of alarms is cut."""
    webhook.send(found("slack", alarms=25), "https://example.com/run/1")
    [told] = listener.taken
    assert list(told) == ["text"]
    lines = told["text"].splitlines()
    assert lines[0] == "*Alarm: the model in production* (Late flights, flights:1a)"
    assert lines[1] == "• drift: 'a &lt;b&gt; &amp; c' has moved in 65% of the rows"
    assert lines[-2:] == ["and 5 more", "<https://example.com/run/1|The whole picture>"]


def test_all_is_well_is_sent_to_nobody(listener: Listener) -> None:
    """People hear of alarms alone."""
    webhook.send(found("json", alarms=0))
    assert listener.asked == 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_who_is_busy_is_asked_again(listener: Listener, status: int) -> None:
    """An alarm is sent until it is taken, once, also where the other one says when to come again."""
    listener.statuses, listener.headers = [status, status], {"retry-after": "1"}
    webhook.send(found("json"))
    assert (listener.asked, len(listener.taken)) == (3, 1)


@pytest.mark.parametrize(("status", "times"), [(500, webhook.TIMES), (404, 1), (302, 1), (400, 1)])
def test_an_alarm_that_nobody_takes_is_an_error(
    listener: Listener, caplog: pytest.LogCaptureFixture, status: int, times: int
) -> None:
    """Who goes on refusing is named by the answer, never by the address; a refusal that will not change is not asked
    again.
    """
    caplog.set_level(logging.DEBUG)
    listener.statuses = [status] * 9
    with pytest.raises(UserError, match=f"was not sent: where MONITOR_WEBHOOK points answers {status}") as refused:
        webhook.send(found("slack"))
    assert listener.asked == times
    assert HIDDEN not in caplog.text + str(refused.value)


def test_nobody_there_is_an_error_without_the_address(
    listener: Listener, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port at which nobody listens, and an address that is none, end in one sentence that has nothing of them."""
    caplog.set_level(logging.DEBUG)
    listener.server.shutdown()
    listener.server.server_close()
    for address, said in [
        (listener.address, "cannot be reached"),
        (f"https://example.com:port/{HIDDEN}", "is no address"),
        (f"https://no such host/{HIDDEN}", "points"),
        (HIDDEN, "begins with https"),
        ("", "begins with https"),
    ]:
        monkeypatch.setenv(webhook.VARIABLE, address)
        with pytest.raises(UserError, match=said) as refused:
            webhook.send(found("json"))
        assert HIDDEN not in caplog.text + str(refused.value)


def test_a_form_must_be_chosen(listener: Listener) -> None:
    """Without a form in project.yaml nothing is sent, and the sentence says what to write there."""
    with pytest.raises(UserError, match=r"monitor\.webhook of project\.yaml is empty; .*: slack or json"):
        webhook.send(found(""))
    assert listener.asked == 0
