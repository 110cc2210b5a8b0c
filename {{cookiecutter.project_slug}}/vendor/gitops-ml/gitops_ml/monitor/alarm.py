"""Tells GitHub what monitoring found: one issue for as long as something is wrong, and the retraining it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.core.forge import GitHub
from gitops_ml.monitor import page
from gitops_ml.monitor.watch import Monitoring

FOUND = Path("build/monitor/monitor.json")
LABEL = "monitoring"
RETRAIN = "retrain.yml"

Done = Literal["opened", "updated", "closed", "nothing to tell"]


def read(root: Path) -> Monitoring:
    """What `gitops-ml watch monitor` found last.

    Raises:
        UserError: it found nothing, or what it left is damaged.
    """
    try:
        return Monitoring.model_validate_json((root / FOUND).read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {FOUND}; `gitops-ml watch monitor` writes it, and says why it could not"
        ) from error
    except ValidationError as error:
        raise UserError(f"{FOUND} is damaged: {error.errors()[0]['msg']}") from error


def tell(hub: GitHub, found: Monitoring) -> Done:
    """Open the issue of an environment, bring it up to date, or close it; each alarm starts the retraining.

    Raises:
        UserError: GitHub does not answer, or refuses.
    """
    title = f"Alarm: the model in {found.environment}"
    listed = hub.ask("GET", "issues", params={"labels": LABEL, "state": "open", "per_page": "100"})
    known = next((each for each in listed if each["title"] == title), None)
    if not found.alarms:
        if known is None:
            return "nothing to tell"
        hub.ask("POST", f"issues/{known['number']}/comments", {"body": f"Over on {found.moment:%Y-%m-%d}."})
        hub.ask("PATCH", f"issues/{known['number']}", {"state": "closed", "state_reason": "completed"})
        return "closed"
    body = page.markdown(found) + (f"\nThe whole picture: {url}\n" if (url := actions.run_url()) else "")
    if known is None:
        hub.ask("POST", "issues", {"title": title, "body": body, "labels": [LABEL]})
    else:
        hub.ask("PATCH", f"issues/{known['number']}", {"body": body})
    hub.start(RETRAIN)
    return "opened" if known is None else "updated"
