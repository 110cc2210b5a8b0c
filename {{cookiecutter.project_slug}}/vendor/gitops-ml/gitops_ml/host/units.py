"""The systemd units on this machine that run a project's agent."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Where units of an administrator and of a user stand (systemd.unit(5)); systemd itself heeds this variable.
VARIABLE = "SYSTEMD_UNIT_PATH"
FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "~/.config/systemd/user")
# How version 0.1 called the automation.
BEFORE = re.compile(r"^Exec\w+=.* -m ci\b", re.MULTILINE)


def installed(root: Path) -> dict[Path, bool]:
    """The units whose working directory is this clone; whether each calls the automation as version 0.1 did."""
    folders = os.environ.get(VARIABLE, "").split(":") if os.environ.get(VARIABLE) else FOLDERS
    here = re.compile(rf"^WorkingDirectory=[-~]?{re.escape(str(root.resolve()))}/?$", re.MULTILINE)
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).expanduser().glob("*.service")):
            text = path.read_text(encoding="utf-8", errors="replace") if os.access(path, os.R_OK) else ""
            if here.search(text):
                found[path] = bool(BEFORE.search(text))
    return found
