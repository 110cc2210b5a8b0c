"""GitHub Actions: its environment variables and files come in and go out here, and nowhere else."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

API = "https://api.github.com"
SERVER = "https://github.com"
# Who commits what a workflow makes; the number is that of GitHub's own app.
BOT = {"NAME": "github-actions[bot]", "EMAIL": "41898282+github-actions[bot]@users.noreply.github.com"}


def running() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def repository() -> str | None:
    """The repository's owner and name, where a workflow runs."""
    return os.environ.get("GITHUB_REPOSITORY")


def token() -> str | None:
    """The token with which GitHub is asked, of a workflow or of a person."""
    return os.environ.get("GH_TOKEN") or os.environ.get("GITHUB_TOKEN") or None


def app_token() -> str | None:
    """The token of a GitHub App, which a workflow that may act as one is given beside its own."""
    return os.environ.get("APP_TOKEN") or None


def identity() -> tuple[str, str] | None:
    """Where this job asks GitHub for an OIDC token that says which workflow it is, and with which secret.

    None if it may not, or is no job at all.
    """
    url, secret = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
    return (url, secret) if url and secret else None


def is_public() -> bool:
    """Whether GitHub says of the repository of this run that everybody may see it."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    event = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return bool(event.get("repository", {}).get("visibility") == "public")


def api() -> str:
    """Where GitHub's REST API is."""
    return os.environ.get("GITHUB_API_URL", API)


def run_id() -> int | None:
    """The number of this run of a workflow."""
    number = os.environ.get("GITHUB_RUN_ID", "")
    return int(number) if number.isdecimal() else None


def run_url() -> str | None:
    """Where to look at this run of a workflow."""
    number = run_id()
    server = os.environ.get("GITHUB_SERVER_URL", SERVER)
    return f"{server}/{repository()}/actions/runs/{number}" if number and repository() else None


def prepare() -> None:
    """Give Git what a workflow's machine lacks: somebody who commits, and the job's token, in memory alone."""
    if not running():
        return
    for role in ("AUTHOR", "COMMITTER"):
        for field, value in BOT.items():
            os.environ.setdefault(f"GIT_{role}_{field}", value)
    if found := token():
        authenticate(found)


def authenticate(token: str) -> None:
    """Have Git and requests go to GitHub with this token from here on."""
    server = os.environ.get("GITHUB_SERVER_URL", SERVER)
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    os.environ |= {
        "GH_TOKEN": token,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}",
    }


def output(name: str, value: str) -> None:
    """Hand a value, of one line, to the jobs that come after."""
    _append("GITHUB_OUTPUT", f"{name}={value}\n")


def export(name: str, value: str) -> None:
    """Set a variable, of one line, for the steps that come after."""
    _append("GITHUB_ENV", f"{name}={value}\n")


def summarise(markdown: str) -> None:
    """Show Markdown on the page of the run."""
    _append("GITHUB_STEP_SUMMARY", f"{markdown}\n")


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
