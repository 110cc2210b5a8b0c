"""How files that decide are read, whoever wrote them: what each says, by name, as text that can be compared.

Nothing here trusts its input: a file that has not its form is a ValueError, and none takes longer than it is long.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml
from dvc.exceptions import DvcException
from dvc.utils import serialize
from pydantic import BaseModel

from gitops_ml.core import signing

# Of project.yaml, what people read and nothing decides by.
PROSE = ("card", "title", "description")
# Of a .dvc file, what every batch of data changes.
BYTES = ("md5", "hash", "size", "nfiles", "etag", "checksum", "rev_lock", "files", "version_id", "isexec")
REGISTRY = "https://pypi.org/simple"
FILES = "files.pythonhosted.org"
# The project itself and the automation, which stand in the repository.
OWN = ({"virtual": "."}, {"editable": "vendor/gitops-ml"})
# A line of an export that says which version of a package, and which files of it.
PIN = r"[\w.-]+(\[[\w.,-]+\])?==[\w.!+-]+"
MARKER = r"\s*;(?!.*\s-)[^#\\]*"
HASH = r"--hash=\w+:\w+"
PINNED = re.compile(rf"(({PIN}({MARKER})?|{HASH})(\s+{HASH})*\s*\\?)?(^#.*|\s+#.*)?")
# What a name in project.yaml stands for, where that is more than its block.
WORDS = (
    (r"gate\.floors(\..*)?", "what no model may fall below"),
    (r"gate\..*", "when a model may replace the one that serves"),
    (r"fairness(\..*)?", "how differently groups may be treated"),
    (r"decision(\..*)?", "what decisions pay"),
    (r"trusted_types", "types that a model's file may hold"),
    (r"pull_requests\.approvals", "how many people must approve a change"),
    (r"environments\.[^.]+\.gate", "whether a release must pass the gate"),
    (r"environments\.[^.]+\.approvals", "how many people must approve a release"),
    (r"environments\.[^.]+\.windows(\..*)?", "when machines may promote"),
    (r"environments(\..*)?", "what a release needs to get where it serves"),
    (r"monitor\..*", "when production raises an alarm"),
)


class _Loader(yaml.SafeLoader):
    """Takes no aliases: a few lines of them stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias")
        return super().compose_node(parent, index)


