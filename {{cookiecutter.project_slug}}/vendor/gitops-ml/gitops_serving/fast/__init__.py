"""The fitted Pipeline without pandas: plain values in, score out, the same to the last bit or not used.

Three ways, the fastest that is known to be equal: all of it (`fast`), the encoding alone with the estimator's own
predict (`encoder`), the Pipeline itself (`pipeline`).
"""

from gitops_serving.fast.scorer import Scorer, Tier, checked, compiled

__all__ = ["Scorer", "Tier", "checked", "compiled"]
