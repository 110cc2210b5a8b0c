"""The systemd units on this machine that run a project's automation."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

# Where units of an administrator and of a user stand (systemd.unit(5)); systemd itself heeds this variable.
VARIABLE = "SYSTEMD_UNIT_PATH"
FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "~/.config/systemd/user")
# How version 0.1 was called on hosts, and what each of that is called now.
BEFORE = re.compile(r"^Exec\w+=.*(?: -m ci|\bmake) (?P<word>deploy|stop|predictions|monitor|retrain)\b", re.MULTILINE)
NOW = {"deploy": "host deploy", "stop": "host stop"}
USER = re.compile(r"^User=([^%\s]+)$", re.MULTILINE)
# A step now and then, as by a timer: nobody keeps alive what serves until the next one.
UNWATCHED = re.compile(r"^ExecStart=.*\bgitops-ml host deploy\b(?!.*--watch)", re.MULTILINE)


def installed(root: Path) -> dict[Path, str | None]:
    """The units of this clone; for each that does not call the automation as it should, what is to be done about it."""
    folders = os.environ.get(VARIABLE, "").split(":") if os.environ.get(VARIABLE) else FOLDERS
    found: dict[Path, str | None] = {}
    for folder in folders:
        place = Path(folder).expanduser()
        for path in sorted([*place.glob("*.service"), *place.glob("*.service.d/*.conf")]):
            text = path.read_text(encoding="utf-8", errors="replace") if os.access(path, os.R_OK) else ""
            where = re.search(r"^WorkingDirectory=[-~]?(.+)$", text, re.MULTILINE)
            before = BEFORE.search(text)
            if (where and Path(where[1].strip()).resolve() == root.resolve()) or (before and str(root) in text):
                found[path] = _fault(before["word"] if before else None, text, root)
    return found


def _fault(before: str | None, text: str, root: Path) -> str | None:
    if before:
        return f"should say `gitops-ml {NOW.get(before, f'watch {before}')}` in its line ExecStart"
    if UNWATCHED.search(text):
        return "has nobody keep alive what serves between two steps: disable its timer, and have it watch"
    if user := USER.search(text):
        return _of_user(user[1], root)
    return None


def _of_user(name: str, root: Path) -> str | None:
    """What keeps a user's agent from working in the clone."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return f"is to run as {name}, whom this machine does not have: `useradd --system --create-home {name}`"
    if root.stat().st_uid != entry.pw_uid:
        return f"is to run as {name}, to whom {root} does not belong: `chown --recursive {name} {root}`"
    return None
