"""Credentials of the DVC storage for a workflow's machine: short-lived ones of its cloud, or what a secret says.

A cloud's own libraries, which DVC uses, exchange GitHub's OIDC token for a role: it only has to lie in a file that they
know. Nothing that lasts is stored anywhere. For storages that know no OIDC, one secret holds DVC's local settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from pydantic import BaseModel, ValidationError

from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage

LOCAL = Path(".dvc/config.local")
SECRET = "DVC_CONFIG"  # noqa: S105 - the name of one
SECONDS = 30.0
_SECRET_HOLDS = f"the secret {SECRET} to what .dvc/config.local would hold (`gitops-ml repo doctor` says more)"


class _Identity(BaseModel):
    value: str


def obtain(root: Path, folder: Path) -> str:
    """Make the storage usable; returns a sentence about how. `folder` is outside of the project and lives as the job.

    Raises:
        UserError: the storage needs credentials, and there are none.
    """
    kind = kind_of(root)
    if config := os.environ.get(SECRET):
        _write(root / LOCAL, config)
        return f"the storage's settings come from the secret {SECRET}"
    if kind == "folder":
        return "the storage is a folder and needs no credentials"
    if kind not in CLOUDS:
        raise UserError(f"{_none(kind)}: set {_SECRET_HOLDS}")
    audience, needed, use = CLOUDS[kind]
    facts = {name: os.environ.get(name, "") for name in needed}
    if missing := [name for name, value in facts.items() if not value]:
        raise UserError(
            f"{_none(kind)}: set the repository's variables {', '.join(missing)} for OIDC, or {_SECRET_HOLDS}"
        )
    token = folder / "oidc-token"
    _write(token, _token(audience))
    for name, value in use(facts, token, folder).items():
        actions.export(name, value)
    return f"the storage is asked as {facts[needed[0]]}, by this job's OIDC token"


def kind_of(root: Path) -> str:
    """The kind of storage: s3, gs, azure, ssh or another URL's scheme, or folder."""
    url = Storage.url(root)
    return url.partition("://")[0] if "://" in url else "folder"


def needs(kind: str) -> list[str]:
    """The variables of the repository that a kind of storage needs for OIDC; none if it knows none."""
    return list(CLOUDS[kind][1]) if kind in CLOUDS else []


def _amazon(facts: Mapping[str, str], token: Path, folder: Path) -> dict[str, str]:
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": facts["AWS_ROLE_ARN"],
        "AWS_DEFAULT_REGION": facts["AWS_REGION"],
        "AWS_ROLE_SESSION_NAME": "gitops-ml",
    }


def _google(facts: Mapping[str, str], token: Path, folder: Path) -> dict[str, str]:
    # https://google.aip.dev/auth/4117
    account = folder / "google.json"
    impersonated = (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{facts['GCP_SERVICE_ACCOUNT']}:generateAccessToken"
    )
    settings = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{facts['GCP_WORKLOAD_IDENTITY_PROVIDER']}",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(token)},
        "service_account_impersonation_url": impersonated,
    }
    _write(account, json.dumps(settings))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(account)}


def _azure(facts: Mapping[str, str], token: Path, folder: Path) -> dict[str, str]:
    return {**facts, "AZURE_FEDERATED_TOKEN_FILE": str(token)}


# By kind: the token's audience, the variables that say as whom to ask, and what the cloud's library reads.
CLOUDS: dict[str, tuple[str, tuple[str, ...], Callable[[Mapping[str, str], Path, Path], dict[str, str]]]] = {
    "s3": ("sts.amazonaws.com", ("AWS_ROLE_ARN", "AWS_REGION"), _amazon),
    "gs": ("https://iam.googleapis.com/", ("GCP_SERVICE_ACCOUNT", "GCP_WORKLOAD_IDENTITY_PROVIDER"), _google),
    "azure": ("api://AzureADTokenExchange", ("AZURE_CLIENT_ID", "AZURE_TENANT_ID"), _azure),
}


def _token(audience: str) -> str:
    """This job's OIDC token, from GitHub."""
    asked = actions.identity()
    if asked is None:
        raise UserError("this job has no OIDC token; it needs `permissions: id-token: write`, or the secret DVC_CONFIG")
    url, secret = asked
    try:
        answer = httpx.get(
            url, params={"audience": audience}, headers={"authorization": f"Bearer {secret}"}, timeout=SECONDS
        )
        return _Identity.model_validate_json(answer.raise_for_status().content).value
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(f"GitHub gives no OIDC token: {error or type(error).__name__}") from error
    except ValidationError as error:
        raise UserError("GitHub answers in another form when asked for an OIDC token") from error


def _none(kind: str) -> str:
    return f"the storage is {kind}:// and there are no credentials for it"


def _write(path: Path, content: str) -> None:
    """A file that nobody else may read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content.rstrip("\n") + "\n")
