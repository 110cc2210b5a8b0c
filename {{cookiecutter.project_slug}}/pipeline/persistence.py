"""The model as bytes: without pickle, byte for byte reproducible, and checked before anything is loaded.

The format is skops', which holds no code. skops names the parts of a file after memory addresses and stamps them with
the time, so `dump` renumbers and restamps them: the same fitted model gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any, cast

import numpy as np
import sklearn
import skops.io
from pydantic import BaseModel
from sklearn.pipeline import Pipeline

NUMPY = b"\x93NUMPY"
# A vectorizer notes the address of its stop words, to check them once per process; after loading it checks again.
ADDRESS = "_stop_words_id"
EPOCH = (1980, 1, 1, 0, 0, 0)


class ModelError(Exception):
    """The model's file may not be loaded; the message says why and what to do."""


class ModelFacts(BaseModel):
    """models/model.json: what must hold before the model's file is loaded, and what it is made of.

    Of older versions the file holds more, which is passed over.
    """

    sha256: str
    estimator: str
    scikit_learn: str
    rows: int
    features: list[str]


def dump(model: Pipeline) -> bytes:
    """The fitted Pipeline as a skops archive with canonical names, order and times."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    tree = json.loads(members.pop("schema.json"))
    numbers: dict[int | str, int] = {}
    files: dict[str, str] = {}
    _renumber(tree, numbers, files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for old, new in files.items():
            _add(archive, new, _without_padding(members[old]))
        _add(archive, "schema.json", json.dumps(tree, separators=(",", ":")).encode())
    return buffer.getvalue()


def _without_padding(content: bytes) -> bytes:
    """An array file whose gaps between fields are zero; in a tree's nodes they hold whatever the memory held."""
    if not content.startswith(NUMPY):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.frombuffer(bytearray(array.nbytes), dtype=array.dtype).reshape(array.shape)
    for name in array.dtype.names:
        clean[name] = array[name]
    written = io.BytesIO()
    np.save(written, clean, allow_pickle=False)
    return written.getvalue()


def load(content: bytes, facts: ModelFacts, trusted: list[str]) -> Pipeline:
    """The Pipeline in `content`, once its hash, its types and its scikit-learn are as they must be.

    Raises:
        ModelError: another file than `facts` names, a type that is neither skops' own nor in `trusted`, another
            scikit-learn than the one that trained it, or no model at all.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != facts.sha256:
        raise ModelError(
            f"the model's file has the hash {found[:12]}, model.json names {facts.sha256[:12]}: not loaded"
        )
    if sklearn.__version__ != facts.scikit_learn:
        raise ModelError(
            f"the model was trained with scikit-learn {facts.scikit_learn}, and {sklearn.__version__} is installed: "
            "train it again (make repro)"
        )
    try:
        untrusted = set(skops.io.get_untrusted_types(data=content)) - set(trusted)
    except (zipfile.BadZipFile, AttributeError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"the model's file is not a skops archive: {error}") from error
    if untrusted:
        raise ModelError(
            f"the model holds types that project.yaml does not trust: {', '.join(sorted(untrusted))}; "
            "add them to trusted_types if you know that loading them is safe"
        )
    return cast(Pipeline, skops.io.loads(content, trusted=trusted))


def _renumber(node: Any, numbers: dict[int | str, int], files: dict[str, str]) -> None:
    """Replace memory addresses and the file names made of them by the order in which they are met.

    Plain values go by what they are: whether two equal strings are one object is an accident of the process.
    """
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers, files)
    elif isinstance(node, dict):
        if isinstance(address := node.get("__id__"), int):
            key = node["content"] if node.get("is_json") else address
            node["__id__"] = numbers.setdefault(key, len(numbers))
        if isinstance(name := node.get("file"), str):
            suffix = name.rpartition(".")[2]
            node["file"] = files.setdefault(name, f"{len(files)}.{suffix}")
        if isinstance(noted := node.get(ADDRESS), dict):
            noted["content"] = "0"
        for child in node.values():
            _renumber(child, numbers, files)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # Stored, not deflated: what deflate writes differs between builds of zlib.
    archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
