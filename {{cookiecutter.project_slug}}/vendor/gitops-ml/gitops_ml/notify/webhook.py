"""Sends an alarm to where people see it: to Slack, or as JSON to anything else that takes a POST.

The address is a secret, since whoever knows it may write there: it comes from the environment, and no log and no error
has it.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import httpx

from gitops_ml.core.errors import UserError
from gitops_ml.monitor.content import Monitoring

VARIABLE = "MONITOR_WEBHOOK"
# Both write the addresses that are asked into their logs.
LOGS = ("httpx", "httpcore")
TIMES, SECONDS = 4, 10.0
# Before the second time; twice as long before each further one.
PAUSE_SECONDS = 1.0
LONGEST_PAUSE = 30.0
ALARMS_SHOWN = 20


def send(found: Monitoring, where: str | None = None) -> None:
    """Send what was found, if that is an alarm, in the form that `monitor.webhook` names.

    Args:
        found: what the monitor found.
        where: an address at which there is more to see.

    Raises:
        UserError: the form or the address is missing, or nobody takes the alarm, also not when asked again.
    """
    form = found.settings.webhook
    if not form:
        raise UserError(
            "monitor.webhook of project.yaml is empty; say there in which form alarms are sent: slack or json"
        )
    address = os.environ.get(VARIABLE, "").strip()
    if not address.startswith(("https://", "http://")):
        raise UserError(
            f"monitor.webhook is {form}, and {VARIABLE} holds no address that begins with https:// or http://"
        )
    if found.alarms:
        _post(address, {"slack": _slack, "json": _plain}[form](found, where))


def _plain(found: Monitoring, where: str | None) -> dict[str, Any]:
    told = found.model_dump(mode="json", include={"title", "environment", "release", "model", "moment", "alarms"})
    return {"version": 1, "event": "alarm", **told, "where": where}


def _slack(found: Monitoring, where: str | None) -> dict[str, Any]:
    lines = [f"*Alarm: the model in {found.environment}* ({found.title}, {found.release})"]
    lines += [f"• {alarm.kind}: {alarm.sentence}" for alarm in found.alarms[:ALARMS_SHOWN]]
    if (more := len(found.alarms) - ALARMS_SHOWN) > 0:
        lines.append(f"and {more} more")
    # What Slack takes for markup, in names of columns and values.
    text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": f"{text}\n<{where}|The whole picture>" if where else text}


def _post(address: str, body: dict[str, Any]) -> None:
    for name in LOGS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for attempt in range(TIMES):
        reason, wait = _tried(address, body)
        if reason is None:
            return
        if wait is None or attempt == TIMES - 1:
            break
        time.sleep(min(max(wait, PAUSE_SECONDS * 2**attempt), LONGEST_PAUSE))
    raise UserError(
        f"the alarm was not sent: where {VARIABLE} points {reason}; the alarm itself stands in build/monitor"
    )


def _tried(address: str, body: dict[str, Any]) -> tuple[str | None, float | None]:
    """Why it was not taken, None if it was; and after how many seconds to ask again, None if that cannot help."""
    try:
        answer = httpx.post(address, json=body, timeout=SECONDS)
    except httpx.TransportError as error:
        # What the error says may have the address in it.
        return f"cannot be reached ({type(error).__name__})", 0.0
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"is no address ({type(error).__name__})", None
    if answer.is_success:
        return None, None
    said = answer.headers.get("retry-after", "")
    again = answer.status_code == 429 or answer.status_code >= 500
    return f"answers {answer.status_code}", (float(said) if said.isdigit() else 0.0) if again else None
