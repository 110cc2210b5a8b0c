"""Tells GitHub what monitoring found: one issue for as long as something is wrong, and the retraining it asks for."""

from __future__ import annotations

from typing import Literal

from gitops_ml.core import actions
from gitops_ml.monitor import findings, page
from gitops_ml.monitor.content import Monitoring
from gitops_ml.pages import words
from gitops_ml.versions.forge import GitHub

LABEL = "monitoring"
RETRAIN = "retrain.yml"

Done = Literal["opened", "updated", "left open", "closed", "nothing to tell"]


def tell(hub: GitHub, found: Monitoring) -> Done:
    """Open the issue of an environment, bring it up to date, or close it; each alarm starts the retraining.

    While something that was wrong is not tested any more, nobody knows whether it is over, and the issue stays open.

    Raises:
        UserError: GitHub does not answer, or refuses.
    """
    title = f"Alarm: the model in {found.environment}"
    listed = hub.ask("GET", "issues", params={"labels": LABEL, "state": "open", "per_page": "100"})
    known = next((each for each in listed if each["title"] == title), None)
    body = page.markdown(found) + (f"\nThe whole picture: {url}\n" if (url := actions.run_url()) else "")
    if found.alarms:
        if known is None:
            hub.ask("POST", "issues", {"title": title, "body": body, "labels": [LABEL]})
        else:
            hub.ask("PATCH", f"issues/{known['number']}", {"body": body})
        hub.start(RETRAIN)
        return "opened" if known is None else "updated"
    if known is None:
        return "nothing to tell"
    if findings.open_questions(found.windows):
        hub.ask("PATCH", f"issues/{known['number']}", {"body": body})
        return "left open"
    said = f"Over on {words.day(found.moment)}: {found.heading}."
    hub.ask("POST", f"issues/{known['number']}/comments", {"body": said})
    hub.ask("PATCH", f"issues/{known['number']}", {"state": "closed", "state_reason": "completed"})
    return "closed"
