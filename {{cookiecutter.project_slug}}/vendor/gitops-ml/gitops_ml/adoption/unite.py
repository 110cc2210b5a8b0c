"""Makes one file of two that mean the same thing: theirs first, their values win, and what the project needs is added.

Each function takes both texts and gives the one that holds both, or says that no rule settles them.
"""

from __future__ import annotations

import configparser
import io
import re
from collections.abc import Callable, Iterable
from typing import Any

import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from tomlkit.exceptions import TOMLKitError

from gitops_ml.core.errors import UserError

HEADING = "# Of cookiecutter-gitops-ml"
# Tools of which each code has settings of its own: our file, if theirs sets them, and how a command is told of it.
RUFF, CHECKS = "ruff.gitops-ml.toml", "checks.gitops-ml.toml"
TOOLS = {
    "ruff": (RUFF, {".venv/bin/ruff check": "--config", ".venv/bin/ruff format": "--config"}),
    "mypy": (CHECKS, {".venv/bin/mypy": "--config-file"}),
    "importlinter": (CHECKS, {".venv/bin/lint-imports": "--config"}),
}
STORAGE = "'remote \"storage\"'"


def ignored(theirs: str, ours: str) -> str:
    """Patterns of .gitignore or .dvcignore: those that are missing, behind theirs."""
    has = set(theirs.splitlines())
    more = [line for line in ours.splitlines() if line and not line.startswith("#") and line not in has]
    return _behind(theirs, "".join(f"{line}\n" for line in more))


def attributes(theirs: str, ours: str) -> str:
    """Lines of .gitattributes: ours first, since of two that fit a path the later one counts."""
    return f"{HEADING}\n{ours}\n{theirs}" if theirs else ours


def packages(theirs: str, ours: str) -> str:
    """pyproject.toml with our groups and tools; what they say of either stays as they say it.

    Which Pythons both can have is asked of both; whether the packages fit together, only a lock tells.
    """
    try:
        mine, added = tomlkit.parse(theirs).unwrap(), tomlkit.parse(ours)
        text = tomlkit.parse(theirs)
    except TOMLKitError as error:
        raise UserError(f"pyproject.toml cannot be read: {error}") from error
    wanted = added.unwrap()["project"]["requires-python"]
    said = mine.get("project", {}).get("requires-python")
    built = "build-system" in mine
    if "ini_options" in mine.get("tool", {}).get("pytest", {}):
        # pytest takes settings in one of both forms.
        tools: Any = added["tool"]
        tools["pytest"] = {"ini_options": tools["pytest"].unwrap()}
    for name in TOOLS.keys() & mine.get("tool", {}).keys():
        del added["tool"][name]
    _fill(text, added)
    project: Any = text["project"]
    if said and said != wanted:
        project["requires-python"] = f"{said},{wanted}"
    if "version" in mine.get("project", {}).get("dynamic", []):
        del project["version"]
    uv: Any = text["tool"]["uv"]
    if built and "package" not in mine.get("tool", {}).get("uv", {}):
        # What they build is what they install.
        del uv["package"]
    return tomlkit.dumps(text)


def tools(theirs: str, ours: str, others: Iterable[str] = ()) -> dict[str, str]:
    """Settings of ours for tools that theirs sets, too, by the file that they stand in: each code has its own.

    Args:
        theirs: their pyproject.toml, or nothing.
        ours: the bake's.
        others: tools that they set in a file of its own.
    """
    mine = tomlkit.parse(ours)["tool"]
    both = (tomlkit.parse(theirs).unwrap().get("tool", {}).keys() | set(others)) & TOOLS.keys()
    files = {TOOLS[name][0] for name in both}
    found: dict[str, str] = {}
    for name in (each for each in TOOLS if TOOLS[each][0] in files):
        file = TOOLS[name][0]
        table = mine[name].unwrap()
        found[file] = found.get(file, "") + tomlkit.dumps(table if name == "ruff" else {"tool": {name: table}})
    return found


def with_tools(text: str, files: Iterable[str]) -> str:
    """Our hooks, with the files that hold our tools' settings."""
    for file, commands in TOOLS.values():
        for command, option in commands.items() if file in files else ():
            text = text.replace(command, f"{command} {option} {file}")
    return text


def stages(theirs: str, ours: str) -> str:
    """dvc.yaml with the stages of both, if no name is in both."""
    return _yaml("dvc.yaml", theirs, ours, _add_stages)


