"""Validates the answers before a project is written. To this script an answer is data: it enters as JSON."""

import json
import re
import sys
import unicodedata

# Twice through JSON: the outer one makes a Python string of it whatever an answer holds.
ANSWERS = json.loads({{ cookiecutter | jsonify | jsonify }})

# Control and format characters, lone surrogates, line and paragraph separators: Unicode's names for what does not show.
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
SLUG = re.compile(r"[a-z](-?[a-z0-9])+")
OWNER = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9])*")
# The grammar of the OCI distribution specification: host, optional port, path components.
HOST = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
REGISTRY = re.compile(rf"{HOST}(/{COMPONENT})*")
# No password in a URL, which Git would keep; nothing that .dvc/config would read as syntax. A relative folder leads out
# of the project, where Git does not see it.
STORAGE_URL = re.compile(r"(s3|gs|azure|ssh)://([^\s/:@'\"#,\\%$]+@)?[^\s/@'\"#,\\%$]+(/[^\s'\"#,\\%$]*)?")
STORAGE_FOLDER = re.compile(r"(/|~/|\.\./)[^\s:'\"#,\\%$]+")
# Names of devices on Windows and of Kubernetes' own namespaces.
RESERVED = {"con", "prn", "aux", "nul", "default", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


def problems(answers):
    """One sentence for each answer that cannot be used."""
    for name in ("project_name", "description", "owner", "image_registry", "dvc_remote"):
        if not answers[name].strip():
            yield f"{name} is empty."
        elif any(unicodedata.category(character) in INVISIBLE for character in answers[name]):
            yield f"{name} holds a line break or another control character; write it on one line."
        elif answers[name] != answers[name].strip():
            yield f"{name} begins or ends with a blank."

    slug = answers["project_slug"]
    if not SLUG.fullmatch(slug) or len(slug) > 50:
        yield (
            f"project_slug {slug!r} cannot name a folder, an image and a Bento: use 2 to 50 lower-case letters, digits "
            "and single hyphens, starting with a letter."
        )
    elif slug in RESERVED or slug.startswith("kube-"):
        yield f"project_slug {slug!r} is a reserved name; choose another one."

    owner = answers["owner"]
    if owner.strip() and (not OWNER.fullmatch(owner) or len(owner) > 39):
        yield f"owner {owner!r} is no GitHub name: use up to 39 letters, digits and single hyphens."

    registry = answers["image_registry"]
    if registry.strip() and not REGISTRY.fullmatch(registry):
        yield f"image_registry {registry!r} is no registry: write host/path in lower case, such as ghcr.io/my-org."

    remote = answers["dvc_remote"]
    if remote.strip() and not (STORAGE_URL.fullmatch(remote) or STORAGE_FOLDER.fullmatch(remote)):
        yield (
            f"dvc_remote {remote!r} is no storage: write s3://, gs://, azure:// or ssh:// with a bucket or host and "
            "without a password, or a folder outside of the project that begins with /, ~/ or ../ and has no blanks."
        )


found = [f"error: {problem}" for problem in problems(ANSWERS)]
if found:
    sys.exit("\n".join(found))
