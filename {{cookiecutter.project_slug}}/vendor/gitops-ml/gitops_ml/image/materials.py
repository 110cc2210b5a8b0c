"""What an image is made of, as CycloneDX: its Python packages, and what its base says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gitops_ml.core.programs import run
from gitops_ml.image.build import Built
from gitops_ml.versions import requirements

BASE = "base"
# Asked of the image's own Python, the one program that every base has. Bases that are made of Debian's packages without
# dpkg, such as distroless ones, have a file for each.
QUESTION = """
import glob, json, platform

def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""

try:
    system = platform.freedesktop_os_release()
except OSError:
    system = {}
packages = "\\n\\n".join(map(read, ["/var/lib/dpkg/status", *sorted(glob.glob("/var/lib/dpkg/status.d/*"))]))
print(json.dumps({"python": platform.python_version(), "system": system, "packages": packages}))
"""


def materials(root: Path, built: Built) -> dict[str, Any]:
    """Every Python package with version, source and hashes, the base's Python and its system's packages.

    Of a base without Debian's list of packages it says that these are unknown. It never says that they are all: what
    was compiled into a base stands in no list.
    """
    found: dict[str, Any] = json.loads(requirements.export(root, "serve", "--format", "cyclonedx1.5"))
    alone = ("--rm", "--network=none", "--entrypoint=python3")
    base = json.loads(run(built.engine.name, "run", *alone, built.id, "-I", "-c", QUESTION, cwd=root))
    system = base["system"]
    parts = [_python(base["python"]), *_packages(base["packages"], system)]
    whole = {"type": "operating-system", "bom-ref": BASE, "name": system.get("ID", "unknown")}
    found["components"] += [whole | {"version": system.get("VERSION_ID", "unknown")}, *parts]
    found["dependencies"].append({"ref": BASE, "dependsOn": [each["bom-ref"] for each in parts]})
    found["compositions"] = [{"aggregate": "incomplete" if parts[1:] else "unknown", "dependencies": [BASE]}]
    return found


def _python(version: str) -> dict[str, str]:
    """Named as scanners know it, since a base may have compiled it itself."""
    name = {"cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"}
    return _component("python", version, f"pkg:generic/python@{version}") | name


def _packages(listed: str, system: dict[str, str]) -> Iterator[dict[str, str]]:
    """Debian's control paragraphs as components."""
    family = system.get("ID", "debian")
    for paragraph in re.split(r"\n\s*\n", listed):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", paragraph, flags=re.MULTILINE))
        # "deinstall ok config-files" is gone but for its settings.
        if "Package" not in fields or fields.get("Status", "installed").split()[-1] != "installed":
            continue
        name, version = fields["Package"], fields.get("Version", "")
        # Debian tells of vulnerabilities by the source, which may have a name and a version of its own.
        source, _, of = fields.get("Source", "").replace("(", "").replace(")", "").partition(" ")
        facts = {
            "arch": fields.get("Architecture", ""),
            "distro": f"{family}-{system['VERSION_ID']}" if "VERSION_ID" in system else "",
            "upstream": f"{source}@{of}" if of else source,
        }
        qualifiers = "&".join(f"{key}={quote(value, safe=':')}" for key, value in facts.items() if value)
        known = f"pkg:deb/{family}/{quote(name)}@{quote(version, safe=':')}"
        yield _component(name, version, f"{known}?{qualifiers}" if qualifiers else known)


def _component(name: str, version: str, purl: str) -> dict[str, str]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
