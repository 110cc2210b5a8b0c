"""The systemd units on this machine that run a project's automation."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Where units of an administrator and of a user stand (systemd.unit(5)); systemd itself heeds this variable.
VARIABLE = "SYSTEMD_UNIT_PATH"
FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "~/.config/systemd/user")
# How version 0.1 was called on hosts, and what each of that is called now.
BEFORE = re.compile(r"^Exec\w+=.*(?: -m ci|\bmake) (?P<word>deploy|stop|predictions|monitor|retrain)\b", re.MULTILINE)
NOW = {"deploy": "host deploy", "stop": "host stop"}


def installed(root: Path) -> dict[Path, str | None]:
    """The units of this clone; for each that calls the automation as version 0.1 did, what to call now."""
    folders = os.environ.get(VARIABLE, "").split(":") if os.environ.get(VARIABLE) else FOLDERS
    found: dict[Path, str | None] = {}
    for folder in folders:
        place = Path(folder).expanduser()
        for path in sorted([*place.glob("*.service"), *place.glob("*.service.d/*.conf")]):
            text = path.read_text(encoding="utf-8", errors="replace") if os.access(path, os.R_OK) else ""
            where = re.search(r"^WorkingDirectory=[-~]?(.+)$", text, re.MULTILINE)
            before = BEFORE.search(text)
            if (where and Path(where[1].strip()).resolve() == root.resolve()) or (before and str(root) in text):
                word = before["word"] if before else None
                found[path] = f"gitops-ml {NOW.get(word, f'watch {word}')}" if word else None
    return found