def params(theirs: str, ours: str) -> str:
    """params.yaml cannot be of both: the stages hold all of it to their form."""
    raise UserError("give yours another name, and name that in dvc.yaml: `params: [{settings.yaml: [fit]}]`")


def hooks(theirs: str, ours: str) -> str:
    """.pre-commit-config.yaml with our hooks behind theirs."""

    def add(his: Any, mine: Any) -> None:
        his.setdefault("repos", []).extend(mine["repos"])
        his.setdefault("default_language_version", mine["default_language_version"])

    return _yaml(".pre-commit-config.yaml", theirs, ours, add)


def storage(theirs: str, ours: str) -> str:
    """.dvc/config: their default remote, with all that they say of it, is what is called `storage`, too."""
    his, mine = (configparser.RawConfigParser() for _ in range(2))
    his.read_string(theirs)
    mine.read_string(ours)
    for section in mine.sections():
        if not his.has_section(section):
            his.add_section(section)
            default = his.get("core", "remote", fallback="") if section == STORAGE else ""
            known = f"'remote \"{default}\"'"
            for key, value in his.items(known) if default and his.has_section(known) else mine.items(section):
                his.set(section, key, value)
        for key, value in mine.items(section):
            if not his.has_option(section, key):
                his.set(section, key, value)
    written = io.StringIO()
    his.write(written)
    return written.getvalue().strip() + "\n"


def storage_url(text: str) -> str:
    """Where the storage is, as .dvc/config says it: a folder relative to that file, or a URL."""
    config = configparser.RawConfigParser()
    config.read_string(text)
    return config.get(STORAGE, "url")


def except_theirs(text: str, theirs: Iterable[str]) -> str:
    """Our hooks, without files that are theirs: these never agreed to our rules. Their own hooks see what they saw."""
    patterns = "|".join(theirs)

    def leave_out(config: Any, _: Any) -> None:
        if all(repository["repo"] == "local" for repository in config["repos"]):
            config["exclude"] = f"^({patterns})"
            return
        for repository in config["repos"]:
            for hook in repository["hooks"] if repository["repo"] == "local" else []:
                if ".venv/bin/" in hook.get("entry", "") and hook.get("pass_filenames", True):
                    also = f"|{hook['exclude']}" if hook.get("exclude") else ""
                    hook["exclude"] = f"^({patterns}){also}"

    return _yaml(".pre-commit-config.yaml", text, text, leave_out) if patterns else text


def _add_stages(his: Any, mine: Any) -> None:
    known = his.setdefault("stages", {})
    if both := sorted(set(known) & set(mine["stages"])):
        raise UserError(f"both have stages that are called {', '.join(both)}")
    his["stages"].update(mine["stages"])
    known = his.setdefault("plots", type(mine["plots"])())
    for plot in mine["plots"]:
        if isinstance(known, dict):
            known.update(plot)
        else:
            known.append(plot)


def _yaml(file: str, theirs: str, ours: str, change: Callable[[Any, Any], None]) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        his, mine = yaml.load(theirs) or {}, yaml.load(ours) or {}
        if not isinstance(his, dict):
            raise UserError(f"{file} holds no mapping")
    except YAMLError as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}") from error
    change(his, mine)
    written = io.StringIO()
    yaml.dump(his, written)
    return written.getvalue()


def _fill(his: Any, mine: Any) -> None:
    """Put into a table what it does not have, and into tables that both have what those do not have."""
    for key, value in mine.items():
        if key not in his:
            his[key] = value
        elif isinstance(value, dict) and isinstance(his[key], dict) and key != "dependency-groups":
            _fill(his[key], value)
        elif isinstance(value, dict):
            _fill_groups(his[key], value)


def _fill_groups(his: Any, mine: Any) -> None:
    """Groups of packages: to one that both have, the packages are added that theirs does not name."""
    for name, entries in mine.items():
        if name not in his:
            his[name] = entries
            continue
        named = {_package(entry) for entry in his[name] if isinstance(entry, str)}
        for entry in entries:
            if not isinstance(entry, str) or _package(entry) not in named:
                his[name].append(entry)


def _package(entry: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", entry)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else entry


def _behind(theirs: str, ours: str) -> str:
    if not ours:
        return theirs
    ended = theirs if not theirs or theirs.endswith("\n") else f"{theirs}\n"
    return f"{ended}\n{HEADING}\n{ours}" if ended else ours
