"""The fitted Pipeline without pandas: plain values in, score out, the same to the last bit or not used.

Three ways, the fastest that is known to be equal: all of it (`fast`), the encoding alone with the estimator's own
predict (`encoder`), the Pipeline itself (`pipeline`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitops_serving.fast.compiler import checked, compiled
    from gitops_serving.fast.scorer import Scorer, Tier

__all__ = ["Scorer", "Tier", "checked", "compiled"]


def __getattr__(name: str) -> Any:
    """Load scikit-learn when one of them is first asked for: BentoML's supervisor, which never scores, does without."""
    if name in __all__:
        place = "compiler" if name in ("checked", "compiled") else "scorer"
        return getattr(importlib.import_module(f"gitops_serving.fast.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
