"""Outputs that were computed twice from the same inputs: on another processor the last bits may differ.

Sums of floats depend on the order in which a processor's instructions add, so arm64 and x86, or two generations of x86,
need not agree in the last bit. That is no change, and dvc.lock, which knows hashes alone, cannot tell it from one.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import yaml

from gitops_ml.versions.revision import Revision

# By how much numbers may differ, relative to the larger one, and in an array to the largest. An iteration amplifies the
# last bit; other data or another seed show in the first digits.
LAST_BITS = 1e-8
# What models/model.json says of the bytes of the model beside it.
DIGEST = "sha256"


def recomputed(before: Revision, after: Revision) -> dict[str, bool]:
    """The outputs that two revisions have from the same command, settings and inputs, and with other bytes.

    By path, in the order of the pipeline, with whether they differ in the last bits alone. An input that was itself
    computed twice is the same one if it differs in the last bits alone.

    Raises:
        UserError: a revision's output cannot be had.
    """
    old, new = (stages(each) for each in (before, after))
    found: dict[str, bool] = {}
    # dvc.lock has the stages in any order; whoever comes later than what it reads is settled in the next turn.
    for _ in new:
        same = {path for path, last_bits in found.items() if last_bits}
        for name, stage in new.items():
            if name in old and _inputs(old[name], same) == _inputs(stage, same):
                for path, digest in _hashes(stage, "outs").items():
                    if path not in found and _hashes(old[name], "outs").get(path, digest) != digest:
                        found[path] = differ_in_last_bits(path, before, after)
    return found


def stages(revision: Revision) -> dict[str, Any]:
    """The stages of a revision's dvc.lock, by name; none of one without it."""
    text = revision.text("dvc.lock")
    found: dict[str, Any] = yaml.safe_load(text)["stages"] if text else {}
    return found


def differ_in_last_bits(path: str, before: Revision, after: Revision) -> bool:
    """Whether two revisions' files at a path, or in the folder of that name, hold the same but for rounding.

    Raises:
        UserError: a revision's output cannot be had.
    """
    names = after.files(path)
    return names == before.files(path) and all(_alike(name, before.output(name), after.output(name)) for name in names)


def _inputs(stage: dict[str, Any], same: set[str]) -> tuple[Any, ...]:
    deps = {path: "the same" if path in same else digest for path, digest in _hashes(stage, "deps").items()}
    return stage["cmd"], stage.get("params"), deps


def _hashes(stage: dict[str, Any], kind: str) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in stage.get(kind, [])}


def _alike(name: str, old: bytes, new: bytes) -> bool:
    """Whether two files hold the same but for rounding; of a form that is not known, whether they are equal."""
    try:
        match name.rpartition(".")[2]:
            case "json":
                return _near(json.loads(old), json.loads(new))
            case "csv":
                return _near(*(pd.read_csv(io.BytesIO(each)).to_dict("list") for each in (old, new)))
            case "parquet":
                return _near(*(pd.read_parquet(io.BytesIO(each)).to_dict("list") for each in (old, new)))
            case "npy":
                return _near_arrays(*(np.load(io.BytesIO(each), allow_pickle=False) for each in (old, new)))
            case "skops":
                return _near_archives(old, new)
    except (ValueError, zipfile.BadZipFile):
        pass
    return old == new


def _near(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, int | float) and not isinstance(new, bool):
        return (
            old == new
            or math.isclose(old, new, rel_tol=LAST_BITS, abs_tol=1e-12)
            or (math.isnan(old) and math.isnan(new))
        )
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(key == DIGEST or _near(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_near, old, new))
    return bool(type(old) is type(new) and old == new)


def _near_arrays(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> bool:
    if old.dtype != new.dtype or old.shape != new.shape:
        return False
    if old.dtype.names:
        return all(_near_arrays(old[name], new[name]) for name in old.dtype.names)
    if old.dtype.kind == "f":
        scale = np.abs(old[np.isfinite(old)]).max(initial=0.0)
        return bool(np.allclose(old, new, rtol=LAST_BITS, atol=LAST_BITS * scale, equal_nan=True))
    return bool(np.array_equal(old, new))


def _near_archives(old: bytes, new: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(old)) as one, zipfile.ZipFile(io.BytesIO(new)) as other:
        names = one.namelist()
        return names == other.namelist() and all(_alike(name, one.read(name), other.read(name)) for name in names)