def load(content: bytes | str | None) -> Any:
    """What a YAML file holds.

    Raises:
        ValueError: it is no YAML, or has an alias.
    """
    try:
        return yaml.load(content or "", _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ValueError("it is too deep") from error


def load_as_dvc(content: bytes | str | None) -> Any:
    """What DVC takes a YAML file for: to it, unlike to `load`, `2e-1` is a number, and `on` a word.

    Raises:
        ValueError: it is no YAML, or has an alias.
    """
    load(content)
    text = content.decode() if isinstance(content, bytes) else content
    try:
        return serialize.parse_yaml(text or "", "it")
    except DvcException as error:
        raise ValueError(f"it is no YAML to DVC: {' '.join(str(error.__cause__).split())}") from error


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings by their dotted names, each value as JSON; items of a list by their `name`, if all have one.

    A key that is empty, or has a dot or a quote, is a JSON string in the name, so that no two settings have one name.

    Raises:
        ValueError: two settings have one name all the same, such as those of the keys 1 and "1".
    """
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        names = [str(each["name"]) for each in value]
        return {prefix: ", ".join(names)} | _children(names, value, prefix)
    if isinstance(value, dict) and value:
        return _children(map(str, value), value.values(), prefix)
    return {prefix: json.dumps(value, ensure_ascii=False, default=str)}


def _children(keys: Iterable[str], values: Iterable[Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key, value in zip(keys, values, strict=True):
        if key in taken:
            raise ValueError(f"it says {key!r} twice{f' in {prefix}' if prefix else ''}")
        taken.add(key)
        name = key if re.fullmatch(r'[^."]+', key) else json.dumps(key, ensure_ascii=False)
        found |= flat(value, f"{prefix}.{name}" if prefix else name)
    return found


def meaning(name: str) -> str | None:
    """What a setting of project.yaml decides, in words; None for what its block says."""
    return next((words for pattern, words in WORDS if re.fullmatch(pattern, name)), None)


def settings(content: bytes | None) -> dict[str, str]:
    """The settings of a YAML file.

    Raises:
        ValueError: it holds something else.
    """
    whole = load(content) or {}
    if not isinstance(whole, dict):
        raise ValueError("it holds no settings")
    return flat(whole) if whole else {}


def project(content: bytes | None) -> dict[str, str]:
    """The settings of a project.yaml, but for what only people read."""
    return {name: text for name, text in settings(content).items() if name.partition(".")[0] not in PROSE}


def judging(content: bytes | None) -> dict[str, str]:
    """What a params.yaml says about the rows that judge a model."""
    return {name: text for name, text in settings(content).items() if is_judging(name)}


def is_judging(name: str) -> bool:
    """Whether a name in params.yaml is about the rows that judge a model."""
    return name.startswith(("evaluate.", "prepare.split."))


def pointer(content: bytes | None) -> dict[str, str]:
    """What a .dvc file says beside which bytes the data has: where it comes from, and where it is kept."""
    whole = _without(load(content) or {}, BYTES)
    return flat(whole) if whole else {}


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(child, names) for key, child in value.items() if key not in names}
    return [_without(child, names) for child in value] if isinstance(value, list) else value


def keys(content: bytes | None) -> dict[str, str]:
    """The public keys of a file, by the names that the files of their private halves have."""
    found = signing.PEM.findall(content or b"")
    return {f"key {hashlib.sha256(pem.strip()).hexdigest()[:16]}": "trusted" for pem in found}


def workflow(content: bytes | None) -> dict[str, str]:
    """What starts a workflow or an action's file, and what its jobs may do, use and know."""
    whole = load(content) or {}
    # YAML 1.1 reads the key `on` as true.
    found = {f"starts on {name}": text for name, text in flat(whole.get(True, whole.get("on", {}))).items() if name}
    for name, job in {**whole.get("jobs", {}), "": whole.get("runs", {})}.items():
        place = f"{name}: " if name else ""
        rights = {key: job[key] for key in ("permissions", "environment", "runs-on", "if") if key in job}
        found |= {f"{place}{setting}": text for setting, text in flat(rights).items() if setting}
        for step in [job, *job.get("steps", [])]:
            if "uses" in step:
                action, _, version = step["uses"].partition("@")
                found[f"{place}uses {action}"] = version or "this repository's"
    secrets = set(re.findall(r"secrets\s*\.\s*\w+|secrets\s*\[[^]]*\]|secrets: inherit", (content or b"").decode()))
    return found | dict.fromkeys(sorted(secrets), "used")


class _Artifact(BaseModel):
    url: str | None = None
    path: str | None = None


class _Package(BaseModel):
    name: str
    version: str = ""
    source: dict[str, Any]
    sdist: _Artifact | None = None
    wheels: list[_Artifact] = []


class _Lock(BaseModel):
    package: list[_Package] = []


def lock(content: bytes | None) -> dict[str, str]:
    """The packages of a uv.lock that are not from the public registry, and where each is from instead."""
    lock_ = _Lock.model_validate(tomllib.loads((content or b"").decode()))
    found: dict[str, str] = {}
    for package in lock_.package:
        if said := list(dict.fromkeys(_elsewhere(package))):
            found[package.name] = ", ".join(filter(None, [found.get(package.name), *said]))
    return found


def _elsewhere(package: _Package) -> Iterator[str]:
    if package.source != {"registry": REGISTRY} and package.source not in OWN:
        yield " ".join(f"{kind} {where}" for kind, where in package.source.items())
    for artifact in filter(None, [package.sdist, *package.wheels]):
        where = artifact.url or artifact.path or ""
        address = urlsplit(where)
        if address.scheme != "https" or address.netloc != FILES:
            yield f"file of {address.netloc or where}"
        # The registry lets everybody upload files of projects of their own.
        file = address.path.rpartition("/")[2]
        if not _normal(file).startswith(f"{_normal(package.name)}_{_normal(package.version)}_"):
            yield f"file {file}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name.lower())


def requirements(content: bytes | None) -> dict[str, str]:
    """The lines of an export that are more than a version of a package, for which machines, and its hashes."""
    lines = (line.strip() for line in (content or b"").decode().splitlines())
    return {line: "asked" for line in lines if not PINNED.fullmatch(line)}


def pyproject(content: bytes | None) -> dict[str, str]:
    """What a pyproject.toml says beside the packages that are asked for, which the lock names."""
    whole = tomllib.loads((content or b"").decode())
    whole.pop("dependency-groups", None)
    for name in ("dependencies", "optional-dependencies", "description"):
        whole.get("project", {}).pop(name, None)
    return flat(whole) if whole else {}
